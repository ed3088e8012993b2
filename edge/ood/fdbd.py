"""Mean distance to the decision boundaries between the best class and its TOP nearest rivals, negated.

fDBD: Liu & Qin, ICML 2024. The boundary between two unit-length class means a and b is the plane of equal cosine, so
the distance to it is (x'a - x'b) / |a - b|; it is divided by the distance from the mean of all class means, as in the
paper. Only the TOP best classes are looked at: of thousands of boundaries the near ones decide, and all of them would
cost more than the engine. A crop near its boundaries is strange.
"""

from __future__ import annotations

import numpy as np

from edge.ood.method import Method, Parameters, Score, Scores, class_means
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]

TOP = 32


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:  # noqa: ARG001
    means = class_means(table)
    centre = means.mean(axis=0)
    top = min(TOP, len(means))

    def score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:  # noqa: ARG001
        if top < 2:
            return np.asarray(1.0 - similarities.max(axis=1), np.float32)
        rivals = np.argpartition(-similarities, top - 1, axis=1)[:, :top]
        best = similarities.argmax(axis=1)
        chosen = means[rivals]
        own = np.einsum("nd,nd->n", embeddings, means[best])
        lead = own[:, None] - np.einsum("nd,ntd->nt", embeddings, chosen)
        apart = np.linalg.norm(means[best][:, None, :] - chosen, axis=2)
        other = rivals != best[:, None]
        distance = np.where(other, np.abs(lead) / np.maximum(apart, 1e-6), 0.0).sum(axis=1) / (top - 1)
        return np.asarray(-distance / np.maximum(np.linalg.norm(embeddings - centre, axis=1), 1e-6), np.float32)

    return score


METHOD = Method("fdbd", _prepare, lambda c, _k, d: c + 4 * TOP * d, lambda c, _k, d: c * d)
