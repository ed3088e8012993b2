"""How much of the float network is left in the INT8 one: alike rows, equal neighbours, and what it costs to run.

Measured on held-out photos. `cosine` compares the two rows of one photo; `neighbour_agreement` is the share of photos
whose nearest other photo is the same in both: what a lookup would notice. Latencies are taken in turns in one process,
one thread, so that a busy machine slows both, and the least of each is kept: what other processes do only adds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from builder.photos import in_batches
from edge.engines import EngineSpec
from edge.engines.ort import OrtEngine
from edge.errors import GateError
from edge.types import Crops, Embeddings

__all__ = ["Parity", "measure_parity", "refuse_below"]

RUNS, WARM_UP = 30, 3


class Parity(Struct, frozen=True, kw_only=True):
    """What `measure_parity` found. Latencies are the least of 30 runs of one crop on one thread."""

    photos: int
    photos_set_ranges: bool
    cosine_mean: float
    cosine_p05: float
    cosine_min: float
    neighbour_agreement: float
    float_ms: float
    int8_ms: float
    float_bytes: int
    int8_bytes: int


def measure_parity(
    float_graph: Path, int8_graph: Path, crops: Crops, are_same: bool, on_photos: Callable[[int], None]
) -> Parity:
    """Run both graphs on `crops`; `are_same` says that these also set the ranges. Raises EngineError from a graph."""
    spec = EngineSpec(threads=1)
    with OrtEngine(float_graph, spec) as exact, OrtEngine(int8_graph, spec) as small:
        reference, result = [], []
        for batch in in_batches(crops):
            reference.append(exact.embed(batch))
            result.append(small.embed(batch))
            on_photos(len(batch))
        float_ms, int8_ms = _latencies_ms(exact, small, crops[:1])
    first, second = np.concatenate(reference), np.concatenate(result)
    cosine = np.einsum("nd,nd->n", first, second)
    return Parity(
        photos=len(crops),
        photos_set_ranges=are_same,
        cosine_mean=float(cosine.mean()),
        cosine_p05=float(np.quantile(cosine, 0.05)),
        cosine_min=float(cosine.min()),
        neighbour_agreement=float((_nearest(first) == _nearest(second)).mean()),
        float_ms=float_ms,
        int8_ms=int8_ms,
        float_bytes=float_graph.stat().st_size,
        int8_bytes=int8_graph.stat().st_size,
    )


def refuse_below(parity: Parity, min_cosine: float) -> None:
    """Raise GateError when the mean cosine is below `min_cosine` or not a number."""
    if not parity.cosine_mean >= min_cosine:
        raise GateError(
            f"INT8 features have mean cosine {parity.cosine_mean:.4f} to float on {parity.photos} photos, expected at "
            f"least {min_cosine:.4f}; give photos like those in use, or lower --min-cosine"
        )


def _nearest(rows: Embeddings) -> NDArray[np.intp]:
    similarities = rows @ rows.T
    np.fill_diagonal(similarities, -2.0)
    nearest: NDArray[np.intp] = similarities.argmax(axis=1)
    return nearest


def _latencies_ms(first: OrtEngine, second: OrtEngine, crops: Crops) -> tuple[float, float]:
    spent: tuple[list[int], list[int]] = ([], [])
    for run in range(WARM_UP + RUNS):
        for engine, times in zip((first, second), spent, strict=True):
            started_ns = time.perf_counter_ns()
            engine.embed(crops)
            if run >= WARM_UP:
                times.append(time.perf_counter_ns() - started_ns)
    return min(spent[0]) / 1e6, min(spent[1]) / 1e6
