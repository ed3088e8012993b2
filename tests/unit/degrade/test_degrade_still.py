"""What is passed over is what has not changed; a change, a new thing and a first look never are."""

from __future__ import annotations

import numpy as np

from edge.degrade.still import StillGate
from edge.types import Region

REGION = Region(10, 10, 60, 60, "slot")
OTHER = Region(100, 10, 60, 60, "slot")


def scene(seed: int, thing: int = 1) -> np.ndarray:
    """A picture with sensor noise that never repeats, and a patterned thing in REGION."""
    picture = np.full((100, 200, 3), 90, np.uint8)
    picture[10:70, 10:70] = np.random.default_rng(thing).integers(0, 256, (6, 6, 3)).repeat(10, 0).repeat(10, 1)
    noise = np.random.default_rng(1000 + seed).normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def looks(gate: StillGate, pictures: list[np.ndarray], every: int = 4) -> list[bool]:
    return [bool(gate.open_for(picture, [REGION], every)) for picture in pictures]


def test_a_still_region_is_looked_at_as_often_as_its_tracker_needs_and_then_every_so_often() -> None:
    seen = looks(StillGate(3), [scene(n) for n in range(15)])
    assert seen == [True] * 3 + [False, False, False, True] * 3


def test_everything_is_looked_at_where_nothing_is_to_be_saved() -> None:
    assert all(looks(StillGate(3), [scene(n) for n in range(9)], every=1))


def test_another_thing_in_the_same_place_is_looked_at_at_once() -> None:
    pictures = [scene(n) for n in range(6)] + [scene(n, thing=2) for n in range(6, 10)]
    assert looks(StillGate(3), pictures, every=8) == [True] * 3 + [False] * 3 + [True] * 3 + [False]


def test_a_change_in_one_corner_counts() -> None:
    changed = scene(6)
    changed[10:20, 10:20] = 255 - changed[10:20, 10:20]
    assert looks(StillGate(3), [scene(n) for n in range(6)] + [changed], every=8)[-1]


def test_a_change_too_slow_to_see_from_frame_to_frame_adds_up() -> None:
    pictures = [np.clip(scene(0).astype(int) + 2 * n, 0, 255).astype(np.uint8) for n in range(40)]
    seen = looks(StillGate(1), pictures, every=1000)
    assert 3 <= sum(seen) <= 10


def test_a_thing_that_moved_is_looked_at() -> None:
    gate = StillGate(1)
    assert gate.open_for(scene(0), [REGION, OTHER], 8) == [REGION, OTHER]
    assert gate.open_for(scene(1), [REGION, OTHER], 8) == []
    moved = Region(40, 10, 60, 60, "slot")
    assert gate.open_for(scene(2), [moved, OTHER], 8) == [moved]


def test_a_gate_that_was_off_begins_anew() -> None:
    gate = StillGate(1)
    looks(gate, [scene(0), scene(1)])
    looks(gate, [scene(2)], every=1)
    assert looks(gate, [scene(3), scene(4)]) == [True, False]
