"""What the engine of a bundle says about a crop: an embedding, and how near the crop should be to its own product.

    row (D + 1,) = (u, e) / |(u, e)|      u (D,) of unit length: the embedding;  e: the expected similarity

The expected similarity is the cosine that a photo taken like this one has to its own product, as calibration learnt it
from the features (`calibration.space.expected`): low for a dark, blurred or covered crop, high for a clear one. So a
clear crop that is only fairly near to a product can be called strange, and a blurred one need not be. One more
coordinate of the same unit row keeps the engine at one output, and every check of a row covers both.
"""

from __future__ import annotations

import numpy as np

from edge.types import Embeddings, EngineRows, Expected

__all__ = ["join_rows", "split_rows"]

_LEAST = np.float32(1e-3)  # of a unit row: less is the rest of something else


def join_rows(embeddings: Embeddings, expected: Expected) -> EngineRows:
    """Return (N, D + 1) rows for embeddings (N, D) and expected similarities (N,); a row of zeros stays zeros."""
    last = np.where(np.abs(embeddings).sum(axis=1) > 0, expected, np.float32(0.0))
    rows = np.concatenate([embeddings, last[:, None]], axis=1)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, np.float32(1.0)), np.float32)


def split_rows(rows: EngineRows) -> tuple[Embeddings, Expected]:
    """Return embeddings (N, D) of unit length and expected similarities (N,).

    A row without a direction in its first D values gives zeros, one that is not finite stays so.
    """
    first = rows[:, :-1]
    length = np.sqrt(np.einsum("nd,nd->n", first, first))
    lost = length < _LEAST
    divisor = np.where(lost, np.float32(1.0), length)
    with np.errstate(invalid="ignore"):  # infinity over infinity is NaN, as it should be
        embeddings = np.where(lost[:, None], np.float32(0.0), first / divisor[:, None])
        return embeddings, np.where(lost, np.float32(0.0), rows[:, -1] / divisor)
