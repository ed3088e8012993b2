"""What moves, what stays, what is only light."""

from __future__ import annotations

import numpy as np
import pytest

from edge.config import Motion
from edge.locate import locator_from_config
from edge.ports import Locator
from edge.types import Frame, Image, Region

HEIGHT, WIDTH = 240, 320
LEARNING = 20


class Scene:
    """A textured shelf with sensor noise, and boxes put onto it."""

    def __init__(self, height: int = HEIGHT, width: int = WIDTH) -> None:
        self._random = np.random.default_rng(11)
        texture = self._random.integers(60, 180, (height // 20 + 1, width // 20 + 1, 3))
        self._shelf = np.kron(texture, np.ones((20, 20, 1)))[:height, :width]
        self._number = 0

    def frame(self, *boxes: tuple[int, int, int, int], gain: float = 1.0) -> Frame:
        image = self._shelf * gain + self._random.normal(0, 2, self._shelf.shape)
        image = np.clip(image, 0, 255).astype(np.uint8)
        for left, top, width, height in boxes:
            image[top : top + height, left : left + width] = (10, 20, 250)
        self._number += 1
        return Frame("cam", self._number, image, self._number, self._number)


def learned(scene: Scene, config: Motion | None = None) -> Locator:
    locator = locator_from_config(config or Motion())
    for _ in range(LEARNING):
        assert locator.locate(scene.frame()) == ()
    return locator


def covers(region: Region, box: tuple[int, int, int, int], slack: int) -> bool:
    """Whether the region holds the box and is at most `slack` pixels larger on each side."""
    left, top, width, height = box
    near_left, near_top = left - region.x, top - region.y
    near_right = region.x + region.width - left - width
    near_bottom = region.y + region.height - top - height
    return all(0 <= distance <= slack for distance in (near_left, near_top, near_right, near_bottom))


def test_a_still_scene_shows_nothing() -> None:
    scene = Scene()
    locator = learned(scene)
    assert all(locator.locate(scene.frame()) == () for _ in range(20))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_new_thing_is_boxed_tightly_at_any_resolution(factor: int) -> None:
    scene = Scene(HEIGHT * factor, WIDTH * factor)
    locator = learned(scene)
    box = (100 * factor, 60 * factor, 80 * factor, 90 * factor)
    (region,) = locator.locate(scene.frame(box))
    assert covers(region, box, slack=4 * factor)
    assert region.label == "motion"


def test_several_things_come_largest_first_and_touching_ones_are_one() -> None:
    scene = Scene()
    locator = learned(scene)
    small, large = (20, 20, 40, 40), (200, 100, 80, 80)
    first, second = locator.locate(scene.frame(small, large))
    assert covers(first, large, 4)
    assert covers(second, small, 4)
    locator = learned(scene)
    (both,) = locator.locate(scene.frame((50, 50, 40, 40), (92, 50, 40, 40)))
    assert covers(both, (50, 50, 82, 40), 4)


def test_only_so_many_and_only_of_the_right_size() -> None:
    scene = Scene()
    boxes = [(20, 20, 60, 60), (120, 20, 50, 50), (220, 20, 40, 40)]
    found = learned(scene, Motion(max_regions=2)).locate(scene.frame(*boxes))
    assert [covers(region, box, 4) for region, box in zip(found, boxes, strict=False)] == [True, True]
    limits = Motion(min_area=0.03, max_area=0.045)  # of 76800 pixels: 2304 to 3456; boxes with margin about 4096 ...
    (middle,) = learned(scene, limits).locate(scene.frame(*boxes))
    assert covers(middle, boxes[1], 4)


def test_a_thing_that_stays_becomes_background_after_a_tenth_of_the_history() -> None:
    scene = Scene()
    locator = learned(scene, Motion(history_frames=100))
    seen = [bool(locator.locate(scene.frame((100, 60, 80, 90)))) for _ in range(30)]
    assert 8 <= sum(seen) <= 14
    assert seen == sorted(seen, reverse=True)  # once gone it does not come back


def test_a_change_of_light_shows_nothing_and_is_learned() -> None:
    scene = Scene()
    locator = learned(scene)
    assert all(locator.locate(scene.frame(gain=1.4)) == () for _ in range(LEARNING + 5))
    box = (100, 60, 80, 90)
    (region,) = locator.locate(scene.frame(box, gain=1.4))
    assert covers(region, box, 4)


def test_a_shadow_is_not_a_thing() -> None:
    scene = Scene()
    locator = learned(scene)
    frame = scene.frame()
    shaded: Image = frame.image.copy()
    shaded[60:150, 100:180] = (shaded[60:150, 100:180] * 0.7).astype(np.uint8)
    assert locator.locate(Frame("cam", 99, shaded, 0, 0)) == ()


def test_steady_waits_until_a_thing_stays_where_it_is() -> None:
    scene = Scene()
    locator = learned(scene, Motion(steady=0.8))
    moving = [locator.locate(scene.frame((20 + 40 * step, 60, 80, 90))) for step in range(4)]
    assert all(regions == () for regions in moving)
    still = [locator.locate(scene.frame((140, 60, 80, 90))) for _ in range(2)]
    assert len(still[1]) == 1
    assert covers(still[1][0], (140, 60, 80, 90), 6)


def test_a_change_of_size_is_learned_anew() -> None:
    locator = learned(Scene())
    larger = Scene(HEIGHT * 2, WIDTH * 2)
    assert all(locator.locate(larger.frame((100, 100, 90, 90))) == () for _ in range(LEARNING))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 900), (900, 1), (7, 3)])
def test_odd_sizes_are_survived(height: int, width: int) -> None:
    locator = locator_from_config(Motion())
    random = np.random.default_rng(2)
    for number in range(LEARNING + 10):
        image = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
        for region in locator.locate(Frame("cam", number, image, 0, 0)):
            assert region.x + region.width <= width
            assert region.y + region.height <= height
