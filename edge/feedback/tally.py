"""Verdicts become counts, by product, by tier and over all. Pure.

Two questions, each about a fair sample of its own, so that each count is binomial:
- charged: of the things accepted as a product, which were it? Audited things alone answer: a correction by a cashier
  comes because something was wrong. By the product that was charged.
- asked: of the things that were a product and were not accepted, of which was it the best candidate? By the truth. For
  a thing in no catalogue `unknown` is right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["ALL", "Checked", "Counts", "Key", "tally"]

Key: TypeAlias = str  # SCALE:NAME, as product:sku-1, tier:head, all:
Counts: TypeAlias = dict[Key, tuple[int, int]]  # right, checked
ALL: Key = "all:"


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing with its truth. `sku` and `tier` are what it was taken for (None for the route unknown), `truth` and
    `truth_tier` what it was (None for a thing in no catalogue).
    """

    accepted: bool
    audited: bool
    sku: str | None
    tier: str
    truth: str | None
    truth_tier: str

    @property
    def right(self) -> bool:
        """Say whether it was taken for what it was."""
        return self.sku == self.truth

    def keys(self, charged: bool) -> tuple[Key, ...]:
        """Return where it counts: by what was charged, or by what it was."""
        sku, tier = (self.sku, self.tier) if charged else (self.truth, self.truth_tier)
        scales = (f"tier:{tier}", ALL)
        return (f"product:{sku}", *scales) if sku is not None else scales


def tally(things: Iterable[Checked]) -> tuple[Counts, Counts]:
    """Return the counts of `charged` and of `asked`."""
    charged: Counts = defaultdict(lambda: (0, 0))
    asked: Counts = defaultdict(lambda: (0, 0))
    for thing in things:
        if thing.accepted and not thing.audited:
            continue
        counts = charged if thing.accepted else asked
        for key in thing.keys(charged=thing.accepted):
            right, checked = counts[key]
            counts[key] = (right + thing.right, checked + 1)
    return dict(charged), dict(asked)
