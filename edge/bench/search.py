"""The nearest-prototype search alone, on a table of a stated size: one query at a time, as the daemon asks."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge import lookup
from edge.parameters import PrototypeTable
from edge.pipeline import CANDIDATES

__all__ = ["Searched", "random_table", "search", "times_ms"]

SEED = 0
WARM_UP = 20
SPREAD = 26.0  # standard deviation of the values: the largest of some millions is near 127
BLOCK = 4096  # rows drawn at once


@dataclass(frozen=True, slots=True)
class Searched:
    """Milliseconds of every query, what multiplied (`numpy` or `numkong`), and MiB as stored (int8) and as searched."""

    queries_ms: NDArray[np.float64]
    dots: str
    stored_mib: float
    searched_mib: float


def search(skus: int, prototypes: int, dimension: int, queries: int) -> Searched:
    """Search a random table of `skus` products with `prototypes` prototypes each for the best five, `queries` times."""
    table = random_table(skus, prototypes, dimension)
    index = lookup.index_from_table(table)
    mib = table.prototypes.nbytes / 2**20, index.held_bytes / 2**20
    return Searched(times_ms(index, dimension, queries), index.nearest.name, *mib)


def times_ms(index: lookup.Index, dimension: int, queries: int) -> NDArray[np.float64]:
    """Return what each of `queries` random unit rows took to look up for the best five, warmed up."""
    asked = np.random.default_rng(SEED).standard_normal((queries + WARM_UP, 1, dimension), dtype=np.float32)
    asked /= np.linalg.norm(asked, axis=2, keepdims=True)
    took_ms = np.empty(len(asked))
    for number, query in enumerate(asked):
        begin_ns = time.perf_counter_ns()
        lookup.top(lookup.similarities(index, query), CANDIDATES)
        took_ms[number] = (time.perf_counter_ns() - begin_ns) / 1e6
    return took_ms[WARM_UP:]


def random_table(skus: int, prototypes: int, dimension: int) -> PrototypeTable:
    """Return a table of random unit rows, `prototypes` for each of `skus` products, in int8 as real ones lie in it."""
    random = np.random.default_rng(SEED)
    rows = np.empty((skus * prototypes, dimension), np.int8)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        drawn = random.standard_normal(part.shape, dtype=np.float32) * np.float32(SPREAD)
        part[:] = np.clip(np.rint(drawn), -127, 127)
    owners = np.repeat(np.arange(skus, dtype=np.int32), prototypes)
    return PrototypeTable(rows, 1 / (SPREAD * dimension**0.5), owners)
