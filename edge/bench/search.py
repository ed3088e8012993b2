"""The nearest-prototype search alone, on a table of a stated size: one query at a time, as the daemon asks."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge import lookup
from edge.parameters import PrototypeTable
from edge.pipeline import CANDIDATES

__all__ = ["Searched", "search"]

SEED = 0
WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Searched:
    """Milliseconds of every query, and MiB of the table as stored (int8) and as searched (float32)."""

    queries_ms: NDArray[np.float64]
    stored_mib: float
    searched_mib: float


def search(skus: int, prototypes: int, dimension: int, queries: int) -> Searched:
    """Search a random table of `skus` products with `prototypes` prototypes each for the best five, `queries` times."""
    random = np.random.default_rng(SEED)
    table = PrototypeTable(
        random.integers(-127, 128, (skus * prototypes, dimension), dtype=np.int8),
        scale=1 / (74 * dimension**0.5),  # rows of about unit length
        owners=np.repeat(np.arange(skus, dtype=np.int32), prototypes),
    )
    index = lookup.index_from_table(table)
    asked = random.standard_normal((queries + WARM_UP, 1, dimension), dtype=np.float32)
    asked /= np.linalg.norm(asked, axis=2, keepdims=True)
    took_ms = np.empty(len(asked))
    for number, query in enumerate(asked):
        begin_ns = time.perf_counter_ns()
        lookup.top(lookup.similarities(index, query), CANDIDATES)
        took_ms[number] = (time.perf_counter_ns() - begin_ns) / 1e6
    return Searched(took_ms[WARM_UP:], table.prototypes.nbytes / 2**20, index.prototypes.nbytes / 2**20)
