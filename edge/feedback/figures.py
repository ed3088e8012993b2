"""The accuracy of a window, by product, by tier and over all: measured with truth, and estimated without. Pure.

- Measured, each question by itself: exact (`edge.feedback.tally`).
- Measured, weighted: a thing counts by the inverse of its chance to be checked, accepted things by the audited share
  that was answered, others by the share that was (Horvitz & Thompson, JASA 47, 1952, as a ratio). Limit: among the
  others, those answered must be like those not.
- Estimated, without truth: the mean calibrated confidence of what was accepted (CBPE). It holds while the confidence
  does: a new packaging it cannot see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge.feedback.interval import exact, wilson
from edge.feedback.tally import ALL, Checked, Counts, Key, tally
from edge.messages import AccuracyRow, Share

__all__ = ["Sum", "accuracy_rows"]


@dataclass(frozen=True, slots=True)
class Sum:
    """Things that were over in the window, taken for one product by one kind of route."""

    accepted: bool
    sku: str | None
    tier: str
    things: int
    confidence: float  # summed


def accuracy_rows(checked: Sequence[Checked], sums: Sequence[Sum]) -> tuple[AccuracyRow, ...]:
    """Return all rows that something is known of: over all, tiers, products."""
    charged, asked = tally(checked)
    weighted = _weighted(checked, sums)
    estimated = _estimated(sums)
    keys = {*charged, *asked, *weighted, *estimated}
    order = {"all": 0, "tier": 1, "product": 2}
    rows = [_row(key, (charged, asked), weighted.get(key), estimated.get(key)) for key in keys]
    return tuple(sorted(rows, key=lambda row: (order[row.scale], row.name)))


def _row(
    key: Key, counts: tuple[Counts, Counts], weighted: Share | None, estimated: tuple[int, float] | None
) -> AccuracyRow:
    scale, _, name = key.partition(":")
    charged, asked = (_exact(one.get(key)) for one in counts)
    things, confidence = estimated or (0, 0.0)
    return AccuracyRow(
        scale=scale,
        name=name,
        charged=charged,
        asked=asked,
        weighted=weighted,
        estimated=confidence / things if things else None,
        things=things,
    )


def _exact(count: tuple[int, int] | None) -> Share | None:
    if count is None:
        return None
    right, checked = count
    low, high = exact(right, checked)
    return Share(value=right / checked, low=low, high=high, right=right, checked=checked)


def _weighted(checked: Sequence[Checked], sums: Iterable[Sum]) -> dict[Key, Share]:
    """Return the weighted shares by truth; none where things were accepted and no audit was answered."""
    things = {True: 0, False: 0}
    for one in sums:
        things[one.accepted] += one.things
    usable = [thing for thing in checked if thing.audited or not thing.accepted]
    answered = {accepted: sum(thing.accepted is accepted for thing in usable) for accepted in (True, False)}
    if any(things[accepted] and not answered[accepted] for accepted in (True, False)):
        return {}
    weight = {accepted: max(1.0, things[accepted] / max(answered[accepted], 1)) for accepted in (True, False)}
    moments: dict[Key, list[float]] = {}
    for thing in usable:
        own = weight[thing.accepted]
        for key in thing.keys(charged=False):
            total = moments.setdefault(key, [0.0, 0.0, 0.0, 0.0, 0.0])
            for place, value in enumerate((own, own * thing.right, own * own, float(thing.right), 1.0)):
                total[place] += value
    return {key: _share(total) for key, total in moments.items()}


def _share(moments: Sequence[float]) -> Share:
    total, right, squares, count_right, count = moments
    value = right / total
    low, high = wilson(value, total * total / squares)
    return Share(value=value, low=low, high=high, right=int(count_right), checked=int(count))


def _estimated(sums: Iterable[Sum]) -> Mapping[Key, tuple[int, float]]:
    found: dict[Key, tuple[int, float]] = {}
    for one in sums:
        if one.accepted:
            for key in (f"product:{one.sku}", f"tier:{one.tier}", ALL):
                things, confidence = found.get(key, (0, 0.0))
                found[key] = (things + one.things, confidence + one.confidence)
    return found
