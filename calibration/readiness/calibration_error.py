"""Check 7: when the device says 90 %, is it right nine times out of ten?

Figure: the expected calibration error (ECE) of P(best candidate is right), 15 bins of equal weight, on photos that the
confidence was not fitted on, weighted so that every product counts by its share of the mix. A finite number of photos
makes even a perfect model look wrong (0.034 at 500 photos), so what a perfect one would show is taken off
(`calibration.rules.confidence_fit.reliability`). Under 500 photos that correction is larger than what is to be
measured: not testable, and the same holds for each tier by itself.

Interval: bootstrap over products of the plain ECE, moved to the debiased figure: drawing photos again adds the bias of
few photos a second time, so its percentiles as they are would lie too high.
The check fails when all photos together, or any tier that can be tested, are over the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.readiness.verdict import Check, Interval, Limit, Topic, judge, not_testable
from calibration.rules.confidence_fit import ECE_BINS, ECE_MIN_PHOTOS, Reliability, reliability

__all__ = ["Judged", "check_calibration_error", "plain_ece"]

TOPIC = Topic("confidence", "Honesty of the confidence", Limit(0.05, at_most=True, unit="plain"))
_DRAWS = 400

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Photos as decided: P(right) and whether it was, the product's number, its weight in the mix; all (N,)."""

    confidence: NDArray[np.float32]
    right: NDArray[np.bool_]
    labels: NDArray[np.int32]
    weights: Floats

    def take(self, chosen: NDArray[np.intp]) -> Judged:
        """Return some of the photos, by position."""
        return Judged(self.confidence[chosen], self.right[chosen], self.labels[chosen], self.weights[chosen])


def check_calibration_error(judged: Judged, tiers: Sequence[str], seed: int) -> Check:
    """Check photos of products whose `tiers` (C,) are given."""
    photos = int((judged.weights > 0).sum())
    if photos < ECE_MIN_PHOTOS:
        needs = f"{ECE_MIN_PHOTOS} photos that taught nothing, there are {photos}"
        return not_testable(TOPIC, needs, "Add test or validation photos, of every product alike.")
    whole = _measured(judged, seed)
    fit, interval = whole
    rows = [_tier_row(name, judged, tiers, seed) for name in sorted(set(tiers))]
    tested = [(row["tier"], row["ece"]) for row in rows if row["ece"] is not None]
    worst = max([("all", fit.ece_debiased), *tested], key=lambda pair: float(pair[1]))
    where = "" if worst[0] == "all" else f" The worst tier is {worst[0]} with {worst[1]:.3f}; the worst is judged."
    text = (
        f"Stated and true probability differ by {fit.ece_debiased:.3f} on average over {photos:,} photos "
        f"(plain ECE {fit.ece:.3f}, of which {fit.ece_honest:.3f} is what a perfect model would show).{where}"
    )
    if worst[0] != "all":
        row = next(row for row in rows if row["tier"] == worst[0])
        interval = Interval(row["low"], row["high"], interval.method)
    details = {"photos": photos, "all": fit.ece_debiased, "bins": [list(bin_) for bin_ in fit.bins], "tiers": rows,
               "plain": asdict(fit)["ece"]}  # fmt: skip
    past = "Calibrate again with more validation photos as the device takes them; do not ship cut points on this."
    return judge(TOPIC, float(worst[1]), interval, (text, "Nothing.", past), details)


def plain_ece(confidence: Floats, right: NDArray[np.bool_], weights: Floats) -> float:
    """Return the ECE over ECE_BINS bins of equal weight; photos (N,) in rising order of confidence."""
    share = weights / weights.sum()
    bins = np.minimum((np.cumsum(share) - share / 2) * ECE_BINS, ECE_BINS - 1).astype(int)
    gap = np.bincount(bins, share * (right - confidence), ECE_BINS)
    return float(np.abs(gap).sum())


def _tier_row(tier: str, judged: Judged, tiers: Sequence[str], seed: int) -> dict[str, Any]:
    member = np.array([name == tier for name in tiers])[judged.labels] & (judged.weights > 0)
    photos, name = int(member.sum()), tier.split(" ", 1)[-1]
    if photos < ECE_MIN_PHOTOS:
        return {"tier": name, "photos": photos, "ece": None, "low": None, "high": None}
    fit, interval = _measured(judged.take(np.flatnonzero(member)), seed)
    return {"tier": name, "photos": photos, "ece": fit.ece_debiased, "low": interval.low, "high": interval.high}


def _measured(judged: Judged, seed: int) -> tuple[Reliability, Interval]:
    fit = reliability(judged.confidence, judged.right, judged.weights, seed)
    order = np.argsort(judged.confidence, kind="stable")
    p, right = judged.confidence[order].astype(np.float64), judged.right[order]
    classes, position = np.unique(judged.labels[order], return_inverse=True)
    weights = judged.weights[order]
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(_DRAWS):
        times = np.bincount(generator.integers(0, len(classes), len(classes)), minlength=len(classes))
        drawn = weights * times[position]
        if drawn.sum() > 0:
            draws.append(plain_ece(p, right, drawn))
    moved = np.array(draws) - np.mean(draws) + fit.ece_debiased
    low, high = np.quantile(moved, [0.025, 0.975]).clip(min=0.0)
    return fit, Interval(float(low), float(high), f"95 %, bootstrap over {len(classes):,} products")
