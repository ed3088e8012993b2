"""How crowded it is around each product of a table: the cosine of its centre to that of the nearest other product.

A product with near neighbours competes for every photo: a look-alike that is not enrolled lies between two of them and
its margin is small. A product that stands alone has the largest margin whatever the photo shows, so the margin says
nothing there, and how strange the photo is has to say all of it (`calibration.rules.thresholds`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.parameters import PrototypeTable
from edge.types import Embeddings

__all__ = ["ALONE", "centres_of", "crowding", "nearest_cosine"]

ALONE = -1.0  # the crowding of a product without any other
_BLOCK = 1024


def crowding(table: PrototypeTable) -> NDArray[np.float32]:
    """Return (C,) in [-1, 1]; ALONE for a single product."""
    return nearest_cosine(centres_of(table))


def centres_of(table: PrototypeTable) -> Embeddings:
    """Return (C, D): the mean direction of each product's prototypes, rows of unit length."""
    first = np.searchsorted(table.owners, np.arange(int(table.owners[-1]) + 1))
    sums = np.add.reduceat(table.prototypes.astype(np.float64), first, axis=0)
    norms = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return np.asarray(sums / norms, np.float32)


def nearest_cosine(centres: Embeddings) -> NDArray[np.float32]:
    """Return (C,): the cosine of each centre (C, D) to the nearest other one; ALONE for a single one."""
    nearest = np.full(len(centres), ALONE, np.float32)
    for start in range(0, len(centres), _BLOCK):
        block = centres[start : start + _BLOCK] @ centres.T
        block[np.arange(len(block)), np.arange(start, start + len(block))] = ALONE
        nearest[start : start + _BLOCK] = block.max(axis=1)
    return nearest
