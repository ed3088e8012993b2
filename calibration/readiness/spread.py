"""Check 6: is every product recognised about as well, or does the average hide a weak tail?

Figure: the standard deviation over products of their top-1 accuracy, on photos that taught nothing. With few photos per
product most of the spread that is seen is luck: four photos of a product that is right 80 % of the time give 75, 100
or 50 %. So the mean binomial variance, estimated without bias as p (1 - p) / (n - 1), is taken off the variance that is
seen (method of moments for the beta-binomial: Kleinman, J. American Statistical Association 68, 1973). Both are stated;
the corrected one is judged. Interval: bootstrap over products.

`shrunk` is each product's accuracy drawn to the mean by what its photos cannot tell (James & Stein's idea): a fairer
picture of the products than the raw shares, and still no figure to judge one product by. Products with a single photo
have no variance of their own and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.readiness.verdict import Check, Limit, Topic, binomial, judge, not_testable, resampled

__all__ = ["MIN_PRODUCTS", "Recognised", "Spread", "check_spread", "recognised_from", "spread_of"]

MIN_PRODUCTS, MIN_PHOTOS = 30, 2
WORST = 20
TOPIC = Topic("spread", "Accuracy from product to product", Limit(0.15, at_most=True, unit="points"))

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Recognised:
    """Products (C,): how many of their photos were right, and what they were taken for most often, -1 for nothing."""

    right: Counts
    photos: Counts
    taken_for: Counts
    skus: tuple[str, ...]
    tiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations over products, as shares; `mean` is the mean accuracy, every product alike."""

    mean: float
    raw: float
    corrected: float


def spread_of(right: Counts, photos: Counts) -> Spread:
    """Return the spread for products with `right` of `photos` (C,) photos right, MIN_PHOTOS each at least."""
    share = right / photos
    seen = float(share.var(ddof=1)) if len(share) > 1 else 0.0
    luck = float((share * (1.0 - share) / (photos - 1)).mean())
    return Spread(float(share.mean()), seen**0.5, max(seen - luck, 0.0) ** 0.5)


def recognised_from(
    true: NDArray[np.int32], best: NDArray[np.int32], skus: tuple[str, ...], tiers: tuple[str, ...]
) -> Recognised:
    """Count photos (N,) of product `true` whose best candidate is `best`, -1 where there is none."""
    classes = len(skus)
    taken_for = np.full(classes, -1, np.int64)
    wrong = (true != best) & (best >= 0)
    pairs, counts = np.unique(np.stack([true[wrong], best[wrong]], axis=1), axis=0, return_counts=True)
    for position in np.argsort(counts, kind="stable").tolist():
        taken_for[pairs[position, 0]] = pairs[position, 1]
    right = np.bincount(true[true == best], minlength=classes)
    return Recognised(right, np.bincount(true, minlength=classes), taken_for, skus, tiers)


def check_spread(products: Recognised, on_sale: NDArray[np.bool_], seed: int) -> Check:
    """Check the products that are on sale (C,); those with too few photos are left out."""
    photos = np.where(on_sale, products.photos, 0)
    used = np.flatnonzero(photos >= MIN_PHOTOS)
    advice = (
        "Take reference photos of the weakest products, in the light and at the angles of the shop; the list is in the "
        "report. Then calibrate again."
    )
    if len(used) < MIN_PRODUCTS:
        needs = f"{MIN_PRODUCTS} products with {MIN_PHOTOS} test or validation photos each, there are {len(used)}"
        return not_testable(TOPIC, needs, "Add a test folder with four photos per product or more.")
    r, n = products.right[used], photos[used]
    found = spread_of(r, n)
    interval = resampled(lambda drawn: spread_of(r[drawn], n[drawn]).corrected, len(used), seed)
    share = r / n
    text = (
        f"On average {found.mean:.1%} of a product's photos are right, from {share.min():.0%} to {share.max():.0%}. "
        f"The accuracies spread by {100 * found.raw:.1f} points, {100 * found.corrected:.1f} without the luck of few "
        f"photos ({len(used):,} products, {np.median(n):.0f} photos each at the median)."
    )
    shrunk = _shrunk(r, n, found)
    details = {
        "mean": found.mean,
        "raw": found.raw,
        "range": [float(share.min()), float(share.max())],
        "products": len(used),
        "photos": int(n.sum()),
        "left_out": int(on_sale.sum()) - len(used),
        "histogram": np.histogram(share, bins=10, range=(0.0, 1.0))[0].tolist(),
        "shrunk_histogram": np.histogram(shrunk, bins=10, range=(0.0, 1.0))[0].tolist(),
        "tiers": _tiers(r, n, [products.tiers[i] for i in used.tolist()]),
        "worst": _worst(products, used[np.argsort(shrunk, kind="stable")[:WORST]]),
    }
    return judge(TOPIC, found.corrected, interval, (text, "Nothing.", advice), details)


def _shrunk(right: Counts, photos: Counts, found: Spread) -> NDArray[np.float64]:
    """Return (C,): accuracies drawn to the mean by the share of their variance that is luck."""
    true = found.corrected**2
    luck = found.mean * (1.0 - found.mean) / photos
    weight = true / np.maximum(true + luck, 1e-300)
    shrunk: NDArray[np.float64] = found.mean + weight * (right / photos - found.mean)
    return shrunk


def _tiers(right: Counts, photos: Counts, tiers: Sequence[str]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for tier in sorted(set(tiers)):
        chosen = np.array([name == tier for name in tiers])
        share = right[chosen] / photos[chosen]
        rows.append({"tier": tier.split(" ", 1)[-1], "products": int(chosen.sum()), "accuracy": float(share.mean())})
    return rows


def _worst(products: Recognised, chosen: NDArray[np.intp]) -> list[dict[str, object]]:
    """Return the chosen products, each with its exact interval and what it was taken for."""
    rows: list[dict[str, object]] = []
    for i in chosen.tolist():
        right, photos, other = int(products.right[i]), int(products.photos[i]), int(products.taken_for[i])
        interval = binomial(right, photos)
        rows.append(
            {
                "sku": products.skus[i],
                "right": right,
                "photos": photos,
                "low": interval.low,
                "high": interval.high,
                "taken_for": products.skus[other] if other >= 0 else "",
            }
        )
    return rows
