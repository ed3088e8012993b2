from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edge.bench.memory import MemorySample, sample_tree, slope


def samples(*pss_kib: int, step: int = 100) -> list[MemorySample]:
    return [MemorySample(number * step, 2, pss, 2 * pss, pss) for number, pss in enumerate(pss_kib)]


def test_growth_is_that_after_the_warm_up_third() -> None:
    warm_up = [1000, 90_000, 20]
    found = slope(samples(*warm_up, *(50_000 + 7 * number for number in range(7))))
    assert found is not None
    assert found.kib_per_1000_frames == pytest.approx(70.0)
    assert found.standard_error == pytest.approx(0.0, abs=1e-6)
    assert found.samples == 7


def test_noise_without_growth_is_within_its_standard_error() -> None:
    found = slope(samples(0, 0, 0, 101, 99, 100, 100, 99, 101, 100))
    assert found is not None
    assert abs(found.kib_per_1000_frames) < 2 * found.standard_error


def test_a_step_is_seen_with_a_standard_error() -> None:
    found = slope(samples(*[100] * 7, *[200] * 5))
    assert found is not None
    assert found.kib_per_1000_frames > 2 * found.standard_error > 0


@pytest.mark.parametrize("pss_kib", [[], [100], [100, 100, 100]])
def test_too_few_samples_have_no_slope(pss_kib: list[int]) -> None:
    assert slope(samples(*pss_kib)) is None


def test_samples_that_all_stand_at_the_same_frame_have_no_slope() -> None:
    assert slope(samples(*range(10), step=0)) is None


def test_all_processes_of_a_tree_are_counted() -> None:
    alone = sample_tree(os.getpid(), frames=7)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        both = sample_tree(os.getpid(), frames=7)
        child.communicate(b"\n")
    assert alone is not None
    assert both is not None
    assert (both.frames, both.processes) == (7, alone.processes + 1)
    assert 0 < both.pss_kib <= both.rss_kib
    assert both.pss_kib - 256 <= both.alone_kib <= both.rss_kib  # pages come and go between two mappings


def test_a_process_that_is_gone_has_no_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert sample_tree(child.pid, frames=0) is None
