"""Exact nearest-prototype search: no index that can miss, no clock, no I/O.

A class is as near as its nearest prototype. Brute force over the whole table is optimal here: at a few thousand
products one pass costs less than a tenth of the engine, and an approximate index would only buy silent errors.

The search is in integers. A query becomes integers of up to LEVELS (2,047) times a step of its own, rounded half to
even; its dot products with the int8 table are exact (`edge.dots`), and a similarity is that integer times the query's
step times the table's scale. So every device gives the same similarities to the last bit, whatever it adds up with, and
calibration, which searches with this file, fits what runs.

Who finds the largest dot product of each class is a `Nearest`: the host (`HostSearch`), or a GPU (`edge.engines`) that
`agrees` with it to the last bit.

What rounding the query costs, on 4,000 test photos of 1,000 rendered products, 4 prototypes x 192 dimensions, against
the query in float32: another best class for 1 of them, whose two best were within 0.00001; the largest error of a
similarity is 0.00035. Queries in int8 gave another class for 10 and an error of 0.0059: too coarse for the cut points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.dots import LEVELS, Dots, dots_from_table, trying_queries
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Similarities

__all__ = ["HostSearch", "Index", "Nearest", "agrees", "index_from_table", "similarities", "top"]

_BLOCK_VALUES = 2**22  # dot products held at once
_LEAST, _MOST = (
    np.float32(1e-30),
    np.float32(1e30),
)  # of a row's largest value: under it no direction, over it no number


class Nearest(Protocol):
    """Finds the largest dot product of each class, for (N, D) int16 queries in [-LEVELS, LEVELS]."""

    @property
    def name(self) -> str:
        """What searches, in a word."""

    @property
    def held_bytes(self) -> int:
        """Memory that the search holds beside the table it was made from."""

    def __call__(self, queries: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return (N, C) exact integers, rounded to float32 once and to even, in an array of the caller's own."""


@dataclass(frozen=True, slots=True, eq=False)
class HostSearch:
    """The table made ready for search on the CPU.

    Where every class has equally many prototypes, the first ones of all classes come first, then the second ones, and
    so on: their maximum is then taken over whole rows. Else they stay together, class by class.
    """

    dots: Dots
    first_row: NDArray[np.int64]  # (C,), the first prototype of each class in the table
    each: int  # prototypes of every class, 0 where they differ in number
    block: int  # queries that are searched at once: a bound on memory, not on the answer

    @property
    def name(self) -> str:
        """What adds up."""
        return self.dots.name

    @property
    def held_bytes(self) -> int:
        """Memory that the search holds beside the table it was made from."""
        return self.dots.held_bytes + self.first_row.nbytes

    def __call__(self, queries: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return (N, C): the largest dot product of each query with a prototype of each class."""
        starts = range(0, max(len(queries), 1), self.block)
        blocks = [self._nearest(queries[start : start + self.block]) for start in starts]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def _nearest(self, queries: NDArray[np.int16]) -> NDArray[np.float32]:
        every = self.dots(queries)
        if self.each:
            nearest = every.reshape(len(queries), self.each, len(self.first_row)).max(axis=1)
        else:
            nearest = np.maximum.reduceat(every, self.first_row, axis=1)
        found: NDArray[np.float32] = nearest.astype(np.float32)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """What a table is searched with, and the scale of the table."""

    nearest: Nearest
    scale: np.float32

    @property
    def held_bytes(self) -> int:
        """Memory that the search holds beside the table it was made from."""
        return self.nearest.held_bytes


def index_from_table(table: PrototypeTable, nearest: Nearest | None = None) -> Index:
    """Make the int8 table ready once: for `nearest`, or for the fastest search that is exact on this CPU."""
    return Index(_host_search(table) if nearest is None else nearest, np.float32(table.scale))


def agrees(table: PrototypeTable, nearest: Nearest, embeddings: Embeddings) -> bool:
    """Whether another search gives the host's bits for this table.

    Asked are queries at the ends of the range and a mixture, and `embeddings`, together and the first one alone.
    """
    queries = np.concatenate([trying_queries(table.prototypes.shape[1]), _integers(embeddings)[0]])
    exact, together, alone = _host_search(table)(queries), nearest(queries), nearest(queries[:1])
    return np.array_equal(together, exact) and np.array_equal(alone, exact[:1])


def similarities(index: Index, embeddings: Embeddings) -> Similarities:
    """Return (N, C): the cosine of each of the (N, D) unit rows to the nearest prototype of each class.

    A row of zeros is as near to every class: 0. A row that holds NaN, infinity or more than 1e30 is NaN to every class.
    """
    queries, steps = _integers(embeddings)
    found = index.nearest(queries)
    found *= steps * index.scale
    return found


def top(scores: Similarities, count: int) -> NDArray[np.intp]:
    """Return (N, min(count, C)) class indices by falling score; equal scores by rising index: ties are stable."""
    count = min(count, scores.shape[1])
    left, row = scores.copy(), np.arange(len(scores))
    found = np.empty((len(scores), count), np.intp)
    for place in range(count):
        found[:, place] = left.argmax(axis=1)  # the first of equals
        left[row, found[:, place]] = -np.inf
    return found


def _host_search(table: PrototypeTable) -> HostSearch:
    first_row = np.flatnonzero(np.diff(table.owners, prepend=-1)).astype(np.int64)
    counts = np.diff(first_row, append=len(table.owners))
    each, rows = 0, table.prototypes
    if (counts == counts[0]).all():
        each = int(counts[0])
        rows = rows.reshape(len(first_row), each, -1).swapaxes(0, 1).reshape(rows.shape)
    return HostSearch(dots_from_table(rows), first_row, each, max(1, _BLOCK_VALUES // len(rows)))


def _integers(embeddings: Embeddings) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return (N, D) integers in [-LEVELS, LEVELS] and the steps (N, 1), NaN for a row that is not finite."""
    largest = np.abs(embeddings).max(axis=1, keepdims=True)
    steps = largest / np.float32(LEVELS)
    usable = (largest >= _LEAST) & (largest <= _MOST)
    if usable.all():
        return np.rint(embeddings / steps).astype(np.int16), steps
    rows = np.where(usable, embeddings, np.float32(0)) / np.where(usable, steps, np.float32(1))
    steps = np.where(usable, steps, np.where(largest < _LEAST, np.float32(0), np.float32(np.nan)))
    return np.rint(rows).astype(np.int16), steps
