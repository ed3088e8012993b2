"""Mahalanobis distance to the nearest class, less the distance to the whole catalogue as one Gaussian.

Relative Mahalanobis++: Ren et al. 2021, arXiv 2106.09022, on unit-length features as Mueller & Hein, ICML 2025. What
all photos share, in every class, no longer counts as strange.
"""

from __future__ import annotations

import numpy as np

from edge.ood import mahalanobis
from edge.ood.method import Method, Parameters, Score, Scores
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:
    nearest = mahalanobis.METHOD.prepare(table, parameters)
    whitening, centre = parameters["background_whitening"], parameters["background_mean"]

    def score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:
        background = np.square((embeddings - centre) @ whitening).sum(axis=1)
        return np.asarray(nearest(similarities, embeddings, expected) - background, np.float32)

    return score


METHOD = Method(
    "relative_mahalanobis",
    _prepare,
    lambda c, _k, d: 2 * d * d + c * d,
    lambda c, _k, d: 2 * d * d + c * d,
    {"whitening": 2, "background_whitening": 2, "background_mean": 1},
)
