"""Standardised residual of the largest cosine: how many standard deviations it falls short of the expected one.

Whoever knows how near a photo taken like this one should be to its own product (`edge.engine_row`) is not fooled by a
clear photo of a look-alike, nor by a bad photo of the product itself. The line intercept + slope * expected is what
calibration saw, and exp(level + growth * expected) the spread around it, for bad photos scatter more: a standardised
residual under heteroscedasticity (Cook & Weisberg, Biometrika 70, 1983). Below `low` calibration saw nothing: there the
expected similarity counts as `low`.
"""

from __future__ import annotations

import numpy as np

from edge.ood.method import Method, Parameters, Score, Scores
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:  # noqa: ARG001
    names = ("expected_intercept", "expected_slope", "expected_level", "expected_growth", "expected_low")
    intercept, slope, level, growth, low = (np.float32(parameters[name]) for name in names)

    def score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:  # noqa: ARG001
        usual = np.clip(expected, low, np.float32(1.0))
        residual = intercept + slope * usual - similarities.max(axis=1)
        return np.asarray(residual / np.exp(level + growth * usual), np.float32)

    return score


METHOD = Method(
    "expected_cosine",
    _prepare,
    lambda c, _k, _d: c,
    arrays={f"expected_{name}": 0 for name in ("intercept", "slope", "level", "growth", "low")},
)
