"""Random fields that scenes and cameras share: sensor noise and soft clouds, cut out of one fixed bank.

Drawing a fresh normal number for every sample of every picture costs more than drawing the pack. The bank is drawn
once; a picture takes a window of it at a random place, mirrored at random.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["clouds", "noise"]

_SIDE = 1024


@lru_cache(maxsize=1)
def _bank() -> NDArray[np.float32]:
    """Return unit normal noise with the slight neighbourly likeness of a demosaiced sensor, (1024, 1024, 3)."""
    white = np.random.default_rng(20_240_229).standard_normal((_SIDE, _SIDE, 3), np.float32)
    soft = cv2.GaussianBlur(white, (0, 0), 0.55)
    return np.asarray(soft / soft.std(), np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return unit noise (H, W, 3), perhaps a view of the bank: read only; sides up to 1024, or it repeats."""
    height, width = shape
    bank = _bank()
    if height > _SIDE or width > _SIDE:
        bank = np.tile(bank, (-(-height // _SIDE) + 1, -(-width // _SIDE) + 1, 1))
    y = int(rng.integers(bank.shape[0] - height + 1))
    x = int(rng.integers(bank.shape[1] - width + 1))
    window = bank[y : y + height, x : x + width]
    upside, mirrored = rng.random() < 0.5, rng.random() < 0.5
    if not (upside or mirrored):
        return window
    return np.asarray(cv2.flip(window, -1 if upside and mirrored else int(mirrored)), np.float32)


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Return a smooth random field (H, W), about -1..1, with `cells` bumps along its longer side."""
    height, width = shape
    rows = max(2, round(cells * height / max(shape)))
    columns = max(2, round(cells * width / max(shape)))
    coarse = rng.standard_normal((rows, columns)).astype(np.float32) * np.float32(0.5)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
