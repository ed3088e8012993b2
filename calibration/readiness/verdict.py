"""The vocabulary of the checks: what was measured, how sure that is, where the limit lies, what to do.

Rules
- The figure decides, not its interval: FAIL when the figure is past the limit. Where the limit lies inside the interval
  the check says so (`close`), because a fresh set of photos may turn it.
- A figure that is not finite is never a PASS.
- NOT_TESTABLE is no pass: it says what is missing. It does not refuse either: a shop without a history is not refused.

Intervals are of 95 %. `resampled` draws products with replacement (seeded), since photos of one product are not
independent of each other: Efron, Annals of Statistics 7, 1979. `binomial` is exact: Clopper & Pearson, Biometrika 26,
1934.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.rules.bounds import upper_bound

__all__ = ["DRAWS", "Check", "Interval", "Limit", "Verdict", "Topic", "binomial", "judge", "not_testable", "resampled"]

DRAWS = 1000
_TAIL = 0.025


class Verdict(str, Enum):
    """What a check says."""

    PASS = "pass"  # noqa: S105  # a verdict, no password
    FAIL = "fail"
    NOT_TESTABLE = "not testable"


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true figure lies, and how that was found."""

    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of a figure. `unit` is how people read it: ratio, share, points, products or plain.

    `condition` is what the figure means nothing without, such as a budget.
    """

    value: float
    at_most: bool
    unit: str
    condition: str = ""

    def kept_by(self, figure: float) -> bool:
        """Tell whether a figure is on the right side; NaN is not."""
        return figure <= self.value if self.at_most else figure >= self.value


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the report. `figure` and `interval` are None when the check is not testable, and `needs` says why.

    `found` is the figure in a sentence, `advice` what to do; `details` holds plain values for the drawings.
    """

    key: str
    title: str
    verdict: Verdict
    limit: Limit
    figure: float | None
    interval: Interval | None
    found: str
    needs: str
    advice: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def close(self) -> bool:
        """True when the limit lies inside the interval: a fresh set of photos may turn the verdict."""
        return self.interval is not None and self.interval.low <= self.limit.value <= self.interval.high


@dataclass(frozen=True, slots=True)
class Topic:
    """What does not depend on the verdict: key and title of a check, its limit."""

    key: str
    title: str
    limit: Limit


def judge(
    topic: Topic,
    figure: float,
    interval: Interval | None,
    texts: tuple[str, str, str],
    details: Mapping[str, Any] | None = None,
) -> Check:
    """Return a PASS or FAIL by the figure; `texts` are what was found, the advice after a pass and after a fail."""
    found, kept, past = texts
    passed = math.isfinite(figure) and topic.limit.kept_by(figure)
    verdict, advice = (Verdict.PASS, kept) if passed else (Verdict.FAIL, past)
    return Check(topic.key, topic.title, verdict, topic.limit, figure, interval, found, "", advice, dict(details or {}))


def not_testable(topic: Topic, needs: str, advice: str, details: Mapping[str, Any] | None = None) -> Check:
    """Return the check of something that cannot be measured; `needs` says how much of what is missing."""
    return Check(
        topic.key, topic.title, Verdict.NOT_TESTABLE, topic.limit, None, None, "", needs, advice, dict(details or {})
    )


def resampled(statistic: Callable[[NDArray[np.intp]], float], products: int, seed: int, draws: int = DRAWS) -> Interval:
    """Return the percentile interval of a statistic over drawn products; it is given their indices, with repeats."""
    generator = np.random.default_rng(seed)
    values = np.array([statistic(generator.integers(0, products, products)) for _ in range(draws)])
    low, high = np.quantile(values, [_TAIL, 1.0 - _TAIL])
    return Interval(float(low), float(high), f"95 %, bootstrap over {products:,} products")


def binomial(hits: int, trials: int) -> Interval:
    """Return the exact interval of a share, hits out of trials; 0 to 1 without trials."""
    method = f"95 %, exact binomial, {hits:,} of {trials:,}"
    if trials == 0:
        return Interval(0.0, 1.0, method)
    high = upper_bound(trials, hits, hits, 1.0, _TAIL) if hits < trials else 1.0
    low = 1.0 - upper_bound(trials, trials - hits, trials - hits, 1.0, _TAIL) if hits > 0 else 0.0
    return Interval(low, high, method)
