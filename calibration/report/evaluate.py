"""What the device would decide: photos through `edge.pipeline.Pipeline.judge`, the very code of the daemon.

Only the engine is left out: its rows come from the fitted head on cached features, and `calibration.space.head_graph`
proves both equal when the bundle is written. Shares are weighted by the mix; counts are photos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.photos.photoset import Photoset
from edge.pipeline import Batch, Pipeline
from edge.types import Decision, EngineRows, Route

__all__ = ["Curve", "Outcome", "decide", "outcome_of", "risk_coverage"]

_BLOCK = 1024

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some photos. Shares sum to 1 over the routes; `reasons` counts photos, each reason once per photo.

    `accepted_error` is the weighted share of accepted photos that were wrong (for things that are not enrolled every
    accepted one is), with its counts; `set_coverage` the share of VERIFY sets that held the true product.
    """

    photos: int
    top1: float
    shares: dict[str, float]
    accepted: int
    wrong: int
    accepted_error: float
    set_coverage: float
    set_size: float
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Curve:
    """Risk-coverage: accepting the most confident share `coverage[i]` of the photos gives the error `risk[i]`."""

    coverage: tuple[float, ...]
    risk: tuple[float, ...]


def decide(pipeline: Pipeline, rows: EngineRows, photos: Photoset) -> list[Decision]:
    """Return the device's decisions for photos for which the engine gives these rows (N, D + 1)."""
    decisions: list[Decision] = []
    for start in range(0, len(photos), _BLOCK):
        part = slice(start, start + _BLOCK)
        sides, sharpness = tuple(photos.sides_px[part].tolist()), tuple(photos.sharpness[part].tolist())
        no_crops = np.zeros((0, 0, 0, 3), np.uint8)  # embedded long ago
        decisions += pipeline.judge(Batch(no_crops, sides, sharpness), rows[part])
    return decisions


def outcome_of(decisions: Sequence[Decision], truth: Sequence[str], weights: Floats) -> Outcome:
    """Count decisions about photos of `truth` (N,) SKUs ("" for what is not enrolled) with `weights` (N,)."""
    total = float(weights.sum())
    if not decisions or not total > 0:
        return Outcome(len(decisions), 0.0, {route.value: 0.0 for route in Route}, 0, 0, 0.0, 0.0, 0.0, {})
    share = weights / total
    right = np.array([d.sku == sku for d, sku in zip(decisions, truth, strict=True)])
    routes = np.array([d.route.value for d in decisions])
    accepted, verify = routes == Route.ACCEPT.value, routes == Route.VERIFY.value
    held = np.array([sku in d.verify_set for d, sku in zip(decisions, truth, strict=True)])
    sizes = np.array([len(d.verify_set) for d in decisions])
    return Outcome(
        photos=len(decisions),
        top1=float(share @ right),
        shares={route.value: float(share[routes == route.value].sum()) for route in Route},
        accepted=int(accepted.sum()),
        wrong=int((accepted & ~right).sum()),
        accepted_error=_mean(share, ~right, accepted),
        set_coverage=_mean(share, held, verify),
        set_size=_mean(share, sizes, verify),
        reasons=dict(Counter(reason.value for d in decisions for reason in d.reasons)),
    )


def risk_coverage(confidence: NDArray[np.float32], right: NDArray[np.bool_], weights: Floats, points: int) -> Curve:
    """Return the curve at up to `points` equal steps of coverage."""
    if len(confidence) == 0 or not weights.sum() > 0:
        return Curve((), ())
    order = np.argsort(-confidence, kind="stable")
    mass = np.cumsum(weights[order])
    risk = np.cumsum(weights[order] * ~right[order]) / np.maximum(mass, 1e-300)
    at = np.unique(np.searchsorted(mass, mass[-1] * np.arange(1, points + 1) / points - 1e-12).clip(max=len(mass) - 1))
    return Curve(tuple((mass[at] / mass[-1]).tolist()), tuple(risk[at].tolist()))


def _mean(share: Floats, values: NDArray[np.bool_] | NDArray[np.int64], chosen: NDArray[np.bool_]) -> float:
    """Return the weighted mean of the chosen values, 0 without any."""
    mass = float(share[chosen].sum())
    return float(share[chosen] @ values[chosen]) / mass if mass > 0 else 0.0
