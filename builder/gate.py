"""What INT8 recognises less than float, over all products and in each tier, and when that refuses a build.

Both graphs are judged on the same photos (`builder.recognition`); products count alike. The loss of a line is the
difference of the shares that are right, in points; its 95 % interval comes from a bootstrap over products, paired photo
by photo, so what a photo is like does not blur it. It is never narrower than 3 / n to each side, what n photos without
any difference can tell (the rule of three: Hanley & Lippman-Hand, JAMA 249, 1983).

A line is judged by what can be told from so many photos:

    interval at most the limit wide to each side    the loss itself decides: over the limit fails
    wider                                           fails only where all of it lies over the limit
    else                                            not testable, with the number of photos that would tell

Not testable refuses nothing: on a few hundred photos a point is luck. The worst tenth of products, which is another
tenth for each graph, is shown and not judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from builder.labelled import TIERS, Labelled
from builder.recognition import Best, Shape
from edge.errors import GateError

__all__ = ["ALL", "GATE_SHAPE", "Accuracy", "Line", "Loss", "PerSku", "accuracy_of", "refuse_losses"]

GATE_SHAPE = Shape(128, 1)
DRAWS = 1000
UNSEEN = 3.0  # photos that may differ at 95 % where none was seen to
ALL, BOTTOM = "all", "worst tenth"
PASS, FAIL, UNTESTABLE, SHOWN = "pass", "fail", "not testable", "not judged"
NAMED = 5
MOST_NEEDED = 10_000_000


class Line(Struct, frozen=True, kw_only=True):
    """Some products: shares right by each graph; `loss`, `low`, `high` and `limit` in points, as the module says.

    `needs` is the number of photos that would tell where `verdict` is not testable, else 0.
    """

    name: str
    products: int
    photos: int
    float32: float
    int8: float
    loss: float
    low: float | None
    high: float | None
    limit: float | None
    verdict: str
    needs: int = 0


class Loss(Struct, frozen=True, kw_only=True):
    """A product of which INT8 recognises fewer photos."""

    sku: str
    tier: str
    photos: int
    float32: int
    int8: int


class PerSku(Struct, frozen=True, kw_only=True):
    """Photos right of each product, column by column."""

    sku: tuple[str, ...]
    photos: tuple[int, ...]
    float32: tuple[int, ...]
    int8: tuple[int, ...]


class Accuracy(Struct, frozen=True, kw_only=True):
    """What was measured: `same` is the share of photos with the same best candidate in both graphs."""

    lines: tuple[Line, ...]
    same: float
    left_out: int
    lost_most: tuple[Loss, ...]
    per_sku: PerSku

    @property
    def failed(self) -> tuple[Line, ...]:
        """The lines over their limit."""
        return tuple(line for line in self.lines if line.verdict == FAIL)

    @property
    def untestable(self) -> tuple[Line, ...]:
        """The lines that too few photos stand behind."""
        return tuple(line for line in self.lines if line.verdict == UNTESTABLE)

    @property
    def overall(self) -> Line:
        """The line of all products."""
        return self.lines[0]


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of each product: photos, and those right by float and by INT8, (C,) each."""

    photos: NDArray[np.int64]
    right: tuple[NDArray[np.int64], NDArray[np.int64]]

    def shares(self, members: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the shares right of some products by each graph."""
        before, after = (hits[members] / self.photos[members] for hits in self.right)
        return before, after


def accuracy_of(labelled: Labelled, exact: Best, int8: Best, limits: tuple[float, float], seed: int) -> Accuracy:
    """Compare the best classes (N,) by float and by INT8; `limits` are those over all products and in a tier."""
    labels, classes = labelled.labels, len(labelled.skus)
    photos = np.bincount(labels, minlength=classes)
    before, after = (np.bincount(labels[best == labels], minlength=classes) for best in (exact, int8))
    counts = _Counts(photos, (before, after))
    lines = [_line((ALL, limits[0]), np.arange(classes), counts, seed)]
    for tier in TIERS:
        members = np.flatnonzero([one == tier for one in labelled.tiers])
        if len(members):
            lines.append(_line((tier, limits[1]), members, counts, seed))
    lines += _bottom(counts)
    return Accuracy(
        lines=tuple(lines),
        same=float((exact == int8).mean()),
        left_out=labelled.left_out,
        lost_most=_lost_most(labelled, counts),
        per_sku=PerSku(
            sku=labelled.skus,
            photos=tuple(photos.tolist()),
            float32=tuple(before.tolist()),
            int8=tuple(after.tolist()),
        ),
    )


def refuse_losses(accuracy: Accuracy, kept: str = "") -> None:
    """Raise GateError where a line fails, with the products that lost most; `kept` says what was tried already."""
    if not accuracy.failed:
        return
    broken = "; ".join(
        f"{line.name} {line.loss:.2f} points ({line.low:.2f} to {line.high:.2f}), expected at most {line.limit:g}"
        for line in accuracy.failed
    )
    worst = ", ".join(f"{one.sku} {one.float32} -> {one.int8} of {one.photos}" for one in accuracy.lost_most[:NAMED])
    raise GateError(
        f"INT8 recognises fewer photos than float{kept}: {broken}; lost most: {worst}; give photos like those in use, "
        "try --ranges best, or raise --max-loss and --max-tier-loss"
    )


def _line(judged: tuple[str, float], members: NDArray[np.intp], counts: _Counts, seed: int) -> Line:
    name, limit = judged
    before, after = counts.shares(members)
    drawn = np.random.default_rng(seed).integers(0, len(members), (DRAWS, len(members)))
    edges = np.quantile(100 * (before - after)[drawn].mean(axis=1), [0.025, 0.975])
    loss, photos = 100 * float((before - after).mean()), int(counts.photos[members].sum())
    least = 100 * UNSEEN / photos
    low, high = min(float(edges[0]), loss - least), max(float(edges[1]), loss + least)
    verdict = _verdict(loss, low, high, limit)
    return Line(
        name=name,
        products=len(members),
        photos=photos,
        float32=float(before.mean()),
        int8=float(after.mean()),
        loss=loss,
        low=low,
        high=high,
        limit=limit,
        verdict=verdict,
        needs=_needed(photos, (high - low) / 2, limit) if verdict == UNTESTABLE else 0,
    )


def _verdict(loss: float, low: float, high: float, limit: float) -> str:
    if low > limit:
        return FAIL
    if high <= limit:
        return PASS
    if (high - low) / 2 > limit:
        return UNTESTABLE
    return FAIL if loss > limit else PASS


def _needed(photos: int, half: float, limit: float) -> int:
    """Return how many photos bring the half width of the interval down to the limit: it falls with their root."""
    if limit <= 0:
        return MOST_NEEDED
    needed = photos * (half / limit) ** 2
    digits: int = 10 ** max(int(math.log10(needed)) - 1, 0)
    return min(math.ceil(needed / digits) * digits, MOST_NEEDED)


def _bottom(counts: _Counts) -> tuple[Line, ...]:
    """Return the tenth of the products that each graph recognises worst."""
    members = np.arange(len(counts.photos))
    count = len(members) // 10
    if count == 0:
        return ()
    shares = counts.shares(members)
    before, after = (float(np.sort(one)[:count].mean()) for one in shares)
    photos = int(counts.photos[np.argsort(shares[1], kind="stable")[:count]].sum())
    return (
        Line(
            name=BOTTOM,
            products=count,
            photos=photos,
            float32=before,
            int8=after,
            loss=100 * (before - after),
            low=None,
            high=None,
            limit=None,
            verdict=SHOWN,
        ),
    )


def _lost_most(labelled: Labelled, counts: _Counts) -> tuple[Loss, ...]:
    before, after = counts.right
    fewer: Sequence[int] = (before - after).tolist()
    order = sorted((i for i, lost in enumerate(fewer) if lost > 0), key=lambda i: (-fewer[i] / counts.photos[i], i))
    return tuple(
        Loss(
            sku=labelled.skus[i],
            tier=labelled.tiers[i],
            photos=int(counts.photos[i]),
            float32=int(before[i]),
            int8=int(after[i]),
        )
        for i in order[:20]
    )
