"""The thresholds that are usually taken, as a baseline to compare with; nothing here reaches a device.

Per class, the least confidence above which the photos seen have at most the target error, no bound, no second
condition; a class that nobody was taken for gets the same over all classes. Such a threshold is fitted to the luck of a
few photos: in published simulations it breaks its target nearly every time, most in the tail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.rules.thresholds import Evidence

__all__ = ["PlugIn", "plug_in_thresholds", "plug_in_from_evidence"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PlugIn:
    """What plug-in thresholds at `target` would do with photos that did not set them; shares are weighted."""

    target: float
    accepted: float
    error: float
    near_unknown: float


def plug_in_thresholds(
    confidence: NDArray[np.float32], best: NDArray[np.int32], right: NDArray[np.bool_], classes: int, target: float
) -> Floats:
    """Return the confidence (C,) from which a class is accepted, +inf where no threshold meets the target."""
    everywhere = _least(confidence, right, target)
    found = np.full(classes, everywhere)
    for one in np.unique(best):
        inside = best == one
        found[one] = _least(confidence[inside], right[inside], target)
    return found


def plug_in_from_evidence(learn: Evidence, fresh: Evidence, classes: int, target: float) -> PlugIn:
    """Set thresholds on `learn` and measure them on `fresh` photos, which share none with it."""
    cut = plug_in_thresholds(learn.confidence, learn.scores.best, learn.scores.correct, classes, target)
    taken = fresh.confidence >= cut[fresh.scores.best]
    rest = fresh.unseen_confidence >= cut[fresh.unseen.best]
    mass, rest_mass = float(fresh.weight.sum()), float(fresh.unseen_weight.sum())
    accepted = float(fresh.weight[taken].sum())
    return PlugIn(
        target=target,
        accepted=accepted / max(mass, 1e-300),
        error=float(fresh.weight[taken & ~fresh.scores.correct].sum()) / max(accepted, 1e-300),
        near_unknown=float(fresh.unseen_weight[rest].sum()) / max(rest_mass, 1e-300),
    )


def _least(confidence: NDArray[np.float32], right: NDArray[np.bool_], target: float) -> float:
    """Return the least confidence above which the share of wrong photos is at most `target`; +inf for none."""
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(wrong <= target)
    return float(confidence[order[good[-1]]]) if len(good) else np.inf
