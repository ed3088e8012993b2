"""Where the time of a frame goes, at a clock that the test winds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.health import percentile
from edge.stages import BOUNDS_MS, Stage, Stages, Stopwatch


def test_every_stage_has_bounds_in_order() -> None:
    assert set(BOUNDS_MS) == set(Stage)
    assert all(list(bounds) == sorted(set(bounds)) for bounds in BOUNDS_MS.values())


@given(st.lists(st.integers(-10, 10**12), min_size=1, max_size=300))
def test_a_histogram_counts_each_sample_once(samples: list[int]) -> None:
    stages = Stages()
    for took_ns in samples:
        stages.note(Stage.ENGINE, took_ns)
    histogram = stages.histograms[Stage.ENGINE]
    below = 0
    for bound, count in zip(histogram.bounds_ns, histogram.buckets, strict=False):
        below += count
        assert below == sum(took_ns <= bound for took_ns in samples)
    assert sum(histogram.buckets) == len(samples)
    assert histogram.sum_ns == sum(samples)
    recent = [took_ns / 1e6 for took_ns in samples[-256:]]
    assert stages.p99_ms() == {"engine": percentile(recent, 0.99)}


def test_a_stopwatch_gives_each_stage_its_part_and_skips_what_is_of_none() -> None:
    moments = iter((7, 10, 100, 103))
    stages = Stages()
    watch = Stopwatch(stages, lambda: next(moments), since_ns=2)
    watch.lap(Stage.CAPTURE)
    watch.lap(Stage.LOCATE)
    watch.skip()
    watch.lap(Stage.PREPARE)
    sums = {stage: histogram.sum_ns for stage, histogram in stages.histograms.items() if histogram.sum_ns}
    assert sums == {Stage.CAPTURE: 5, Stage.LOCATE: 3, Stage.PREPARE: 3}
