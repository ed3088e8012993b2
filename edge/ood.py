"""How strange is a crop? Higher is stranger, for every method.

A method takes the class similarities (N, C) and returns (N,) scores. `max_cosine` is the distance to the nearest class
mean or prototype, 1 - max cosine (Ngoc-Hieu et al. 2023, arXiv 2306.14920): the baseline that anything else must beat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edge.types import Similarities

__all__ = ["METHODS", "max_cosine"]

Scores = NDArray[np.float32]


def max_cosine(scores: Similarities) -> Scores:
    """Return 1 - the largest cosine: 0 on a prototype, 1 when orthogonal to all."""
    strange: Scores = (1.0 - scores.max(axis=1)).astype(np.float32)
    return strange


METHODS: Mapping[str, Callable[[Similarities], Scores]] = {"max_cosine": max_cosine}
