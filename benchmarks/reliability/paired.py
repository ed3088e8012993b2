"""Latency of one daemon in two states, in turns, and the ratio between them: what changes the machine changes both.

A ratio has a 95 % interval from drawing the turns anew. It is missed where the whole interval is over the bar, met
where the ratio is within it, and tells nothing in between: the machine was too noisy for the number of turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bench.report import Figure

__all__ = ["Turn", "ratio"]

DRAWS = 500
SEED = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """Latencies in ms of one turn: without what is measured, and right after with it."""

    without_ms: Sequence[float]
    with_ms: Sequence[float]


def ratio(name: str, turns: Sequence[Turn], percent: float, most: float) -> Figure:
    """Return a percentile of all latencies with over that without, its interval in the unit, against `most`."""
    without = [np.asarray(turn.without_ms, np.float64) for turn in turns]
    beside = [np.asarray(turn.with_ms, np.float64) for turn in turns]
    found = _ratio(without, beside, percent)
    random = np.random.default_rng(SEED)
    drawn = []
    for _ in range(DRAWS):
        picked = random.integers(0, len(turns), len(turns))
        drawn.append(_ratio([without[n] for n in picked], [beside[n] for n in picked], percent))
    low, high = np.percentile(drawn, [2.5, 97.5])
    passed = True if found <= most else False if low > most else None
    unit = f"(95 %: {low:.2f} to {high:.2f})" + (" not told" if passed is None else "")
    return Figure(name, found, unit, f"<= {most:g}", passed)


def _ratio(without: Sequence[NDArray[np.float64]], beside: Sequence[NDArray[np.float64]], percent: float) -> float:
    first, second = (float(np.percentile(np.concatenate(parts), percent)) for parts in (without, beside))
    return second / first if first > 0 else float("nan")
