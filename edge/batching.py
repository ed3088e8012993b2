"""Whether crops of different frames share a run of the engine, and whether that is worth a wait. Pure.

Sharing saves engine time where a run of two takes less than two runs of one; how much it saves is measured while
deciding (`EngineTimes`), never assumed. It also costs: who was there first is done later. Both are counted in the same
unit, time until decided summed over crops, and the smaller sum wins:

    have n crops, m more come after w        costs n * (w + t(n + m) - t(n))
    t(k): median time of a run of k          saves m * (max(w, t(n)) + t(m) - w - t(n + m)),
                                             and t(n) + t(m) - t(n + m) for each crop that waits behind these

Where t(2) = 2 t(1) nothing is saved, so nobody waits and a crop that is ready goes by itself. Where the engine is what
everybody waits for (files, a device that is behind) a little saving is worth much, because it is saved again and again.
A size that has not been measured is tried, and tried again after RETRY runs, for clocks of processors change.

When the next frame of a camera comes is told by its last ones (`Arrivals`): the mean of their intervals from the last
one on, later by their mean deviation; exponentially weighted, as TCP does with round trips (Jacobson 1988).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

__all__ = ["Arrivals", "EngineTimes", "Coming", "joins", "window_ns"]

WINDOW = 25  # runs of a size that its median looks back on
LEAST = 3  # of them, before it is believed
RETRY = 2_000  # runs of other sizes, after which a size is measured again
MATERIAL = 0.1  # of the time of both runs: who is live is not delayed for a saving that may be noise
WEIGHT = 1 / 8  # of the newest interval
MOST_WINDOW_NS = 50_000_000  # whatever is saved


@dataclass(frozen=True, slots=True)
class Coming:
    """A frame of another camera that is ready for the engine in `after_ns`, with about so many crops."""

    after_ns: float
    crops: float


class EngineTimes:
    """How long a run of so many crops takes."""

    def __init__(self) -> None:
        self._took_ns: dict[int, deque[int]] = {}
        self._last_run: dict[int, int] = {}
        self._runs = 0

    def note(self, crops: int, took_ns: int) -> None:
        """Count one run."""
        self._runs += 1
        self._last_run[crops] = self._runs
        self._took_ns.setdefault(crops, deque(maxlen=WINDOW)).append(took_ns)

    def median_ns(self, crops: int) -> float | None:
        """Return the median of the last runs of this size, None where they are too few."""
        took = self._took_ns.get(crops, ())
        return median(took) if len(took) >= LEAST else None

    def is_due(self, crops: int) -> bool:
        """Whether this size should be measured, for the first time or again."""
        return self.median_ns(crops) is None or self._runs - self._last_run[crops] > RETRY

    def saves(self, crops: int) -> bool:
        """Whether a run of so many crops is faster than as many runs of one, as far as is known."""
        one, these = self.median_ns(1), self.median_ns(crops)
        return crops == 1 or one is None or these is None or these < (1 - MATERIAL) * crops * one


class Arrivals:
    """When the next frame of one camera will be ready for the engine. Times are CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self._captured_ns = 0
        self._interval_ns = 0.0
        self._deviation_ns = 0.0
        self._lag_ns = 0.0  # from captured to ready for the engine
        self._crops = 0.0
        self.look_ns = 0.0  # from taken to ready for the engine

    def note(self, captured_ns: int, taken_ns: int, ready_ns: int, crops: int) -> None:
        """Count one frame: taken by the loop, and with all its crops ready for the engine."""
        interval_ns = captured_ns - self._captured_ns
        if not self._captured_ns:
            self.look_ns, self._lag_ns, self._crops = ready_ns - taken_ns, ready_ns - captured_ns, crops
        elif not self._interval_ns:
            self._interval_ns, self._deviation_ns = interval_ns, interval_ns / 2
        else:
            error_ns = interval_ns - self._interval_ns
            self._interval_ns += WEIGHT * error_ns
            self._deviation_ns += WEIGHT * (abs(error_ns) - self._deviation_ns)
        self._captured_ns = captured_ns
        self._lag_ns += WEIGHT * (ready_ns - captured_ns - self._lag_ns)
        self.look_ns += WEIGHT * (ready_ns - taken_ns - self.look_ns)
        self._crops += WEIGHT * (crops - self._crops)

    def ready(self) -> Coming:
        """Return what to expect of a frame that waits to be taken."""
        return Coming(self.look_ns, self._crops)

    def next(self, now_ns: int) -> Coming | None:
        """Return what to expect of the next frame; None where too few came, or one that was due did not come."""
        if not self._interval_ns:
            return None
        after_ns = self._captured_ns + self._interval_ns + self._lag_ns + self._deviation_ns - now_ns
        return Coming(after_ns, self._crops) if after_ns >= 0 else None


def joins(times: EngineTimes, have: int, more: int, behind: float) -> bool:
    """Whether `more` crops that are ready should join `have` that wait; `behind`: crops that wait for both, or inf."""
    if times.is_due(have + more):  # one unknown at a time, and none where fewer crops saved nothing
        return not (times.is_due(have) or times.is_due(more)) and times.saves(have)
    first, second, both = (times.median_ns(crops) for crops in (have, more, have + more))
    if first is None or second is None or both is None:
        return False
    saved = first + second - both
    if behind == float("inf"):
        return saved > 0
    return saved > MATERIAL * (first + second) and have * (both - first) < (more + behind) * saved


def window_ns(times: EngineTimes, have: int, limit: int, expected: Iterable[Coming], budget_ns: float) -> int:
    """Return how long `have` crops should wait for the engine, which is free, until others can share their run.

    At most `limit` crops share one, and none is decided on later than `budget_ns` from now. 0: begin now.
    """
    soonest = min(expected, key=lambda one: one.after_ns, default=None)
    more = 0 if soonest is None else round(soonest.crops)
    if soonest is None or not 0 < more <= limit - have:
        return 0
    first, second, both = (times.median_ns(crops) for crops in (have, more, have + more))
    if first is None or second is None or both is None:
        return 0
    wait = soonest.after_ns
    if first + second - both <= MATERIAL * (first + second) or wait > MOST_WINDOW_NS or wait + both > budget_ns:
        return 0
    costs = have * (wait + both - first)
    saves = more * (max(wait, first) + second - wait - both)
    return max(1, round(wait)) if costs < saves else 0
