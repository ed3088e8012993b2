"""When crops share a run of the engine, and when one waits for that: the rule, on engines that are only numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.batching import LEAST, RETRY, Arrivals, Coming, EngineTimes, joins, window_ns

MS = 1_000_000
INFINITE = float("inf")
SECOND_NS = 1_000 * MS


def times_of(*runs_ms: float) -> EngineTimes:
    """An engine whose run of k crops takes `runs_ms[k - 1]`."""
    times = EngineTimes()
    for crops, took_ms in enumerate(runs_ms, 1):
        for _ in range(LEAST):
            times.note(crops, round(took_ms * MS))
    return times


CPU = times_of(13, 24.5, 36.4, 48)  # EfficientNet-Lite0 INT8 as measured, one thread
GPU = times_of(2, 2.3, 2.6, 2.9)  # a launch costs more than a crop


def test_where_two_take_as_long_as_twice_one_nobody_joins_and_nobody_waits() -> None:
    linear = times_of(10, 20, 30, 40)
    for behind in (0, 5, INFINITE):
        assert not joins(linear, 1, 1, behind)
    assert window_ns(linear, 1, 4, [Coming(0, 1.0)], SECOND_NS) == 0


def test_a_small_saving_is_taken_for_files_and_not_from_a_crop_that_was_first() -> None:
    assert joins(CPU, 1, 1, INFINITE)
    assert not joins(CPU, 1, 1, 0)
    assert window_ns(CPU, 1, 4, [Coming(0.1 * MS, 1.0)], SECOND_NS) == 0


def test_a_large_saving_is_worth_a_short_wait() -> None:
    assert joins(GPU, 1, 1, 0)
    assert joins(GPU, 3, 1, 0)
    assert window_ns(GPU, 1, 4, [Coming(0.5 * MS, 1.0), Coming(9 * MS, 1.0)], SECOND_NS) == 0.5 * MS
    assert window_ns(GPU, 1, 4, [Coming(1.5 * MS, 1.0)], SECOND_NS) == 0, "costs more than it saves"


def test_who_waits_behind_makes_a_saving_worth_more() -> None:
    half = times_of(10, 16)
    assert not joins(half, 1, 1, 0)
    assert joins(half, 1, 1, 1)


def test_nobody_waits_alone_or_for_a_camera_that_sees_nothing_or_more_than_fits_or_beyond_the_budget() -> None:
    soon = Coming(0.1 * MS, 1.0)
    assert window_ns(GPU, 1, 4, [], SECOND_NS) == 0
    assert window_ns(GPU, 1, 4, [Coming(0.1 * MS, 0.3)], SECOND_NS) == 0
    assert window_ns(GPU, 4, 4, [soon], SECOND_NS) == 0
    assert window_ns(GPU, 1, 4, [soon], 2.3 * MS) == 0
    assert window_ns(GPU, 1, 4, [soon], 2.5 * MS) > 0


def test_an_unknown_size_is_tried_once_its_parts_are_known_and_again_after_many_runs() -> None:
    times = EngineTimes()
    assert not joins(times, 1, 1, 0), "one crop is measured first"
    assert window_ns(times, 1, 4, [Coming(0, 1.0)], SECOND_NS) == 0
    for _ in range(LEAST):
        times.note(1, 10 * MS)
    for _ in range(LEAST):
        assert joins(times, 1, 1, 0)
        times.note(2, 20 * MS)
    assert not joins(times, 1, 1, 0)
    for _ in range(RETRY + 1):
        times.note(1, 10 * MS)
    assert joins(times, 1, 1, 0)
    times.note(2, 20 * MS)
    assert not joins(times, 1, 1, 0)


def test_where_two_together_saved_nothing_three_are_not_tried() -> None:
    for second_ms, tried in ((19.5, False), (12.0, True)):
        assert joins(times_of(10, second_ms), 2, 1, INFINITE) is tried
    assert joins(times_of(10, 12, 14), 3, 1, 0)


@given(
    st.lists(st.floats(0.1, 100), min_size=8, max_size=8),
    st.integers(1, 7),
    st.integers(1, 7),
    st.floats(0, 60),
    st.floats(0, 200),
)
def test_a_wait_never_costs_more_than_it_saves(
    runs_ms: list[float], have: int, more: int, after_ms: float, budget_ms: float
) -> None:
    """Against the times of all crops, added up for both ways."""
    times = times_of(*runs_ms)
    window = window_ns(times, have, 8, [Coming(after_ms * MS, float(more))], budget_ms * MS)
    if not window:
        return
    run = lambda crops: runs_ms[crops - 1]  # noqa: E731  # three uses
    assert have + more <= 8
    together = (have + more) * (after_ms + run(have + more))
    apart = have * run(have) + more * (max(after_ms, run(have)) + run(more))
    assert together <= apart + 1e-3
    assert window / MS + run(have + more) <= budget_ms + 1e-3


def arrivals_of(interval_ms: float, count: int, crops: int = 1, jitter_ms: float = 0.0) -> Arrivals:
    """A camera whose frames take 2 ms to the loop and 3 ms there, the first one captured at 1,000 ms."""
    arrivals = Arrivals()
    for number in range(count):
        captured_ns = round((1_000 + number * interval_ms + jitter_ms * (number % 2)) * MS)
        arrivals.note(captured_ns, captured_ns + 2 * MS, captured_ns + 5 * MS, crops)
    return arrivals


def test_the_next_frame_comes_an_interval_after_the_last() -> None:
    arrivals = arrivals_of(40, 100, crops=3)
    last_ms = 1_000 + 99 * 40
    coming = arrivals.next((last_ms + 10) * MS)
    assert coming is not None
    assert coming.after_ns == pytest.approx(35 * MS, rel=0.01)
    assert coming.crops == pytest.approx(3)
    assert arrivals.ready().after_ns == pytest.approx(3 * MS)
    shaky = arrivals_of(40, 100, jitter_ms=10).next((last_ms + 10) * MS)
    assert shaky is not None
    assert shaky.after_ns > coming.after_ns + 10 * MS, "who is irregular is expected later"


def test_a_camera_that_is_overdue_or_new_is_not_waited_for() -> None:
    arrivals = arrivals_of(40, 100)
    assert arrivals.next((1_000 + 99 * 40 + 60) * MS) is None
    assert Arrivals().next(0) is None
    assert arrivals_of(40, 1).next(1_001 * MS) is None
