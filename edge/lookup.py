"""Exact nearest-prototype search: no index that can miss, no clock, no I/O.

A class is as near as its nearest prototype. Brute force over the whole table is optimal here: at a few thousand
products one pass costs less than a tenth of the engine, and an approximate index would only buy silent errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.parameters import PrototypeTable
from edge.types import Embeddings, Similarities

__all__ = ["Index", "index_from_table", "similarities", "top"]


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """The table made ready for search: prototypes (D, K) float32, transposed for the matrix product."""

    prototypes: NDArray[np.float32]
    first_row: NDArray[np.int64]  # (C,), the first prototype of each class
    one_each: bool


def index_from_table(table: PrototypeTable) -> Index:
    """Expand the int8 table once; the values searched are exactly those of the table."""
    prototypes = np.ascontiguousarray(table.prototypes.T.astype(np.float32) * np.float32(table.scale))
    first_row = np.flatnonzero(np.diff(table.owners, prepend=-1)).astype(np.int64)
    return Index(prototypes, first_row, len(first_row) == len(table.owners))


def similarities(index: Index, embeddings: Embeddings) -> Similarities:
    """Return (N, C): the cosine of each of the (N, D) unit rows to the nearest prototype of each class."""
    every = embeddings @ index.prototypes
    if index.one_each:
        return every
    nearest: Similarities = np.maximum.reduceat(every, index.first_row, axis=1)
    return nearest


def top(scores: Similarities, count: int) -> NDArray[np.intp]:
    """Return (N, min(count, C)) class indices by falling score; equal scores by rising index: ties are stable."""
    count = min(count, scores.shape[1])
    if count < scores.shape[1]:
        found = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
    else:
        found = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)
