"""Closing takes the time of the slowest, and everything is closed."""

from __future__ import annotations

import threading

from edge.life.together import Together


def test_all_are_closed_at_the_same_time() -> None:
    meeting, closed = threading.Barrier(5, timeout=20), []

    def close(number: int) -> None:
        meeting.wait()  # passes only when all five are here
        closed.append(number)

    with Together() as together:
        for number in range(5):
            together.callback(lambda number=number: close(number))
    assert sorted(closed) == list(range(5))
