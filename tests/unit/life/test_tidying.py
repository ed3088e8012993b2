"""What was freed goes back to the system, every minute and no more often."""

from __future__ import annotations

import ctypes

import pytest

from edge.health import resident_mib
from edge.life import tidying
from edge.life.tidying import PERIOD_NS, Tidying

DAEMON = None  # a duty that asks nothing of it


def turn(duty: Tidying, now_ns: int) -> None:
    duty.turn(DAEMON, now_ns)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library keeps what is freed")
def test_holes_between_what_lives_on_go_back() -> None:
    duty = Tidying()
    turn(duty, 0)
    pile = [bytes(2_000) for _ in range(20_000)]
    pile[:] = pile[::10]  # what is left lies all over it, so the heap cannot just end sooner
    before = resident_mib()
    turn(duty, PERIOD_NS)
    assert resident_mib() < before - 10, "of 36 MiB that are free"
    assert len(pile) == 2_000


def test_it_is_done_once_a_period_and_not_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    monkeypatch.setattr(tidying, "give_back_freed", lambda: done.append(1))
    duty, begin_ns = Tidying(), 5
    for now_ns in range(begin_ns, begin_ns + 3 * PERIOD_NS, PERIOD_NS // 100):
        turn(duty, now_ns)
    assert len(done) == 2
