"""Photos of things that are no product at all: hands, empty baskets and shelves, fruit and other objects, textures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.render import grain, hands, words
from calibration.render.assets import bgra_picture
from calibration.render.backgrounds import BACKGROUNDS, background
from calibration.render.camera import photographed
from calibration.render.severity import severity_named
from calibration.render.views import LONG_EDGE_PX, framed, laid_over, turned_sprite

__all__ = ["stray_object", "stray_view"]

Picture = NDArray[np.uint8]


def stray_view(seed: int, number: int, *, severity: str = "camera", size_px: int = LONG_EDGE_PX) -> Picture:
    """Return photo `number` of something that is no product; the kinds take turns."""
    faults = severity_named(severity)
    rng = np.random.default_rng([seed, number, 31])
    kind = number % 4
    if kind == 0:
        sprite = turned_sprite(stray_object(rng, round(size_px * 0.9)), float(rng.uniform(-40, 40)), faults.skew, rng)
        return framed(sprite, faults, rng, size_px)
    width = round(size_px * rng.uniform(0.6, 1.0))
    if kind == 1:
        picture = background(tuple(BACKGROUNDS)[int(rng.integers(len(BACKGROUNDS)))], rng, (size_px, width))
        sprite, _ = hands.hand_sprite(rng, round(size_px * 0.55), round(size_px * 1.2))
        sprite = turned_sprite(sprite, float(rng.uniform(-60, 60)), faults.skew, rng)
        laid_over(picture, sprite, (width - sprite.shape[1]) // 2, round(size_px * rng.uniform(0.0, 0.3)))
    elif kind == 2:
        empty = ("basket", "shelf", "floor", "cloth")
        picture = background(empty[int(rng.integers(len(empty)))], rng, (size_px, width))
    else:
        picture = _texture(rng, (size_px, width))
    return photographed(picture, faults, rng)


def stray_object(rng: np.random.Generator, long_px: int) -> NDArray[np.uint8]:
    """Return a fruit or another object that is not for sale here, BGRA, its long edge `long_px`."""
    return bgra_picture(words.OBJECTS[int(rng.integers(len(words.OBJECTS)))], long_px)


def _texture(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return coloured clouds at three scales."""
    layers = [grain.clouds(rng, shape, cells) for cells in (3, 9, int(rng.integers(12, 60)))]
    mixed = np.dstack([sum(layer * np.float32(rng.uniform(-1, 1)) for layer in layers) for _ in range(3)])
    colour = rng.uniform(40, 210, 3).astype(np.float32)
    return np.asarray(np.clip(colour + 70 * mixed, 0, 255), np.uint8)
