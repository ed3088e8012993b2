"""Distance to the nearest class: 1 - the largest cosine, 0 on a prototype and 1 when orthogonal to all.

Ngoc-Hieu et al. 2023, arXiv 2306.14920 ("cosine to class means"). It costs nothing beyond the lookup and is the
baseline that every other method must beat.
"""

from __future__ import annotations

import numpy as np

from edge.ood.method import Method, Parameters, Score, Scores
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["METHOD"]


def _score(similarities: Similarities, embeddings: Embeddings, expected: Expected) -> Scores:  # noqa: ARG001  # the shape of the others
    return np.asarray(1.0 - similarities.max(axis=1), np.float32)


def _prepare(table: PrototypeTable, parameters: Parameters) -> Score:  # noqa: ARG001
    return _score


METHOD = Method("max_cosine", _prepare, lambda c, _k, _d: c)
