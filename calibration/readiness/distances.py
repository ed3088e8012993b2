"""Check 2: which products lie so close together that they are mixed up, and does the device know?

The separation of a product is the cosine distance (1 - cosine) from its centroid, the mean of its reference photos in
the space of the head, to the nearest other one. Products under the 5th percentile are the closest: by its nature that
is one in twenty in the best of catalogues, so not their number is judged but what becomes of them. A pair of them is
- *confused* when, of the photos of both that taught nothing, at least MIN_CONFUSIONS and a share CONFUSED took one for
  the other;
- *handled* when the device never accepts either by itself: a listed twin (it asks, with both names), a product without
  a certified cut point, a discontinued one.

Figure: the share of the closest products that are confused with a neighbour and not handled; limit 0. Interval: exact
binomial. Limits: two photos in seven are thin evidence for one pair; the pictures beside each other are there to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.readiness.verdict import Check, Limit, Topic, binomial, judge, not_testable
from calibration.rules.twins import CONFUSED, MIN_CONFUSIONS, SEPARATION
from edge.types import Embeddings

__all__ = ["MIN_PRODUCTS", "Pair", "Seen", "check_distances", "nearest"]

MIN_PRODUCTS = 20
LISTED = 24
TOPIC = Topic("distance", "Products that look alike", Limit(0.0, at_most=True, unit="share"))
_BLOCK = 1024

Indices = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Photos that taught nothing: their product and the best candidate, (N,), -1 where there is none."""

    true: Indices
    best: Indices


@dataclass(frozen=True, slots=True)
class Pair:
    """Two close products: `confused` of `photos` of both took one for the other; `handled` says how, "" for not."""

    first: int
    second: int
    distance: float
    confused: int
    photos: int
    handled: str

    @property
    def mixed_up(self) -> bool:
        """True when the confusions are more than a slip."""
        return self.confused >= max(MIN_CONFUSIONS, CONFUSED * self.photos)


def nearest(centres: Embeddings) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return for unit centroids (C, D), two at least, the nearest other one (C,) and the cosine distance to it (C,)."""
    neighbour = np.empty(len(centres), np.intp)
    distance = np.empty(len(centres), np.float64)
    for start in range(0, len(centres), _BLOCK):
        block = centres[start : start + _BLOCK] @ centres.T
        rows = np.arange(len(block))
        block[rows, start + rows] = -2.0
        best = block.argmax(axis=1)
        neighbour[start : start + _BLOCK] = best
        distance[start : start + _BLOCK] = 1.0 - block[rows, best]
    return neighbour, distance


def check_distances(centres: Embeddings, seen: Seen, never: Sequence[str], skus: Sequence[str]) -> Check:
    """Check centroids (C, D); `never` (C,) says why a product is never accepted by itself, "" where it can be."""
    advice = (
        "Look at the pairs below. Photos swapped? Mend them. Truly alike? Add validation photos of both and calibrate "
        "again, so that they become twins that the device asks about; or sell them as one; or settle them by weight."
    )
    if len(centres) < MIN_PRODUCTS:
        return not_testable(TOPIC, f"{MIN_PRODUCTS} products, there are {len(centres)}", advice)
    _, distance = nearest(centres)
    limit = float(np.quantile(distance, SEPARATION))
    close = np.flatnonzero(distance <= limit)
    photos = np.bincount(seen.true, minlength=len(centres))
    pairs = _pairs(centres, close, limit, seen, never)
    details = _details(distance, limit, pairs, skus)
    measured = int((photos[close] >= MIN_CONFUSIONS).sum())
    if 2 * measured < len(close):
        needs = (
            f"{MIN_CONFUSIONS} test or validation photos of each of the closest products, {measured} of {len(close)} "
            "have them"
        )
        return not_testable(TOPIC, needs, advice, details)
    mixed = {c for pair in pairs if pair.mixed_up for c in (pair.first, pair.second)} & set(close.tolist())
    open_ = {c for p in pairs if p.mixed_up and not p.handled for c in (p.first, p.second)} & set(close.tolist())
    found = (
        f"The closest {len(close)} of {len(centres):,} products lie under a distance of {limit:.3f} (median "
        f"{np.median(distance):.3f}). {len(mixed)} of them are confused with a neighbour; {len(open_)} of these can "
        "still be accepted without anyone asking."
    )
    interval = binomial(len(open_), len(close))
    kept = "Nothing: what is confused is never accepted by itself."
    return judge(TOPIC, len(open_) / len(close), interval, (found, kept, advice), details)


def _pairs(centres: Embeddings, close: NDArray[np.intp], limit: float, seen: Seen, never: Sequence[str]) -> list[Pair]:
    """Return every pair of products at most `limit` apart, nearest first."""
    photos = np.bincount(seen.true, minlength=len(centres))
    wrong = (seen.best != seen.true) & (seen.best >= 0)
    keys = np.sort(np.stack([seen.true[wrong], seen.best[wrong]], axis=1), axis=1)
    confusions: dict[tuple[int, int], int] = {}
    for a, b in keys.tolist():
        confusions[a, b] = confusions.get((a, b), 0) + 1
    found: dict[tuple[int, int], Pair] = {}
    for start in range(0, len(close), _BLOCK):
        block = 1.0 - (centres[close[start : start + _BLOCK]] @ centres.T).astype(np.float64)
        for row, other in np.argwhere(block <= limit + 1e-9).tolist():
            own = int(close[start + row])
            if own != other:
                a, b = min(own, other), max(own, other)
                count, seen_of_both = confusions.get((a, b), 0), int(photos[a] + photos[b])
                found[a, b] = Pair(a, b, float(block[row, other]), count, seen_of_both, _handled(a, b, never))
    return sorted(found.values(), key=lambda pair: (pair.distance, pair.first, pair.second))


def _handled(first: int, second: int, never: Sequence[str]) -> str:
    reasons = sorted({never[first], never[second]})
    return ", ".join(reasons) if all(reasons) else ""


def _details(
    distance: NDArray[np.float64], limit: float, pairs: Sequence[Pair], skus: Sequence[str]
) -> dict[str, object]:
    top = max(float(distance.max()), 1e-9)
    counts, edges = np.histogram(distance, bins=30, range=(0.0, top))
    worst = sorted(pairs, key=lambda p: (p.handled != "" or not p.mixed_up, not p.mixed_up, p.distance))
    return {
        "fifth_percentile": limit,
        "median": float(np.median(distance)),
        "smallest": float(distance.min()),
        "histogram": counts.tolist(),
        "edges": edges.tolist(),
        "close_pairs": len(pairs),
        "confused_pairs": sum(pair.mixed_up for pair in pairs),
        "open_pairs": sum(pair.mixed_up and not pair.handled for pair in pairs),
        "pairs": [
            {
                "first": skus[pair.first],
                "second": skus[pair.second],
                "distance": pair.distance,
                "confused": pair.confused,
                "photos": pair.photos,
                "mixed_up": pair.mixed_up,
                "handled": pair.handled,
            }
            for pair in worst[:LISTED]
        ],
    }
