"""Hands: fingers that hold a pack, and a whole hand with its forearm. Sprites are BGRA uint8 (H, W, 4)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.render import grain

__all__ = ["fingers_over", "hand_sprite"]

Bgra = NDArray[np.uint8]
_SKINS = ((150, 185, 230), (120, 160, 215), (90, 125, 185), (60, 85, 135), (45, 60, 95))  # BGR
_SLEEVES = ((60, 50, 45), (140, 110, 60), (60, 60, 150), (200, 200, 200), (80, 110, 70), (40, 40, 40))


def fingers_over(picture: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Paint two to four fingers, reaching in from one side, over a BGR picture in place."""
    height, width = picture.shape[:2]
    thick = 0.12 * min(height, width) * rng.uniform(0.8, 1.25)
    count = int(rng.integers(2, 5))
    side = int(rng.integers(4))  # left, right, bottom, top
    along = height if side < 2 else width
    start = rng.uniform(0.1, 0.9) * along - count * thick / 2
    layer = np.zeros((height, width), np.uint8)
    for finger in range(count):
        at = start + finger * thick * 1.05
        reach = rng.uniform(0.16, 0.34) * min(height, width)
        lean = rng.uniform(-0.3, 0.3) * thick
        tip, root = (reach, at + lean), (-thick, at)
        if side in {1, 2}:
            tip, root = (
                ((width if side == 1 else height) - reach, tip[1]),
                ((width if side == 1 else height) + thick, at),
            )
        if side >= 2:
            tip, root = (tip[1], tip[0]), (root[1], root[0])
        _capsule(layer, root, tip, thick)
    skin = np.array(_SKINS[int(rng.integers(len(_SKINS)))], np.float32)
    _blend(picture, _skin_like(layer, skin, rng), layer)


def hand_sprite(rng: np.random.Generator, hand_px: int, length_px: int) -> tuple[Bgra, tuple[float, float]]:
    """Return a hand with its forearm, pointing up, and where the palm is in it (x, y, px).

    The hand is `hand_px` long; the sprite is `length_px` high, the forearm runs out of its lower edge.
    """
    height, width = length_px, hand_px
    unit = hand_px / 5
    centre = width / 2
    layer = np.zeros((height, width), np.uint8)
    palm = (centre, 3.3 * unit)
    cv2.ellipse(layer, _point(palm), (round(1.05 * unit), round(1.3 * unit)), 0, 0, 360, 255, -1, cv2.LINE_AA)
    for finger in range(4):
        spread = (finger - 1.5) * 0.53
        reach = (1.55, 1.95, 1.85, 1.45)[finger] * unit * rng.uniform(0.85, 1.0)
        root = (centre + spread * unit, 2.7 * unit)
        tip = (centre + spread * 1.3 * unit + rng.uniform(-0.15, 0.15) * unit, max(0.4 * unit, 2.3 * unit - reach))
        _capsule(layer, root, tip, 0.5 * unit)
    _capsule(layer, (centre - 0.7 * unit, 3.8 * unit), (centre - 1.75 * unit, 2.5 * unit), 0.58 * unit)
    _capsule(layer, (centre, 4.0 * unit), (centre, height + unit), 1.35 * unit)
    skin = np.array(_SKINS[int(rng.integers(len(_SKINS)))], np.float32)
    colour = _skin_like(layer, skin, rng)
    sleeve = np.zeros_like(layer)
    start = rng.uniform(5.6, 7.5) * unit
    _capsule(sleeve, (centre, start + unit), (centre, height + 2 * unit), 2.0 * unit)
    sleeve[: round(start)] = 0
    cloth = np.array(_SLEEVES[int(rng.integers(len(_SLEEVES)))], np.float32)
    _blend(colour, _skin_like(sleeve, cloth, rng), sleeve)
    return np.dstack((colour, np.maximum(layer, sleeve))), palm


def _skin_like(layer: NDArray[np.uint8], colour: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a BGR picture of the colour, rounded towards the edges of `layer` as limbs are, with soft blotches."""
    depth = cv2.distanceTransform((layer > 127).astype(np.uint8), cv2.DIST_L2, 3)
    deepest = max(float(depth.max()), 1.0)
    light = 0.62 + 0.42 * np.sqrt(np.clip(depth / np.float32(0.55 * deepest), 0, 1))
    light += 0.04 * grain.clouds(rng, layer.shape[:2], 9)
    return np.asarray(np.clip(colour * light[..., None], 0, 255), np.uint8)


def _capsule(layer: NDArray[np.uint8], root: tuple[float, float], tip: tuple[float, float], thick: float) -> None:
    cv2.line(layer, _point(root), _point(tip), 255, max(1, round(thick)), cv2.LINE_AA)


def _point(place: tuple[float, float]) -> tuple[int, int]:
    return round(place[0]), round(place[1])


def _blend(picture: NDArray[np.uint8], over: NDArray[np.uint8], cover: NDArray[np.uint8]) -> None:
    share = cover[..., None].astype(np.float32) / 255
    picture[:] = picture + (over - picture.astype(np.float32)) * share
