"""Who gets memory for its frames, and when: cameras and a watch that say what the test says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from edge.daemon import TICK_MS
from edge.life.room import HURRY_MS, MIB, Room, asked_mib


@dataclass(eq=False)
class Camera:
    camera_id: str
    asked_bytes: int = 0
    asked_ns: int = 1
    granted: bool = False
    fault: str = ""

    def grant(self) -> None:
        self.granted = True

    def take(self) -> None:
        """Make its ring."""
        self.asked_bytes, self.granted = 0, False


@dataclass(eq=False)
class Stream:
    camera: Camera
    priority: int = 0


@dataclass
class Loop:
    streams: Sequence[Stream]
    tick_ms: int = 0


@dataclass
class Watch:
    """Has room for `mib`, by a reading of `read_ns`; None where it does not know yet."""

    mib: float | None
    read_ns: int = 5
    asked: list[tuple[float, float]] = field(default_factory=list)

    def has_room(self, mib: float, since_ns: int, now_ns: int, beside: Callable[[int], float]) -> bool | None:  # noqa: ARG002
        self.asked.append((mib, beside(self.read_ns)))
        return None if self.mib is None else sum(self.asked[-1]) <= self.mib


def shop(*sizes: int) -> tuple[Loop, list[Camera]]:
    """Cameras that want so many MiB; the priority rises."""
    cameras = [Camera(f"c{place}", size * MIB) for place, size in enumerate(sizes)]
    return Loop([Stream(camera, place) for place, camera in enumerate(cameras)]), cameras


def test_the_most_important_is_asked_first_and_what_is_granted_counts_until_a_reading_knows_of_it() -> None:
    loop, (low, middle, high) = shop(5, 6, 7)
    watch = Watch(13)
    room = Room(watch)
    room.turn(loop, 10)
    assert (low.granted, middle.granted, high.granted, asked_mib(loop)) == (False, True, True, 5)
    watch.read_ns = 15
    room.turn(loop, 20)
    assert not low.granted, "a reading of now need not know of what is being taken now"
    high.take()
    middle.take()
    room.turn(loop, 30)
    assert not low.granted, "nor one that was begun before it was taken"
    watch.read_ns = 35
    room.turn(loop, 40)
    assert low.granted
    assert watch.asked == [(7, 0), (6, 7), (5, 13), (5, 13), (5, 13), (5, 0)]


def test_a_small_one_need_not_wait_for_a_large_one_and_both_stand_in_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, (small, large, other) = shop(5, 90, 80)
    room = Room(Watch(50))
    with caplog.at_level(logging.WARNING):
        room.turn(loop, 10)
        small.take()
        room.turn(loop, 20)
        room.turn(loop, 30)
    assert (small.granted, large.granted, other.granted, asked_mib(loop)) == (False, False, False, 170)
    assert (small.fault, large.fault, other.fault) == ("", "memory", "memory")
    assert loop.tick_ms == TICK_MS
    assert sorted(record.message for record in caplog.records) == [
        "camera c1: no room for the 90 MiB that its frames want; it waits",
        "camera c2: no room for the 80 MiB that its frames want; it waits",
    ]


def test_nothing_is_granted_or_said_before_memory_was_read_and_the_loop_looks_again_soon(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, (camera,) = shop(5)
    with caplog.at_level(logging.WARNING):
        Room(Watch(None)).turn(loop, 10)
    assert (camera.granted, caplog.records, loop.tick_ms) == (False, [], HURRY_MS)


def test_one_that_fails_before_it_takes_holds_nobody_up_for_longer_than_a_reading() -> None:
    loop, (low, high) = shop(5, 7)
    watch = Watch(10)
    room = Room(watch)
    room.turn(loop, 10)
    high.take()  # as a failure leaves it
    room.turn(loop, 20)
    assert not low.granted
    watch.read_ns = 25
    room.turn(loop, 30)
    assert low.granted
