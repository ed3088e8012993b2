"""What stands behind a pack: studio paper, a shelf board, a cart's basket, a floor, cloth, a heap of other colours."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.render import grain

__all__ = ["BACKGROUNDS", "background", "basket_floor"]

Picture = NDArray[np.uint8]


def background(name: str, rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return a background (H, W, 3) BGR of one of the names in BACKGROUNDS."""
    return BACKGROUNDS[name](rng, shape)


def _tinted(rng: np.random.Generator, low: float, high: float, tint: float = 12) -> NDArray[np.float32]:
    return (rng.uniform(low, high) + rng.uniform(-tint, tint, 3)).astype(np.float32)


def _finished(picture: NDArray[np.float32]) -> Picture:
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _paper(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return near-white paper with a soft fall of light."""
    fall = np.linspace(4, -14, shape[0], dtype=np.float32)[:, None, None]
    flat = np.broadcast_to(_tinted(rng, 226, 248, 4), (*shape, 3))
    return _finished(flat + fall + grain.clouds(rng, shape, 3)[..., None] * 2)


def _shelf(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return a shelf: dark depth above, a board and its price strip below, blurred neighbours left and right."""
    height, width = shape
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = np.linspace(0.6, 1.1, height, dtype=np.float32)[:, None, None] * _tinted(rng, 35, 110)
    board = round(height * rng.uniform(0.82, 0.97))
    picture[board:] = _tinted(rng, 150, 225)
    picture[board + max(2, height // 40) :] = _tinted(rng, 190, 250)
    for _ in range(int(rng.integers(1, 4))):
        left = int(rng.integers(-width // 3, width))
        right = left + int(width * rng.uniform(0.2, 0.5))
        top = int(height * rng.uniform(-0.1, 0.4))
        cv2.rectangle(picture, (left, top), (right, board), rng.uniform(20, 235, 3).tolist(), -1)
        band = int(height * rng.uniform(0.2, 0.7))
        cv2.rectangle(picture, (left, band), (right, band + height // 8), rng.uniform(20, 235, 3).tolist(), -1)
    return _finished(np.asarray(cv2.GaussianBlur(picture, (0, 0), max(1.0, height / 70)), np.float32))


def basket_floor(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return a basket's floor from above: wires or a moulded grid over a dark ground."""
    height, width = shape
    ground = _tinted(rng, 45, 105)
    picture = np.broadcast_to(ground, (height, width, 3)) * (1 + 0.14 * grain.clouds(rng, shape, 5)[..., None])
    picture = np.ascontiguousarray(picture, np.float32)
    wire = _tinted(rng, 130, 205, 10)
    pitch = max(7.0, max(shape) * float(rng.uniform(0.06, 0.11)))
    thick = max(1, round(pitch * rng.uniform(0.1, 0.22)))
    slant = float(rng.uniform(-0.06, 0.06))
    shadow, lit = (ground * 0.6).tolist(), wire.tolist()
    for colour, offset in ((shadow, thick), (lit, 0)):
        for place in np.arange(-pitch, max(shape) + pitch, pitch):
            at = round(float(place)) + offset
            tilt = round(slant * max(shape))
            cv2.line(picture, (at, 0), (at + tilt, height), colour, thick, cv2.LINE_AA)
            cv2.line(picture, (0, at), (width, at - tilt), colour, thick, cv2.LINE_AA)
    return _finished(picture)


def _floor(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return tiles or boards with joints."""
    height, width = shape
    wood = rng.random() < 0.5
    base = np.array((95, 140, 185), np.float32) * np.float32(rng.uniform(0.6, 1.1)) if wood else _tinted(rng, 120, 215)
    field = grain.clouds(rng, (height, max(2, width // 24)) if wood else shape, 14)
    if wood:
        field = np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    picture = np.ascontiguousarray(base * (1 + 0.12 * field[..., None]), np.float32)
    pitch = max(16, int(max(shape) * rng.uniform(0.25, 0.5)))
    joint = (base * 0.62).tolist()
    for place in range(int(rng.integers(pitch)), max(shape), pitch):
        cv2.line(picture, (0, place), (width, place), joint, 2, cv2.LINE_AA)
        if not wood:
            cv2.line(picture, (place, 0), (place, height), joint, 2, cv2.LINE_AA)
    return _finished(picture)


def _cloth(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return a shopper's clothes: one colour with folds."""
    colour = rng.uniform(25, 215, 3).astype(np.float32)
    folds = grain.clouds(rng, shape, 4) + np.float32(0.4) * grain.clouds(rng, shape, 11)
    return _finished(colour * (1 + 0.28 * folds[..., None]))


def _heap(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return other goods, out of focus: patches of strong colours."""
    height, width = shape
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = rng.uniform(30, 120, 3)
    for _ in range(9):
        centre = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
        sides = (float(rng.uniform(0.15, 0.5) * width), float(rng.uniform(0.15, 0.5) * height))
        corners = cv2.boxPoints((centre, sides, float(rng.uniform(0, 90))))
        cv2.fillConvexPoly(picture, np.rint(corners).astype(np.int32), rng.uniform(20, 240, 3).tolist(), cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(1.0, max(shape) / 60)), np.uint8)


BACKGROUNDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Picture]] = {
    "paper": _paper,
    "shelf": _shelf,
    "basket": basket_floor,
    "floor": _floor,
    "cloth": _cloth,
    "heap": _heap,
}
