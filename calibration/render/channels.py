"""Colour and coverage of pictures, put together and taken apart.

OpenCV does it: NumPy's loops are three or four values long where channels are the last axis, and a renderer that
multiplies pictures by planes would spend a third of its time in them. The values are the same, to the last bit.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["colour_of", "cover_of", "sprite_of", "three"]

Number = TypeVar("Number", np.uint8, np.float32)


def three(plane: NDArray[Number]) -> NDArray[Number]:
    """Return a plane (H, W) as a picture (H, W, 3) of three equal channels."""
    return np.asarray(cv2.merge((plane, plane, plane)), plane.dtype)


def sprite_of(colour: NDArray[np.uint8], cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the sprite (H, W, 4) of a picture (H, W, 3) and its coverage (H, W)."""
    return np.asarray(cv2.merge((colour, cover)), np.uint8)


def colour_of(sprite: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) of a sprite (H, W, 4), neither of them empty."""
    return np.asarray(cv2.cvtColor(sprite, cv2.COLOR_BGRA2BGR), np.uint8)


def cover_of(sprite: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the coverage (H, W) of a sprite (H, W, 4), neither of them empty."""
    return np.asarray(cv2.extractChannel(sprite, 3), np.uint8)
