"""The benchmark of reliability in its shortest form: every fault runs, and what does not depend on the clock is met.

Figures in time or in shares of a rate are left to `make bench-reliability`, on a machine that is not shared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from benchmarks.reliability import (
    backlog,
    cameras,
    clock,
    delivery,
    full_disk,
    killed,
    memory,
    power,
    soak,
    subscribers,
)
from benchmarks.reliability.paired import Turn, ratio
from benchmarks.reliability.result import Result, markdown
from benchmarks.reliability.sizes import SHORT
from edge.bench.report import at_most

ONCE = dataclasses.replace(SHORT, daemon_kills=1, windows=1, jump_s=1.0, full_disk_s=1.0, cut_decisions=300)
NO_TIME = {"decisions", "times", ""}  # units of what is counted


def counted(results: Sequence[Result]) -> dict[str, float]:
    """Return what was counted and has a bar; nothing of it may be missed."""
    found = {}
    for result in results:
        if result.not_run:
            pytest.skip(f"{result.fault} was not run: {result.not_run}")
        for figure in result.figures:
            if figure.bar and (figure.unit in NO_TIME or figure.unit.startswith("of ")) and "rate" not in figure.name:
                found[f"{result.fault}: {figure.name}"] = figure.value
                assert figure.passed is not False or "second" in figure.name, (result.fault, figure)
    assert found
    return found


def test_broken_cameras_give_no_decision_from_a_stale_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {"camera hangs (H.264)", "JPEG truncated"}
    monkeypatch.setattr(cameras, "FAULTS", [fault for fault in cameras.FAULTS if fault.name in faults])
    results = cameras.measure(ONCE)
    assert {result.fault for result in results} == faults
    for result in results:
        seconds = {figure.name: figure.value for figure in result.figures}
        slow = seconds["oldest picture before"]  # how far this machine is behind when nothing is wrong
        assert seconds["oldest picture decided on"] <= cameras.STALE_S + slow, result


def test_a_crowd_in_which_one_never_reads_takes_nothing_from_the_others() -> None:
    assert len(counted(subscribers.measure(ONCE))) == 4, "two figures each, plain and encrypted"


def test_a_network_that_is_cut_loses_nothing() -> None:
    assert set(counted([delivery.cut_off(ONCE)]).values()) == {0}


def test_a_backlog_is_delivered_beside_the_frames() -> None:
    (left,) = counted(backlog.measure(ONCE)).values()
    assert left >= 1


def test_a_killed_daemon_leaves_its_files_whole_and_nothing_behind() -> None:
    assert set(counted(killed.measure(ONCE)).values()) == {0}


def test_a_full_disk_stops_nothing_and_everything_is_accounted_for() -> None:
    assert counted(full_disk.measure(ONCE))["disk full: decisions neither kept nor counted as lost"] == 0


def test_a_clock_that_jumps_and_one_that_boots_in_1970_keep_the_order() -> None:
    found = counted(clock.measure(ONCE))
    assert [value for name, value in found.items() if name.endswith("out of order")] == [0, 0]


def test_a_power_cut_takes_nothing_that_was_committed_or_answered() -> None:
    assert set(counted(power.measure(ONCE)).values()) == {0}


@pytest.mark.slow
def test_a_hundred_power_cuts_take_nothing_that_was_committed_or_answered() -> None:
    assert set(counted(power.measure(dataclasses.replace(ONCE, power_cuts=100))).values()) == {0}


@pytest.mark.slow
def test_a_device_at_its_memory_limit_closes_a_camera_and_is_not_killed() -> None:
    (result,) = memory.measure(ONCE)
    assert result.verdict == "met", result


def test_what_was_not_run_is_said() -> None:
    result = Result("memory limit reached", not_run="no control group")
    assert (result.verdict, "| not run |" in markdown([result])) == ("not run", True)


def test_a_missed_bar_and_one_that_noise_hides_are_told_apart() -> None:
    quiet = [Turn([1.0] * 100, [1.2] * 100)] * 8
    noisy = [Turn([1.0] * 100, [0.8 + 0.1 * turn] * 100) for turn in range(8)]
    assert ratio("p", quiet, 50, 1.05).passed is False
    assert ratio("p", noisy, 50, 1.05).passed is None
    assert ratio("p", [Turn([1.0, 2.0], [1.0, 2.0])], 50, 1.05).passed is True
    missed = Result("a", (at_most("b", 2, "", 1), ratio("p", noisy, 50, 1.05)))
    assert missed.verdict == "missed"
    assert dataclasses.replace(missed, figures=missed.figures[1:]).verdict == "not told"


def test_a_slope_is_found_under_outliers_and_its_interval_holds_it() -> None:
    points = [(float(x), 3.0 * x + (50.0 if x % 9 == 0 else 0.01 * (x % 5))) for x in range(60)]
    slope, low, high = soak.theil(points)
    assert slope == pytest.approx(3.0, abs=0.01)
    assert low < slope < high < 3.1
