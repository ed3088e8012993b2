"""Photos of products that a small random network can tell apart: a pattern of each product, with noise over it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_products(folder: Path, products: int, photos: int, noise: float = 30.0, seed: int = 0) -> Path:
    """Write `photos` pictures of each of `products` products, as folder/p000/0.png."""
    random = np.random.default_rng(seed)
    for product in range(products):
        place = folder / f"p{product:03d}"
        place.mkdir(parents=True)
        pattern = cv2.resize(random.integers(0, 256, (4, 4, 3), dtype=np.uint8), (32, 32)).astype(np.float64)
        for number in range(photos):
            photo = pattern + random.normal(0, noise, pattern.shape)
            cv2.imwrite(str(place / f"{number}.png"), np.clip(photo, 0, 255).astype(np.uint8))
    return folder
