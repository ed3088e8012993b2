"""What differs from a learned background: for carts and baskets, where a product is a thing that was not there before.

The frame is reduced to 320 pixels on its longer side and given to MOG2 (Zivkovic 2004, Zivkovic and van der Heijden
2006, as in OpenCV); shadows are removed, specks opened away, gaps closed, connected parts boxed, boxes that touch
merged, and the boxes scaled back with a small margin.

- The first 20 frames only teach the background.
- When more than 70 % of the picture changes at once (a lamp, a lid, a camera that was moved), nothing is reported and
  the background is learned again.
- A thing that stands still becomes background: after about a tenth of `history_frames` (55 of 500 frames, measured),
  because MOG2 calls the most frequent 90 % of what it saw background.
- No randomness: the same frames give the same regions. State is of one camera.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.boxes import Boxes, overlaps
from edge.config import Motion
from edge.ports import Locator
from edge.types import Frame, Image, Region

__all__ = ["MotionLocator"]

_LONG_SIDE_PX = 320
_LEARNING_FRAMES = 20
_GLOBAL_CHANGE = 0.7  # share of the picture
_MARGIN_PX = 2  # on each side, in the reduced picture: opening shaves as much
_SPECK_SHARE = 0.0005  # connected parts smaller than this share of the picture are noise: 38 pixels of 320x240
_MAX_PARTS = 64  # the largest ones; what is left out of a picture so broken up is small
_FOREGROUND = 255  # MOG2 marks shadows with 127
_OPENING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
_CLOSING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))

_Mask = NDArray[np.uint8]  # (H, W), 0 or 255


class MotionLocator(Locator):
    """Looks where something changed; the label is `motion`, the largest region first."""

    def __init__(self, config: Motion) -> None:
        self._config = config
        self._shape: tuple[int, ...] = ()
        self._frames_learned = 0
        self._background = self._new_background()
        self._previous: Boxes = np.zeros((0, 4), np.int64)

    def _locate(self, frame: Frame) -> tuple[Region, ...]:
        if frame.image.shape != self._shape:
            self._shape = frame.image.shape
            self._learn_again()
        small, scale = _reduced(frame.image)
        learning = self._frames_learned < _LEARNING_FRAMES
        rate = -1.0 if learning else 1.0 / self._config.history_frames  # -1: MOG2 begins fast and slows down
        changed = cast("_Mask", self._background.apply(small, learningRate=rate))
        self._frames_learned += learning
        if learning:
            return ()
        if cv2.countNonZero(changed) > _GLOBAL_CHANGE * changed.size:
            self._learn_again()
            return ()
        boxes = self._within_limits(_merged(_parts(changed)), changed.size)
        steady = boxes[overlaps(boxes, self._previous).max(axis=1, initial=0.0) >= self._config.steady]
        self._previous = boxes
        return tuple(_region(box, scale) for box in steady[: self._config.max_regions])

    def _within_limits(self, boxes: Boxes, pixels: int) -> Boxes:
        """Drop boxes that are too small or too large; the largest first, then from the top left."""
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        fitting = (areas >= self._config.min_area * pixels) & (areas <= self._config.max_area * pixels)
        boxes, areas = boxes[fitting], areas[fitting]
        return boxes[np.lexsort((boxes[:, 0], boxes[:, 1], -areas))]

    def _learn_again(self) -> None:
        self._frames_learned = 0
        self._background = self._new_background()
        self._previous = np.zeros((0, 4), np.int64)

    def _new_background(self) -> cv2.BackgroundSubtractorMOG2:
        return cv2.createBackgroundSubtractorMOG2(history=self._config.history_frames, detectShadows=True)


def _reduced(image: Image) -> tuple[Image, float]:
    """Return the picture to compare, and how many pixels of the frame one of its pixels stands for."""
    scale = max(image.shape[:2]) / _LONG_SIDE_PX
    if scale <= 1:
        return image, 1.0
    size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
    return cast("Image", cv2.resize(image, size, interpolation=cv2.INTER_AREA)), scale


def _parts(changed: _Mask) -> Boxes:
    """Return the boxes, with margin, of the connected parts that are no specks."""
    _, mask = cv2.threshold(changed, _FOREGROUND - 1, 255, cv2.THRESH_BINARY)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _OPENING)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _CLOSING)
    _, _, parts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)
    parts = parts[1:].astype(np.int64)  # the first is the background
    parts = parts[np.argsort(-parts[:, cv2.CC_STAT_AREA], kind="stable")[:_MAX_PARTS]]
    parts = parts[parts[:, cv2.CC_STAT_AREA] >= _SPECK_SHARE * mask.size]
    corners = parts[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    sizes = parts[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    limits = np.array([mask.shape[1], mask.shape[0]])
    low = np.maximum(corners - _MARGIN_PX, 0)
    high = np.minimum(corners + sizes + _MARGIN_PX, limits)
    return np.concatenate([low, high], axis=1)


def _merged(boxes: Boxes) -> Boxes:
    """Join boxes that touch or overlap, until none do. Each join leaves one box less, so it ends."""
    while len(boxes) > 1:
        touch = np.all(boxes[:, None, :2] <= boxes[None, :, 2:], axis=2)
        touch &= touch.T
        np.fill_diagonal(touch, False)
        first, second = np.unravel_index(int(np.argmax(touch)), touch.shape)
        if not touch[first, second]:
            break
        low = np.minimum(boxes[first, :2], boxes[second, :2])
        high = np.maximum(boxes[first, 2:], boxes[second, 2:])
        boxes = np.delete(boxes, second, axis=0)
        boxes[first] = np.concatenate([low, high])
    return boxes


def _region(box: Boxes, scale: float) -> Region:
    left, top = (int(value * scale) for value in box[:2])
    right, bottom = (int(np.ceil(value * scale)) for value in box[2:])
    return Region(left, top, right - left, bottom - top, "motion")
