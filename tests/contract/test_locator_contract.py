"""What every locator promises, whatever it looks for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge.config import Detector, FullFrame, Motion, Slot, Slots
from edge.locate import locator_from_config
from edge.ports import Locator
from edge.types import Frame, Image

HEIGHT, WIDTH = 120, 160


class TwoThings:
    """A detector that always sees the same two things, one of them partly outside."""

    input_height_px = 64
    input_width_px = 64

    def run(self, image: Image) -> tuple[np.ndarray, np.ndarray]:
        assert image.shape == (64, 64, 3)
        boxes = np.array([[-20, 10, 20, 40], [30, 20, 50, 50], [30, 21, 50, 51]], np.float32)
        return boxes, np.array([0.9, 0.8, 0.7], np.float32)


_SLOTS = Slots(
    slots=(
        Slot(id="left", polygon=((0, 0), (80, 0), (80, 120), (0, 120))),
        Slot(id="right", polygon=((80, 10), (160, 20), (150, 120))),
    )
)
LOCATORS: dict[str, Callable[[], Locator]] = {
    "full_frame": lambda: locator_from_config(FullFrame()),
    "slots": lambda: locator_from_config(_SLOTS),
    "motion": lambda: locator_from_config(Motion()),
    "detector": lambda: locator_from_config(Detector(model="two"), lambda _: TwoThings()),
}


@pytest.fixture(params=sorted(LOCATORS))
def build(request: pytest.FixtureRequest) -> Callable[[], Locator]:
    return LOCATORS[request.param]


def _frames(count: int = 30) -> list[Frame]:
    """A noisy shelf onto which a box is put; read-only, as a ring lends them."""
    random = np.random.default_rng(5)
    frames = []
    for number in range(count):
        image = random.integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        if number >= count - 5:
            image[30:80, 40:100] = (20, 30, 220)
        image.flags.writeable = False
        frames.append(Frame("cam", number, image, number, number))
    return frames


def test_regions_lie_inside_and_are_plain(build: Callable[[], Locator]) -> None:
    locator = build()
    found = [locator.locate(frame) for frame in _frames()]
    assert found[-1]
    for regions in found:
        assert isinstance(regions, tuple)
        for region in regions:
            assert all(type(value) is int for value in (region.x, region.y, region.width, region.height))
            assert region.x >= 0
            assert region.y >= 0
            assert region.width > 0
            assert region.height > 0
            assert region.x + region.width <= WIDTH
            assert region.y + region.height <= HEIGHT
            assert region.label


def test_the_same_frames_give_the_same_regions(build: Callable[[], Locator]) -> None:
    first, second = build(), build()
    assert [first.locate(frame) for frame in _frames()] == [second.locate(frame) for frame in _frames()]


def test_two_cameras_do_not_know_of_each_other(build: Callable[[], Locator]) -> None:
    alone, beside, other = build(), build(), build()
    expected = [alone.locate(frame) for frame in _frames()]
    found = []
    for number, frame in enumerate(_frames()):
        found.append(beside.locate(frame))
        other.locate(Frame("other", number, frame.image[::-1], number, number))
    assert found == expected


def test_the_frame_is_not_touched(build: Callable[[], Locator]) -> None:
    locator = build()
    for frame in _frames():
        before = frame.image.copy()
        locator.locate(frame)
        assert np.array_equal(before, frame.image)
