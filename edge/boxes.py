"""How much rectangles share: intersection over union, the measure of Jaccard (1901)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Boxes", "overlaps"]

Boxes: TypeAlias = NDArray[np.int64]  # (N, 4) as x1, y1, x2, y2 in pixels, x2 and y2 exclusive


def overlaps(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return (N, M) the intersection over union of each of N boxes with each of M others, in [0, 1].

    Boxes have an area: a box without one makes 0 / 0.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas, other_areas = (np.prod(some[:, 2:] - some[:, :2], axis=1) for some in (boxes, others))
    share: NDArray[np.float64] = shared / (areas[:, None] + other_areas[None, :] - shared)
    return share
