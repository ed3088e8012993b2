"""Free energy of the class similarities: -T log sum exp(s / T), with the temperature that calibration fitted.

Liu et al. 2020, arXiv 2010.03759, on cosine logits. A small temperature makes it the maximum, a large one the mean.
"""

from __future__ import annotations

import numpy as np

from edge.ood.method import Method, Parameters, Score, Scores
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]

LEAST = np.float32(-80)  # exp of less is no normal number, which is slow to add and changes no sum of 1 and more


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:  # noqa: ARG001
    temperature = np.float32(parameters["temperature"])

    def score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:  # noqa: ARG001
        most = similarities.max(axis=1)
        exponent = np.maximum((similarities - most[:, None]) / temperature, LEAST)
        rest = np.exp(exponent).sum(axis=1)
        return np.asarray(-(most + temperature * np.log(rest)), np.float32)

    return score


METHOD = Method("energy", _prepare, lambda c, _k, _d: 20 * c, arrays={"temperature": 0})
