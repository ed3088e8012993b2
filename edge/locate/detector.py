"""What a detector network finds: scaling in and out, threshold, non-maximum suppression. The network is a port.

The frame is shrunk or grown with its aspect kept and centred on grey (the letterbox of the YOLO family); boxes come
back in pixels of that input and are mapped to pixels of the frame. Suppression is greedy, over all classes together:
which product it is, the embedding decides later. Same image, same boxes: ties go to the box that the network named
first.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.config import Detector
from edge.errors import EngineError
from edge.ports import Locator
from edge.types import Frame, Image, Region

__all__ = ["DetectorLocator", "DetectorModel", "suppress"]

_GREY = 114  # the padding that YOLO exports were trained with
_MAX_CANDIDATES = 1000  # boxes that enter suppression, which is quadratic


class DetectorModel(Protocol):
    """A detector network, ready to run. Raises EngineError when it fails."""

    input_height_px: int
    input_width_px: int

    def run(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return boxes (N, 4) as x1, y1, x2, y2 in input pixels, and scores (N,) or (N, classes) in [0, 1].

        `image` is (input_height_px, input_width_px, 3) uint8 BGR, C-contiguous.
        """


class DetectorLocator(Locator):
    """Looks where a detector found something; the label is `object`, the best score first."""

    def __init__(self, config: Detector, model: DetectorModel) -> None:
        self._config = config
        self._model = model

    def _locate(self, frame: Frame) -> tuple[Region, ...]:
        image, scale, left, top = _letterbox(frame.image, self._model.input_height_px, self._model.input_width_px)
        boxes, scores = self._model.run(image)
        if scores.ndim == 2:
            scores = scores.max(axis=1, initial=0.0)
        if boxes.shape != (len(scores), 4) or scores.ndim != 1:
            shapes = f"boxes {boxes.shape}, scores {scores.shape}"
            raise EngineError(f"detector returned {shapes}; expected (N, 4) and (N,) or (N, classes); another export?")
        usable = np.isfinite(boxes).all(axis=1) & (scores >= self._config.min_score)  # NaN scores compare false
        boxes, scores = boxes[usable], scores[usable]
        kept = suppress(boxes, scores, self._config.max_overlap)[: self._config.max_regions]
        found = (boxes[kept] - np.array([left, top, left, top], np.float32)) / scale
        return tuple(_region(corners, frame.image) for corners in found)


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], max_overlap: float) -> NDArray[np.intp]:
    """Return the indices of the boxes to keep, best score first: none overlaps a better one by more than allowed.

    `boxes` (N, 4) as x1, y1, x2, y2; overlap is intersection over union. At most 1000 best boxes are looked at.
    """
    order = np.argsort(-scores, kind="stable")[:_MAX_CANDIDATES]
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[order, :2])
        high = np.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        union = areas[best] + areas[order] - shared
        order = order[shared <= max_overlap * union]
    return np.array(kept, np.intp)


def _letterbox(image: Image, height: int, width: int) -> tuple[Image, float, int, int]:
    """Return the input, the scale from frame to input, and the left and top padding in input pixels."""
    scale = min(height / image.shape[0], width / image.shape[1])
    inner_height = max(1, round(image.shape[0] * scale))
    inner_width = max(1, round(image.shape[1] * scale))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    padded = np.full((height, width, 3), _GREY, np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    inner = cv2.resize(image, (inner_width, inner_height), interpolation=method)
    padded[top : top + inner_height, left : left + inner_width] = inner
    return padded, scale, left, top


def _region(corners: NDArray[np.float32], image: Image) -> Region:
    """Round outwards to whole pixels of the frame; the port drops what lies outside."""
    limits = np.array([image.shape[1], image.shape[0]] * 2)
    low_x, low_y = (int(value) for value in np.floor(np.clip(corners, 0, limits))[:2])
    high_x, high_y = (int(value) for value in np.ceil(np.clip(corners, 0, limits))[2:])
    return Region(low_x, low_y, high_x - low_x, high_y - low_y, "object")
