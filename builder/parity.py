"""How much of the float network is left in the INT8 ones: alike rows, equal neighbours, and what it costs to run.

Measured on held-out photos, both INT8 graphs on the CPU: for TensorRT's that is the numerical reference of its engine,
not its speed. `cosine` compares the two rows of one photo; `neighbour_agreement` is the share of photos whose nearest
other photo is the same in both: what a lookup would notice. Latencies are taken in turns in one process, one thread, so
that a busy machine slows both, and the least of each is kept: what other processes do only adds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from builder.photos import in_batches
from builder.sensitivity import Kept
from edge.engines import EngineSpec
from edge.engines.ort import OrtEngine
from edge.errors import GateError
from edge.types import Crops, Embeddings

__all__ = ["Agreement", "Parity", "measure_parity", "refuse_below"]

RUNS, WARM_UP = 30, 3


class Agreement(Struct, frozen=True, kw_only=True):
    """How near the rows of an INT8 graph are to those of the float one, and the size of its file."""

    cosine_mean: float
    cosine_p05: float
    cosine_min: float
    neighbour_agreement: float
    size_bytes: int


class Parity(Struct, frozen=True, kw_only=True):
    """What `measure_parity` found. Latencies are the least of 30 runs of one crop on one thread of this machine."""

    photos: int
    photos_set_ranges: bool
    float_ms: float
    cpu_ms: float
    float_bytes: int
    cpu: Agreement
    trt: Agreement

    def of(self, engine: str) -> Agreement:
        """Return how the graph that this engine runs agrees."""
        return self.trt if engine == "tensorrt" else self.cpu


def measure_parity(
    float_graph: Path, int8: tuple[Path, Path], crops: Crops, are_same: bool, on_photos: Callable[[int], None]
) -> Parity:
    """Run the float graph and the two INT8 ones (for CPUs, for TensorRT) on `crops`.

    `are_same` says that these also set the ranges. Raises EngineError from a graph.
    """
    spec, written = EngineSpec(threads=1), EngineSpec(threads=1, as_written=True)
    with OrtEngine(float_graph, spec) as exact, OrtEngine(int8[0], spec) as cpu, OrtEngine(int8[1], written) as trt:
        rows: tuple[list[Embeddings], ...] = ([], [], [])
        for batch in in_batches(crops):
            for engine, found in zip((exact, cpu, trt), rows, strict=True):
                found.append(engine.embed(batch))
            on_photos(len(batch))
        float_ms, cpu_ms = _latencies_ms(exact, cpu, crops[:1])
    reference, on_cpu, for_trt = (np.concatenate(found) for found in rows)
    return Parity(
        photos=len(crops),
        photos_set_ranges=are_same,
        float_ms=float_ms,
        cpu_ms=cpu_ms,
        float_bytes=float_graph.stat().st_size,
        cpu=_agreement(reference, on_cpu, int8[0]),
        trt=_agreement(reference, for_trt, int8[1]),
    )


def refuse_below(parity: Parity, engine: str, min_cosine: float, kept: Kept | None = None) -> None:
    """Raise GateError when the mean cosine of the graph that `engine` runs is below `min_cosine` or not a number.

    `kept` are the layers that stay in float already.
    """
    found = parity.of(engine).cosine_mean
    if found >= min_cosine:
        return
    tried = ""
    if kept is not None:
        worst = ", ".join(layer.layer for layer in kept.layers[:3])
        tried = f" with {len(kept.layers)} of {kept.groups} layers in float (the most sensitive: {worst})"
    raise GateError(
        f"INT8 features have mean cosine {found:.4f} to float on {parity.photos} photos{tried}, expected at least "
        f"{min_cosine:.4f}; give photos like those in use, or lower --min-cosine"
    )


def _agreement(reference: Embeddings, rows: Embeddings, graph: Path) -> Agreement:
    cosine = np.einsum("nd,nd->n", reference, rows)
    return Agreement(
        cosine_mean=float(cosine.mean()),
        cosine_p05=float(np.quantile(cosine, 0.05)),
        cosine_min=float(cosine.min()),
        neighbour_agreement=float((_nearest(reference) == _nearest(rows)).mean()),
        size_bytes=graph.stat().st_size,
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
