"""Where the time of a frame goes: the table of stages, and one histogram for each. Time is an argument everywhere.

The loop notes a few integers a frame (`benchmarks/`: what that costs); heartbeat and metrics read them. A stage is
noted by one thread at a time: the engine's thread notes `engine` only while the loop does not. Reading beside that is
safe: what is read is copied in one step of the interpreter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from types import MappingProxyType

__all__ = ["BOUNDS_MS", "Stage", "Stages", "Stopwatch", "percentile"]

WINDOW = 256  # samples of a stage that its percentile looks back on


class Stage(str, Enum):
    """A part of the way from the camera to the socket, in order. `locate` and before are noted once a frame, the others
    once a batch of crops.
    """

    CAPTURE = "capture"  # from the moment of capture until the loop takes the frame
    LOCATE = "locate"
    PREPARE = "prepare"  # crops cut, fitted and their quality measured
    ENGINE = "engine"
    JUDGE = "judge"  # lookup to route, and tracks
    PUBLISH = "publish"  # message, outbox, feedback, socket, recording


# Upper bounds in ms, few: each is a series (`edge.metrics.collector`). Percentiles are on the heartbeat.
BOUNDS_MS: MappingProxyType[Stage, tuple[float, ...]] = MappingProxyType(
    {
        Stage.CAPTURE: (5.0, 20.0, 100.0),
        Stage.LOCATE: (5.0,),
        Stage.PREPARE: (5.0,),
        Stage.ENGINE: (5.0, 20.0, 100.0),
        Stage.JUDGE: (2.0,),
        Stage.PUBLISH: (2.0,),
    }
)


class Histogram:
    """Counts of one stage: `buckets[i]` samples were at most `bounds_ns[i]`, the last one more than all; not summed."""

    __slots__ = ("_recent_ns", "bounds_ns", "buckets", "sum_ns")

    def __init__(self, bounds_ms: tuple[float, ...]) -> None:
        self.bounds_ns = tuple(round(bound * 1e6) for bound in bounds_ms)
        self.buckets = [0] * (len(bounds_ms) + 1)
        self.sum_ns = 0
        self._recent_ns: deque[int] = deque(maxlen=WINDOW)

    def note(self, took_ns: int) -> None:
        """Count one sample."""
        self.buckets[bisect_left(self.bounds_ns, took_ns)] += 1
        self.sum_ns += took_ns
        self._recent_ns.append(took_ns)

    def p99_ms(self) -> float | None:
        """Return the 99th percentile of the last WINDOW samples in ms, by nearest rank; None before the first."""
        return percentile(self._recent_ns, 0.99) / 1e6 if self._recent_ns else None


class Stages:
    """A histogram for every stage, since the start."""

    def __init__(self) -> None:
        self.histograms = {stage: Histogram(bounds) for stage, bounds in BOUNDS_MS.items()}

    def note(self, stage: Stage, took_ns: int) -> None:
        """Count one sample of a stage."""
        self.histograms[stage].note(took_ns)

    def p99_ms(self) -> dict[str, float]:
        """Return the recent 99th percentile in ms of every stage that has a sample."""
        found = ((stage.value, histogram.p99_ms()) for stage, histogram in self.histograms.items())
        return {stage: p99 for stage, p99 in found if p99 is not None}


class Stopwatch:
    """Notes the time from one `lap` to the next; the first one counts from `since_ns`."""

    __slots__ = ("_clock_ns", "_since_ns", "_stages")

    def __init__(self, stages: Stages, clock_ns: Callable[[], int], since_ns: int | None = None) -> None:
        self._stages = stages
        self._clock_ns = clock_ns
        self._since_ns = clock_ns() if since_ns is None else since_ns

    def lap(self, stage: Stage) -> int:
        """Note what has gone by as time of `stage`; return what the clock says."""
        now_ns = self._clock_ns()
        self._stages.note(stage, now_ns - self._since_ns)
        self._since_ns = now_ns
        return now_ns

    def skip(self) -> None:
        """Let what has gone by count for nothing here."""
        self._since_ns = self._clock_ns()


def percentile(values: Sequence[float] | deque[float], share: float) -> float:
    """Return the nearest-rank percentile (share in (0, 1]) of `values`; 0 when there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = max(0, -(-int(share * 10_000) * len(ordered) // 10_000) - 1)
    return ordered[min(rank, len(ordered) - 1)]
