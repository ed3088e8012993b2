"""What makes a residual of the expected similarity comparable between photos: a line, and how the spread grows.

Fitted on photos that did not teach, whose expected similarity comes from the other part of the cross-fit: `known` ones
with their product enrolled (those that the lookup got right), `unseen` ones as if it were not.

The slope is the one of SLOPES under which known photos are told from unseen ones best (AUROC); the line then passes
through the mean of the known ones. The log of the absolute residual of the known ones, regressed on the expected
similarity, gives the spread; a standard deviation is the unit.

Below the expected similarity that all but LOWEST of the known photos have, nothing was seen, and a straight line in the
features may say anything of a hand or an empty basket: there the lowest that was seen counts. On two catalogues made
for tuning 100 and 100 % of far things are called unknown so, 99 and 97 % without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.ood.method import Parameters
from edge.types import Expected

__all__ = ["Residuals", "expected_parameters", "no_expectation"]

SLOPES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25, 0.0)
LOWEST = 0.01  # share of the known photos
GROWTH = 6.0  # most that the log of the spread changes with the expected similarity
_FLOOR = 0.005  # of a residual before its logarithm is taken

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Photos by their largest cosine, expected similarity and weight, (N,) each."""

    cosine: NDArray[np.float32]
    expected: Expected
    weight: Floats


def no_expectation() -> Parameters:
    """Return parameters under which the score is minus the largest cosine."""
    return _parameters(0.0, 0.0, 0.0, 0.0, -1.0)


def expected_parameters(known: Residuals, unseen: Residuals) -> Parameters:
    """Fit line and spread; without photos, or with one expected similarity for all, `no_expectation`."""
    if not known.weight.sum() > 0 or float(np.ptp(known.expected)) < 1e-6:
        return no_expectation()
    areas = [_told_apart(known, unseen, slope) for slope in SLOPES] if unseen.weight.sum() > 0 else [1.0]
    slope = SLOPES[int(np.argmax(areas))]
    expected, cosine = known.expected.astype(np.float64), known.cosine.astype(np.float64)
    intercept = float(np.average(cosine - slope * expected, weights=known.weight))
    residual = cosine - intercept - slope * expected
    size = np.log(np.abs(residual) + _FLOOR)
    centre = float(np.average(expected, weights=known.weight))
    along = known.weight * (expected - centre)
    scatter = max(float(along @ (expected - centre)), 1e-12)
    growth = float(np.clip(float(along @ size) / scatter, -GROWTH, GROWTH))
    relative = residual / np.exp(growth * expected)
    level = 0.5 * float(np.log(max(np.average(np.square(relative), weights=known.weight), 1e-12)))
    return _parameters(intercept, slope, level, growth, _quantile(known, LOWEST))


def _told_apart(known: Residuals, unseen: Residuals, slope: float) -> float:
    """Return the weighted AUROC of unseen photos' residuals among known ones'."""
    usual, strange = (slope * part.expected - part.cosine for part in (known, unseen))
    order = np.argsort(usual, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(known.weight[order])])
    return float(np.average(below[np.searchsorted(usual[order], strange)], weights=unseen.weight) / below[-1])


def _quantile(photos: Residuals, share: float) -> float:
    """Return the weighted quantile of the expected similarity."""
    order = np.argsort(photos.expected, kind="stable")
    mass = np.cumsum(photos.weight[order])
    return float(photos.expected[order[np.searchsorted(mass, share * mass[-1])]])


def _parameters(intercept: float, slope: float, level: float, growth: float, low: float) -> Parameters:
    values = {
        "expected_intercept": intercept,
        "expected_slope": slope,
        "expected_level": level,
        "expected_growth": growth,
        "expected_low": low,
    }
    return {name: np.array(value, np.float32) for name, value in values.items()}
