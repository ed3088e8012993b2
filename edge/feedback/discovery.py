"""Which of many tests to believe: false-discovery control over products that have very different counts. Pure.

- Benjamini & Hochberg, JRSS B 57 (1995): of what is believed, at most the share `rate` is wrong on average.
- A test with a few trials cannot be significant whatever it finds; counting it would only make the others harder.
  Gilbert, Applied Statistics 54 (2005), after Tarone (1990): such tests are left out first, by the least p-value they
  can have, which the count of trials fixes before anything was found.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

__all__ = ["believed"]


def believed(p_values: Sequence[float], least: Sequence[float], rate: float) -> list[int]:
    """Return the indices of the tests to believe, ascending; `least` are the smallest p-values each test can have."""
    can = _testable(least, rate)
    order = sorted(can, key=lambda test: p_values[test])
    passing = [rank for rank, test in enumerate(order, 1) if p_values[test] <= rate * rank / len(order)]
    return sorted(order[: passing[-1]]) if passing else []


def _testable(least: Sequence[float], rate: float) -> list[int]:
    """Return the tests that can reach `rate` / K, for the smallest K that is not exceeded by their number."""
    ascending = sorted(least)
    for count in range(1, len(ascending) + 1):
        if bisect_right(ascending, rate / count) <= count:
            return [test for test, value in enumerate(least) if value <= rate / count]
    return []
