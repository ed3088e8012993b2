"""Places that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import Detector, FullFrame, Slot, Slots
from edge.errors import InputError
from edge.locate import locator_from_config
from edge.types import Frame, Region


def frame(height: int, width: int) -> Frame:
    return Frame("cam", 0, np.zeros((height, width, 3), np.uint8), 0, 0)


def slots(**polygons: tuple[tuple[int, int], ...]) -> Slots:
    return Slots(slots=tuple(Slot(id=name, polygon=polygon) for name, polygon in polygons.items()))


def test_the_whole_frame() -> None:
    assert locator_from_config(FullFrame()).locate(frame(3, 5)) == (Region(0, 0, 5, 3, "frame"),)


def test_slots_are_the_boxes_of_their_polygons_in_order() -> None:
    locator = locator_from_config(slots(b=((10, 20), (30, 25), (12, 60)), a=((0, 0), (100, 0), (100, 80), (0, 80))))
    assert locator.locate(frame(80, 100)) == (Region(10, 20, 20, 40, "b"), Region(0, 0, 100, 80, "a"))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 40)), min_size=3, max_size=12))
def test_every_corner_lies_in_its_box(corners: list[tuple[int, int]]) -> None:
    flat = len({x for x, _ in corners}) == 1 or len({y for _, y in corners}) == 1
    if flat:
        with pytest.raises(InputError, match="slot s: the polygon has no area"):
            locator_from_config(slots(s=tuple(corners)))
        return
    (region,) = locator_from_config(slots(s=tuple(corners))).locate(frame(40, 50))
    for x, y in corners:
        assert region.x <= x <= region.x + region.width
        assert region.y <= y <= region.y + region.height


def test_a_slot_outside_the_frame_is_refused_at_the_first_frame_and_after_a_change_of_size() -> None:
    locator = locator_from_config(slots(shelf=((0, 0), (64, 0), (64, 48))))
    assert locator.locate(frame(48, 64))
    for height, width in ((47, 64), (48, 63)):
        with pytest.raises(InputError, match=f"camera cam: locate: slot shelf reaches to 64,48 .* {width}x{height}"):
            locator.locate(frame(height, width))
    assert locator.locate(frame(100, 100))


def test_a_detector_needs_an_engine() -> None:
    with pytest.raises(InputError, match="kind detector"):
        locator_from_config(Detector(model="shelf.onnx"))
