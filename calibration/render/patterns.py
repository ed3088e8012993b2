"""Printed grounds: a pattern between two colours, over the whole strip that goes round a pack."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calibration.render.looks import Rgb

__all__ = ["ground"]

Plane = NDArray[np.float32]
# (x, y in units of the strip's height, x = 0 at the middle of the front; three random numbers in 0..1) -> share of
# the second colour, 0..1
Pattern = Callable[[Plane, Plane, NDArray[np.float64]], Plane]


def ground(name: str, size_px: tuple[int, int], colours: tuple[Rgb, Rgb], seed: int) -> NDArray[np.uint8]:
    """Return the RGB ground (H, W, 3) of a strip of `size_px` = (W, H); the same for the same arguments."""
    width, height = size_px
    rows, columns = (np.arange(side, dtype=np.float32) / np.float32(height) for side in (height, width))
    x = np.tile(columns - np.float32(0.5 * width / height), (height, 1))
    y = np.repeat(rows[:, None], width, axis=1)
    rng = np.random.default_rng([seed, 11])
    numbers = rng.random(3)
    share = _speckle(x, rng) if name == "kraft" else _PATTERNS[name](x, y, numbers)
    # A printed pattern is mostly a hint, sometimes loud.
    strength = np.float32(0.35 + 0.65 * rng.random() ** 2)
    # 256 shades are all that eight bits can show: look the blend up instead of computing it for every sample.
    steps = np.linspace(0, 1, 256)[:, None]
    first, second = (np.asarray(colour, np.float64) for colour in colours)
    shades = np.rint(first + (second - first) * steps).astype(np.uint8)
    return shades[np.asarray(share * strength * 255, np.uint8)]


def _step(signed: Plane, softness: float = 0.004) -> Plane:
    """Return 1 where `signed` > 0, else 0, with a soft edge `softness` wide."""
    return np.asarray(np.clip(signed / np.float32(2 * softness) + np.float32(0.5), 0, 1), np.float32)


def _cells(along: Plane, pitch: float) -> Plane:
    """Return the distance from the middle of the nearest cell, cells `pitch` wide."""
    return np.asarray(np.abs((along / np.float32(pitch)) % 1 - np.float32(0.5)) * np.float32(pitch), np.float32)


def _plain(x: Plane, _y: Plane, _numbers: NDArray[np.float64]) -> Plane:
    return np.zeros_like(x)


def _fade(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    return np.asarray(np.clip(y if numbers[0] < 0.6 else np.hypot(x, y - np.float32(0.5)) * 1.2, 0, 1), np.float32)


def _diagonal(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    pitch = 0.06 + 0.14 * numbers[0]
    slope = 1.0 if numbers[1] < 0.5 else -1.0
    return _step(np.float32(pitch * (0.15 + 0.2 * numbers[2])) - _cells(x + np.float32(slope) * y, pitch))


def _upright(x: Plane, _y: Plane, numbers: NDArray[np.float64]) -> Plane:
    pitch = 0.05 + 0.15 * numbers[0]
    return _step(np.float32(pitch * (0.1 + 0.2 * numbers[1])) - _cells(x, pitch))


def _level(_x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    pitch = 0.05 + 0.2 * numbers[0]
    return _step(np.float32(pitch * (0.1 + 0.2 * numbers[1])) - _cells(y, pitch))


def _dots(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    pitch = 0.05 + 0.1 * numbers[0]
    odd = np.floor(y / np.float32(pitch)) % 2 * np.float32(pitch / 2)
    distance = np.hypot(_cells(x + odd, pitch), _cells(y, pitch))
    return _step(np.float32(pitch * (0.15 + 0.25 * numbers[1])) - distance)


def _gingham(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    pitch = 0.06 + 0.08 * numbers[0]
    columns = _step(_cells(x, pitch) - np.float32(pitch / 4))
    return np.asarray((columns + _step(_cells(y, pitch) - np.float32(pitch / 4))) * np.float32(0.5), np.float32)


def _rays(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    centre = np.float32(0.35 + 0.4 * numbers[0])
    rays = 8 + int(10 * numbers[1])
    return _step(np.sin(np.arctan2(y - centre, x) * np.float32(rays)), 0.03)


def _waves(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    crest = np.float32(0.03 + 0.04 * numbers[0]) * np.sin(x * np.float32(8 + 14 * numbers[1]))
    pitch = 0.12 + 0.15 * numbers[2]
    return _step(np.float32(pitch / 4) - _cells(y + crest, pitch))


def _chevrons(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    pitch = 0.08 + 0.12 * numbers[0]
    zigzag = _cells(x, 0.1 + 0.2 * numbers[1])
    return _step(np.float32(pitch / 4) - _cells(y + zigzag, pitch))


def _rings(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    distance = np.hypot(x, y - np.float32(0.3 + 0.4 * numbers[0]))
    pitch = 0.08 + 0.12 * numbers[1]
    return _step(np.float32(pitch / 4) - _cells(distance, pitch))


def _blobs(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    a, b, c = (np.float32(5 + 9 * number) for number in numbers)
    return _step(np.sin(x * a + 1) * np.sin(y * b + x * 3) + np.float32(0.5) * np.sin(y * c - x * a * 2) - 0.15, 0.04)


def _halves(x: Plane, y: Plane, numbers: NDArray[np.float64]) -> Plane:
    return _step(y - np.float32(0.35 + 0.3 * numbers[0]) + np.float32(0.5 * (numbers[1] - 0.5)) * np.clip(x, -0.5, 0.5))


def _speckle(x: Plane, rng: np.random.Generator) -> Plane:
    return np.asarray(rng.random(x.shape, np.float32) ** 3 * np.float32(0.45), np.float32)


_PATTERNS: dict[str, Pattern] = {
    "plain": _plain,
    "fade": _fade,
    "diagonal": _diagonal,
    "upright": _upright,
    "level": _level,
    "dots": _dots,
    "gingham": _gingham,
    "rays": _rays,
    "waves": _waves,
    "chevrons": _chevrons,
    "rings": _rings,
    "blobs": _blobs,
    "halves": _halves,
}
