"""How sure a share is: the exact binomial tail and interval, and Wilson's for weighted counts. Pure.

Exact: Clopper & Pearson, Biometrika 26 (1934). Weighted: Wilson, JASA 22 (1927), on the effective count of Kish (Survey
Sampling, 1965); approximate, and told as such wherever it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

__all__ = ["at_most", "exact", "wilson"]

_STEPS = 32  # halvings: 2e-10
_SMALL = 1e-17
_Z = {0.9: 1.6448536269514722, 0.95: 1.959963984540054}


def at_most(right: int, checked: int, share: float) -> float:
    """Return P(X <= right) of X ~ Binomial(checked, share): small means the share is lower than said."""
    if right >= checked or share <= 0.0:
        return 1.0
    if right < 0 or share >= 1.0:
        return 0.0
    if right > checked * share:
        return 1.0 - at_most(checked - right - 1, checked, 1.0 - share)
    log_first = math.lgamma(checked + 1) - math.lgamma(right + 1) - math.lgamma(checked - right + 1)
    first = math.exp(log_first + right * math.log(share) + (checked - right) * math.log1p(-share))
    total, term, odds = 1.0, 1.0, (1.0 - share) / share
    for k in range(right, 0, -1):  # towards smaller counts terms only fall, as `right` is under the mean
        term *= k * odds / (checked - k + 1)
        total += term
        if term < _SMALL * total:
            break
    return min(1.0, first * total)


@lru_cache(4_096)  # of 2,000 products most have the same few counts
def exact(right: int, checked: int, certainty: float = 0.95) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson; (0, 1) where nothing was checked."""
    if checked == 0:
        return 0.0, 1.0
    tail = (1.0 - certainty) / 2
    low = 0.0 if right == 0 else _solve(lambda share: at_most(right - 1, checked, share) > 1.0 - tail)
    high = 1.0 if right == checked else _solve(lambda share: at_most(right, checked, share) > tail)
    return low, high


def wilson(share: float, effective: float, certainty: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share that `effective` (> 0) equal trials would know as well."""
    z = _Z[certainty]
    spread = z * z / effective
    middle = (share + spread / 2) / (1.0 + spread)
    half = z / (1.0 + spread) * math.sqrt(share * (1.0 - share) / effective + spread / (4 * effective))
    return max(0.0, middle - half), min(1.0, middle + half)


def _solve(holds_below: Callable[[float], bool]) -> float:
    """Return where a condition that holds for small shares stops holding."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds_below(middle) else (low, middle)
    return low
