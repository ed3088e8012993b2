"""Which products and tiers were worse than they should be in two windows on end. Pure.

Per window an exact binomial test of "at least as right as the threshold"; of the two the larger p-value counts, which
tests "fine in one of them at least" (partial conjunction: Benjamini & Heller, Biometrics 64, 2008). Over all products
and tiers the share of false discoveries is bounded (`edge.feedback.discovery`). The plain rule, 5 % in each window, is
wrong about five times for every two windows of 2,000 products with which nothing is the matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct, structs

from edge.config import AccuracyFloor, AccuracyRule
from edge.feedback.discovery import believed
from edge.feedback.interval import at_most
from edge.feedback.tally import Counts, Key
from edge.messages import LowAccuracy

__all__ = ["Limits", "Window", "low_twice"]


class Window(Struct, frozen=True):
    """The counts of a window that is closed."""

    charged: Counts
    asked: Counts


@dataclass(frozen=True, slots=True)
class Limits:
    """What the shares should be; `tier_of` names the tier of a product."""

    rule: AccuracyRule
    tier_of: Mapping[str, str]

    def floor(self, key: Key) -> AccuracyFloor:
        """Return the floor of a product, a tier or all."""
        scale, _, name = key.partition(":")
        tier = name if scale == "tier" else self.tier_of.get(name, "") if scale == "product" else ""
        own: AccuracyFloor | None = structs.asdict(self.rule.tiers).get(tier)
        return own or self.rule


def low_twice(before: Window, now: Window, limits: Limits) -> tuple[list[LowAccuracy], int]:
    """Return what is low in both windows, the surest first, and how many tests there were."""
    tests = [
        *(
            _test("charged", key, (before.charged, now.charged), limits.floor(key).charged)
            for key in _both(before.charged, now.charged)
        ),
        *(
            _test("asked", key, (before.asked, now.asked), limits.floor(key).asked)
            for key in _both(before.asked, now.asked)
        ),
    ]
    least = [_least(test) for test in tests]
    found = believed([test.p_value for test in tests], least, limits.rule.false_discovery)
    return sorted((tests[one] for one in found), key=lambda low: low.p_value), len(tests)


def _both(before: Counts, now: Counts) -> list[Key]:
    return sorted(before.keys() & now.keys())


def _test(question: str, key: Key, windows: tuple[Counts, Counts], threshold: float) -> LowAccuracy:
    scale, _, name = key.partition(":")
    (right_before, checked_before), (right, checked) = (window[key] for window in windows)
    p_value = max(at_most(right_before, checked_before, threshold), at_most(right, checked, threshold))
    return LowAccuracy(
        question=question,
        scale=scale,
        name=name,
        right_before=right_before,
        checked_before=checked_before,
        right=right,
        checked=checked,
        threshold=threshold,
        p_value=p_value,
    )


def _least(test: LowAccuracy) -> float:
    """Return the p-value that it would have with nothing right."""
    return max(at_most(0, checked, test.threshold) for checked in (test.checked_before, test.checked))
