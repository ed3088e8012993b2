"""Generalised entropy of the TOP largest class probabilities: sum p^g (1 - p)^g with g = 0.1.

GEN: Liu, Lochman & Zach, CVPR 2023. Probabilities are a softmax of the similarities at the temperature that calibration
fitted. A flat distribution is strange; the small power lets the many small probabilities speak.
"""

from __future__ import annotations

import numpy as np

from edge.ood.method import Method, Parameters, Score, Scores
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]

TOP = 100
POWER = np.float32(0.1)


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:  # noqa: ARG001
    temperature = np.float32(parameters["temperature"])

    def score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:  # noqa: ARG001
        most = similarities.max(axis=1, keepdims=True)
        weight = np.exp((similarities - most) / temperature)
        top = np.partition(weight, -TOP, axis=1)[:, -TOP:] if weight.shape[1] > TOP else weight
        p = np.clip(top / weight.sum(axis=1, keepdims=True), 0.0, 1.0)
        return np.asarray(((p * (1.0 - p)) ** POWER).sum(axis=1), np.float32)

    return score


METHOD = Method("generalised_entropy", _prepare, lambda c, _k, _d: 40 * c, arrays={"temperature": 0})
