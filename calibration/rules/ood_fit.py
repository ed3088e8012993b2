"""How strange is too strange: the threshold of the unknown detector, on enrolled products only.

A split-conformal quantile of the score at the false-unknown budget, so the guarantee is on products called unknown by
mistake. How many unknown things are found is then measured (`calibration.rules.detector`), never tuned. Too few photos
give a threshold that is never reached (+inf).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.rules.conformal import conformal_quantile
from edge.parameters import OodModel

__all__ = ["Detection", "auroc", "ood_from_scores"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Detection:
    """How well one kind of unknown thing is told from enrolled products; higher is better in both."""

    kind: str
    photos: int
    detected: float
    auroc: float


def ood_from_scores(detector: OodModel, strangeness: Floats, weights: NDArray[np.float64], budget: float) -> OodModel:
    """Set the threshold on enrolled photos' scores (N,): a share of `budget` of such photos is called unknown."""
    threshold = conformal_quantile(strangeness, weights, budget)
    return replace(detector, threshold=threshold, false_unknown_budget=budget)


def auroc(positive: Floats, negative: Floats, weights: NDArray[np.float64]) -> float:
    """Return P(a positive scores above a negative), ties half; `weights` are of the negatives. 0.5 without data."""
    if len(positive) == 0 or not weights.sum() > 0:
        return 0.5
    order = np.argsort(negative, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order] / weights.sum())])
    left = np.searchsorted(negative[order], positive, side="left")
    right = np.searchsorted(negative[order], positive, side="right")
    return min(float(((below[left] + below[right]) / 2).mean()), 1.0)
