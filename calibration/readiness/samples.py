"""Check 1: are the photos spread evenly enough over the products?

Figure: mean number of reference photos of the tenth of the products with the most, over that of the tenth with the
fewest. Above 10:1 the long tail is learnt worse than the head and its errors add up. Products without any photo that
can be read have no part in it (the ratio would be infinite); the report names them apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.readiness.verdict import Check, Limit, Topic, judge, not_testable, resampled

__all__ = ["MIN_PRODUCTS", "check_samples", "decile_ratio"]

MIN_PRODUCTS = 20  # two products in each decile
TOPIC = Topic("samples", "Photos per product", Limit(10.0, at_most=True, unit="ratio"))
_ADVICE = "Take reference photos of the products with the fewest first: the list is in the report. Five or more each."


def decile_ratio(counts: NDArray[np.int64]) -> float:
    """Return the ratio for photos per product (C,), each at least 1."""
    ordered = np.sort(counts)
    tenth = max(round(len(ordered) / 10), 1)
    return float(ordered[-tenth:].mean() / ordered[:tenth].mean())


def check_samples(counts: NDArray[np.int64], skus: tuple[str, ...], seed: int) -> Check:
    """Check reference photos per product (C,), each at least 1, of the products `skus`."""
    sizes, products = np.unique(counts, return_counts=True)
    fewest = [skus[i] for i in np.argsort(counts, kind="stable")[:20]]
    details = {
        "histogram": [[int(size), int(number)] for size, number in zip(sizes, products, strict=True)],
        "photos": int(counts.sum()),
        "fewest": [{"sku": sku, "photos": int(counts[skus.index(sku)])} for sku in fewest],
    }
    if len(counts) < MIN_PRODUCTS:
        needs = f"{MIN_PRODUCTS} products for a tenth to mean something, the catalogue has {len(counts)}"
        return not_testable(TOPIC, needs, _ADVICE, details)
    tenth = max(round(len(counts) / 10), 1)
    ordered = np.sort(counts)
    found = (
        f"The {tenth} products with the most photos have {ordered[-tenth:].mean():.1f} each, the {tenth} with the "
        f"fewest {ordered[:tenth].mean():.1f}."
    )
    interval = resampled(lambda drawn: decile_ratio(counts[drawn]), len(counts), seed)
    return judge(
        TOPIC,
        decile_ratio(counts),
        interval,
        (found, "Nothing; keep new products at five photos or more.", _ADVICE),
        details,
    )
