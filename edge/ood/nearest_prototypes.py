"""Distance to the NEIGHBOUR-th nearest prototype, whatever product it is of: 1 - its cosine.

Deep nearest neighbours: Sun et al., ICML 2022, arXiv 2204.06507, on unit-length embeddings, with the prototypes in the
place of all training photos. With fewer prototypes the farthest one counts. It searches the table a second time, in
float32, and holds it for that.
"""

from __future__ import annotations

import numpy as np

from edge.ood.method import Method, Parameters, Score, Scores
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]

NEIGHBOUR = 3


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:  # noqa: ARG001
    prototypes = np.ascontiguousarray(table.prototypes.T.astype(np.float32) * np.float32(table.scale))
    place = min(NEIGHBOUR, prototypes.shape[1])

    def score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:  # noqa: ARG001
        every = embeddings @ prototypes
        return np.asarray(1.0 - np.partition(every, -place, axis=1)[:, -place], np.float32)

    return score


METHOD = Method("nearest_prototypes", _prepare, lambda _c, k, d: k * d, lambda _c, k, d: k * d)
