"""Lead of the best class over the second, negated: a crop between two classes is strange (a baseline).

With one class there is no second; its similarity counts as -1, as everywhere on the device.
"""

from __future__ import annotations

import numpy as np

from edge.ood.method import Method, Parameters, Score, Scores
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]


def _score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:  # noqa: ARG001  # the shape of the others
    if similarities.shape[1] < 2:
        return np.asarray(-1.0 - similarities[:, 0], np.float32)
    two = np.partition(similarities, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 0] - two[:, 1], np.float32)


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:  # noqa: ARG001
    return _score


METHOD = Method("margin", _prepare, lambda c, _k, _d: 2 * c)
