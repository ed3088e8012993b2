"""What happened to each product, as two arrays of integers: 1.3 MiB for 20,000 products, whatever happens to them.

Counting is an index and an addition. The frame loop alone writes `decisions`, the clerk of feedback alone `verdicts`; a
reader takes a copy and may see a decision that is not in a total yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.types import Route

__all__ = ["OUTCOMES", "ROUTES", "ClassCounts", "Counts"]

Counts: TypeAlias = NDArray[np.int64]  # (C, 4), rows in the order of the bundle's classes

ROUTES = tuple(route.value for route in Route)  # columns of `decisions`
# Columns of `verdicts`: the question, and whether it was answered rightly (see `edge.feedback.tally`).
OUTCOMES = (("charged", "right"), ("charged", "wrong"), ("asked", "right"), ("asked", "wrong"))

_COLUMN = {route: number for number, route in enumerate(Route)}


class ClassCounts:
    """Counts since the start of the daemon, by class; `skus` are the classes of a bundle, in its order."""

    def __init__(self, skus: Sequence[str]) -> None:
        self.skus = tuple(skus)
        self._rows = {sku: row for row, sku in enumerate(self.skus)}
        self.decisions: Counts = np.zeros((len(self.skus), len(ROUTES)), np.int64)
        self.verdicts: Counts = np.zeros((len(self.skus), len(OUTCOMES)), np.int64)

    def decided(self, sku: str | None, route: Route) -> None:
        """Count a decision by its best candidate; one that has none belongs to no class."""
        row = self._rows.get(sku) if sku is not None else None
        if row is not None:
            self.decisions[row, _COLUMN[route]] += 1

    def checked(self, sku: str | None, question: str, right: bool) -> None:
        """Count a verdict: `charged` by what was charged, `asked` by what it was; not where that is no class."""
        row = self._rows.get(sku) if sku is not None else None
        if row is not None:
            self.verdicts[row, OUTCOMES.index((question, "right" if right else "wrong"))] += 1

    def carried_to(self, skus: Sequence[str]) -> ClassCounts:
        """Return counts for the classes of another bundle, with what is known of those that are in both."""
        other = ClassCounts(skus)
        both = [(row, other._rows[sku]) for sku, row in self._rows.items() if sku in other._rows]
        if both:
            old, new = np.array(both, np.intp).T
            other.decisions[new], other.verdicts[new] = self.decisions[old], self.verdicts[old]
        return other
