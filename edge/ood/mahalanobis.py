"""Squared Mahalanobis distance to the nearest class mean, with one covariance for all classes.

Mahalanobis++: Mueller & Hein, ICML 2025 (unit-length features; Lee et al., NeurIPS 2018 without). The covariance is
that of the photos around their class's mean, shrunk by calibration; here it comes as its `whitening` matrix W (D, D)
with W W' = covariance^-1, so the distance is that of the whitened vectors.
"""

from __future__ import annotations

import numpy as np

from edge.ood.method import Method, Parameters, Score, Scores, class_means
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:
    whitening = parameters["whitening"]
    means = class_means(table) @ whitening
    lengths = np.square(means).sum(axis=1)
    columns = np.ascontiguousarray(means.T)

    def score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:  # noqa: ARG001
        white = embeddings @ whitening
        nearest = (lengths - 2.0 * (white @ columns)).min(axis=1)
        return np.asarray(nearest + np.square(white).sum(axis=1), np.float32)

    return score


METHOD = Method(
    "mahalanobis", _prepare, lambda c, _k, d: d * d + c * d, lambda c, _k, d: d * d + c * d, {"whitening": 2}
)
