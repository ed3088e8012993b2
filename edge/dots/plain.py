"""Exact integer dot products with NumPy: float32 matrix products of integers that float32 cannot round.

float32 holds every integer up to 2^24. A partial sum over some dimensions is at most LEVELS times the sum of the row's
magnitudes there, so the dimensions are cut into as few runs as keep this under 2^24, and the sums of the runs are added
as integers. A table of unit rows with a few hundred dimensions needs one run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "PlainDots"]

LEVELS = 2047
_EXACT = 2**24
_FEW = 3  # queries that OpenBLAS takes faster one by one than as one matrix


class PlainDots:
    """The (K, D) int8 table as float32, transposed: four times its size."""

    name = "numpy"

    def __init__(self, rows: NDArray[np.int8]) -> None:
        starts = _starts(rows)
        columns = np.ascontiguousarray(rows.T, dtype=np.float32)
        ends = [*starts[1:], len(columns)]
        self._runs = [(slice(start, end), columns[start:end]) for start, end in zip(starts, ends, strict=True)]
        self._sum = sum_type(rows)
        self.held_bytes = columns.nbytes

    def __call__(self, queries: NDArray[np.int16]) -> NDArray[np.signedinteger]:
        """Return (N, K) exact dot products of (N, D) queries in [-LEVELS, LEVELS]."""
        asked = queries.astype(np.float32)
        (first, columns), *others = self._runs
        total: NDArray[np.signedinteger] = _product(asked[:, first], columns).astype(self._sum)
        for part, columns in others:
            total += _product(asked[:, part], columns).astype(self._sum)
        return total


def sum_type(rows: NDArray[np.int8]) -> np.dtype[np.signedinteger]:
    """Return the integer that holds every dot product with the rows (K, D)."""
    largest = int(np.abs(rows, dtype=np.int16).sum(axis=1, dtype=np.int64).max())
    return np.dtype(np.int32 if largest * LEVELS < 2**31 else np.int64)


def _product(queries: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the product; OpenBLAS is slow for a few rows at once, and the order of sums cannot matter here."""
    if 1 < len(queries) <= _FEW:
        return np.concatenate([query[None] @ columns for query in queries])
    product: NDArray[np.float32] = queries @ columns
    return product


def _starts(rows: NDArray[np.int8]) -> list[int]:
    """Return the first dimension of each run."""
    magnitude = np.abs(rows, dtype=np.int16)
    runs = 1
    while True:
        starts = np.arange(0, rows.shape[1], -(-rows.shape[1] // runs))
        if int(np.add.reduceat(magnitude, starts, axis=1, dtype=np.int64).max()) * LEVELS < _EXACT:
            return [int(start) for start in starts]
        runs *= 2
