"""From a detector's boxes to regions: scaling, threshold, suppression, and outputs of the wrong shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Detector
from edge.errors import EngineError
from edge.locate import locator_from_config
from edge.locate.detector import suppress
from edge.types import Frame, Image, Region


class Fixed:
    """Answers with given boxes and remembers what it was shown."""

    input_height_px = 100
    input_width_px = 200

    def __init__(self, boxes: object, scores: object) -> None:
        self._boxes = np.asarray(boxes, np.float32)
        self._scores = np.asarray(scores, np.float32)
        self.shown: Image | None = None

    def run(self, image: Image) -> tuple[np.ndarray, np.ndarray]:
        self.shown = image
        return self._boxes, self._scores


def locate(model: Fixed, image: Image, **settings: float) -> tuple[Region, ...]:
    locator = locator_from_config(Detector(model="fixed", **settings), lambda _: model)
    return locator.locate(Frame("cam", 0, image, 0, 0))


def picture(height: int, width: int) -> Image:
    return np.zeros((height, width, 3), np.uint8)


def test_the_frame_is_letterboxed_and_boxes_are_mapped_back() -> None:
    model = Fixed([[50, 0, 150, 100], [60, 10, 70, 30]], [0.9, 0.8])
    found = locate(model, picture(400, 400))  # shrunk by 4 to 100 x 100, 50 pixels of grey left and right
    assert found == (Region(0, 0, 400, 400, "object"), Region(40, 40, 40, 80, "object"))
    assert model.shown is not None
    assert model.shown.shape == (100, 200, 3)
    assert (model.shown[:, :50] == 114).all()
    assert (model.shown[:, 150:] == 114).all()
    assert (model.shown[:, 50:150] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(100, 200), (1, 1), (1, 5000), (3000, 2), (37, 411)])
def test_a_thing_keeps_its_place_at_any_size(height: int, width: int) -> None:
    model = Fixed([[0, 0, 200, 100]], [0.9])
    assert locate(model, picture(height, width)) == (Region(0, 0, width, height, "object"),)


def test_what_scores_low_or_is_no_number_is_left_out() -> None:
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, np.nan, 10], [80, 0, np.inf, 10]]
    scores = [0.29, 0.3, np.nan, 0.9, 0.9]
    assert locate(Fixed(boxes, scores), picture(100, 200)) == (Region(20, 0, 10, 10, "object"),)


def test_the_best_class_counts_and_the_best_come_first() -> None:
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    scores = [[0.1, 0.4], [0.6, 0.2], [0.2, 0.1]]
    found = locate(Fixed(boxes, scores), picture(100, 200))
    assert [region.x for region in found] == [20, 0]
    assert len(locate(Fixed(boxes, scores), picture(100, 200), max_regions=1)) == 1


def test_boxes_outside_or_turned_over_are_dropped() -> None:
    boxes = [[-50, -50, -10, -10], [250, 0, 300, 50], [30, 30, 20, 20], [-10, -10, 10, 10]]
    found = locate(Fixed(boxes, [0.9, 0.9, 0.9, 0.9]), picture(100, 200))
    assert found == (Region(0, 0, 10, 10, "object"),)


def test_nothing_found() -> None:
    assert locate(Fixed(np.zeros((0, 4)), np.zeros(0)), picture(10, 10)) == ()
    assert locate(Fixed(np.zeros((0, 4)), np.zeros((0, 80))), picture(10, 10)) == ()
    assert locate(Fixed(np.zeros((2, 4)), np.zeros((2, 0))), picture(10, 10)) == ()


@pytest.mark.parametrize(
    ("boxes", "scores"),
    [(np.zeros((3, 4)), np.zeros(2)), (np.zeros((3, 5)), np.zeros(3)), (np.zeros((1, 3, 4)), np.zeros(3))],
)
def test_another_export_is_an_engine_error(boxes: np.ndarray, scores: np.ndarray) -> None:
    with pytest.raises(EngineError, match="detector returned boxes"):
        locate(Fixed(boxes, scores), picture(10, 10))


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    both = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return float(shared / (both - shared))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 15)] * 2, st.integers(0, 5)), max_size=25),
    st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
)
def test_suppression_keeps_exactly_what_no_better_box_overlaps(
    things: list[tuple[int, int, int, int, int]], max_overlap: float
) -> None:
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in things], np.float32).reshape(-1, 4)
    scores = np.array([score for *_, score in things], np.float32)
    kept = suppress(boxes, scores, max_overlap).tolist()
    expected: list[int] = []
    for index in sorted(range(len(things)), key=lambda i: (-scores[i], i)):
        if all(_overlap(boxes[index], boxes[better]) <= max_overlap + 1e-6 for better in expected):
            expected.append(index)
    assert kept == expected
