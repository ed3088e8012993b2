"""Wait for several cameras at once, without polling."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import TypeVar

from edge.capture.camera import Camera

__all__ = ["wait_any"]

_Camera = TypeVar("_Camera", bound=Camera)


def wait_any(cameras: Sequence[_Camera], timeout_ms: int, other: int = -1) -> list[_Camera]:
    """Return all cameras whose `read(0)` has something to say, at the latest after `timeout_ms`; may be empty.

    It returns too when the descriptor `other` is readable.
    The camera that was read longest ago comes first: a reader that takes one frame of each, or only the first few, is
    fair to all. A camera that ended or failed is returned once, so that its error is read, and again after `reopen`.
    """
    give_up_ns = time.monotonic_ns() + timeout_ms * 1_000_000
    while True:
        ready = [camera for camera in cameras if camera.ready()]
        now_ns = time.monotonic_ns()
        if ready:
            _ask_who_misses_its_turn(cameras, ready)
        if ready or now_ns >= give_up_ns:
            return sorted(ready, key=lambda camera: camera.last_taken_ns)
        for camera in cameras:
            camera.hunger()
        deadlines = [deadline for camera in cameras if (deadline := camera.deadline_ns()) is not None]
        if other in _sleep(cameras, other, min([give_up_ns, *deadlines]) - now_ns):
            give_up_ns = 0  # one more look at the cameras


def _ask_who_misses_its_turn(cameras: Sequence[Camera], ready: Sequence[Camera]) -> None:
    """Ask those for any frame that were read longer ago than all that are ready: others are served in their place."""
    turn_ns = min(camera.last_taken_ns for camera in ready)
    for camera in cameras:
        if camera.last_taken_ns < turn_ns:
            camera.hunger()


def _sleep(cameras: Sequence[Camera], other: int, longest_ns: int) -> list[int]:
    """Return the descriptors that woke us."""
    poller = select.poll()
    if other >= 0:
        poller.register(other, select.POLLIN)
    for camera in cameras:
        if camera.fileno() >= 0:
            poller.register(camera.fileno(), select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(max(0, -(-longest_ns // 1_000_000)))]
