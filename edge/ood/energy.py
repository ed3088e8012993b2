"""Free energy of the class similarities: -T log sum exp(s / T), with the temperature that calibration fitted.

Liu et al. 2020, arXiv 2010.03759, on cosine logits. A small temperature makes it the maximum, a large one the mean.
"""

from __future__ import annotations

import numpy as np

from edge.ood.method import Method, Parameters, Score, Scores
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:  # noqa: ARG001
    temperature = np.float32(parameters["temperature"])

    def score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:  # noqa: ARG001
        most = similarities.max(axis=1)
        rest = np.exp((similarities - most[:, None]) / temperature).sum(axis=1)
        return np.asarray(-(most + temperature * np.log(rest)), np.float32)

    return score


METHOD = Method("energy", _prepare, lambda c, _k, _d: 20 * c, arrays={"temperature": 0})
