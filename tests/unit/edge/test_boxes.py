"""Intersection over union, against sums done by hand."""

from __future__ import annotations

import numpy as np

from edge.boxes import overlaps


def test_overlaps_are_what_the_rectangles_share() -> None:
    boxes = np.array([[0, 0, 10, 10], [100, 100, 110, 110]], np.int64)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]], np.int64)
    assert np.allclose(overlaps(boxes, others), [[1, 50 / 150, 0], [0, 0, 0]])


def test_no_boxes_share_nothing() -> None:
    none = np.zeros((0, 4), np.int64)
    assert overlaps(none, none).shape == (0, 0)
    assert overlaps(np.array([[0, 0, 1, 1]]), none).shape == (1, 0)
