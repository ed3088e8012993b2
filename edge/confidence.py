"""P(the best candidate is right), from how near it is and how far ahead of the next.

A logistic model on similarity and margin with a shrunken offset per class (`edge.parameters.ConfidenceModel`): Platt
scaling with two features. Monotone in both: more alike or further ahead never lowers the confidence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.parameters import ConfidenceModel

__all__ = ["p_correct"]


def p_correct(
    model: ConfidenceModel, best: NDArray[np.intp], similarity: NDArray[np.float32], margin: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (N,) probabilities for best class (N,), its similarity (N,) and its lead over the next class (N,)."""
    logit = model.bias + model.class_offset[best].astype(np.float64)
    logit += model.similarity_weight * similarity + model.margin_weight * margin
    return (1.0 / (1.0 + np.exp(-np.clip(logit, -50.0, 50.0)))).astype(np.float32)
