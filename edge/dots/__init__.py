"""Exact dot products of integer queries with the rows of an int8 table: two ways to the same integers.

`PlainDots` is NumPy alone. `NumkongDots` (`pip install 'shelfedge[fast]'`) takes a quarter of its memory and, on 16,000
rows of 192 dimensions and an x86 CPU with AVX2, 0.6 to 0.7 of its time. Because both are exact, nothing that is decided
depends on which one runs: a bundle calibrated with one decides alike with the other. `dots_from_table` takes NumKong
where it is installed and gives NumPy's integers for every row of the very table that is searched; where it is installed
and does not, the log says so.

Queries are integers of up to LEVELS: enough that rounding to them is hardly noticed (figures in `edge.lookup`), and few
enough that the sums of a table of unit rows stay exact in float32.
"""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.dots.numkong import NumkongDots
from edge.dots.plain import LEVELS, PlainDots

__all__ = ["LEVELS", "Dots", "dots_from_table", "trying_queries"]

_CHECKED_ROWS = 4096  # of the table at a time, as float32

log = logging.getLogger(__name__)


class Dots(Protocol):
    """Takes (N, D) int16 queries in [-LEVELS, LEVELS]; returns (N, K) int32, or int64 where int32 could overflow."""

    name: str
    held_bytes: int  # of the table, in the form that is searched

    def __call__(self, queries: NDArray[np.int16]) -> NDArray[np.signedinteger]:
        """Return the exact dot product of every query with every row."""


def dots_from_table(rows: NDArray[np.int8]) -> Dots:
    """Return the fastest way that is exact here for a (K, D) table, K >= 1, 1 <= D <= 65,536."""
    try:
        fast = NumkongDots(rows)
        agrees = _agrees(fast, rows)
    except ImportError:
        return PlainDots(rows)
    except Exception as error:  # noqa: BLE001  # an accelerator that fails in any way is done without
        log.warning("searching with NumPy: numkong failed on this table: %s", error)
        return PlainDots(rows)
    if not agrees:
        log.warning("searching with NumPy: numkong computes other dot products here; install another version of it")
        return PlainDots(rows)
    return fast


def trying_queries(dimension: int) -> NDArray[np.int16]:
    """Return (5, D) queries that show who cannot add up: both ends of the range, a mixture, and what cancels out."""
    position = np.arange(dimension)
    mixed = (position * 1_009) % (2 * LEVELS + 1) - LEVELS
    extremes = np.full_like(mixed, LEVELS)
    queries = np.stack([mixed, extremes, -extremes, np.where(position % 2, LEVELS, -LEVELS), mixed[::-1]])
    return queries.astype(np.int16)


def _agrees(fast: Dots, rows: NDArray[np.int8]) -> bool:
    """Whether these queries, together and one alone, give NumPy's integers for every row."""
    queries = trying_queries(rows.shape[1])
    together, alone = fast(queries), fast(queries[:1])
    for start in range(0, len(rows), _CHECKED_ROWS):
        part = slice(start, start + _CHECKED_ROWS)
        exact = PlainDots(rows[part])(queries)
        if not (np.array_equal(together[:, part], exact) and np.array_equal(alone[:, part], exact[:1])):
            return False
    return True
