"""The lookup on the GPU: the largest dot product of each class, from a table that lies there.

The same integers as `edge.lookup` finds on the CPU: the query comes as two planes of int8, and no sum on the way is
rounded before the last one (`builder.lookup_graph`). Whether this GPU does it so is asked when it is opened
(`edge.lookup.agrees`). The plan holds no table, only its sizes, so an enrolled product needs no compiling while there
is room. Runs on a stream of its own, beside the engine, in the thread that asks.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines.loaded_plan import LoadedPlan, Tensor, Tensors
from edge.engines.plan import Plan
from edge.engines.trt import MEND, import_pycuda, import_tensorrt, logger_for
from edge.errors import EngineError
from edge.parameters import PrototypeTable

__all__ = ["MAX_DIMENSION", "PLANES", "TABLE", "TensorRtLookup"]

PLANES, TABLE, NEAREST = "planes", "table", "nearest"
MAX_DIMENSION = 2_032  # of which every sum of a plane's products is exact in float32, in steps of 16
BITS = 7  # a query is 2^BITS times its high plane, plus its low plane


class TensorRtLookup:
    """Searches the table of a bundle with the lookup of its plan; `with` loads it (`edge.lookup.Nearest`)."""

    name = "tensorrt"

    def __init__(self, plan: Plan, table: PrototypeTable) -> None:
        self._plan, self._table = plan, table
        self._classes, self._width = int(table.owners[-1]) + 1, 0
        self._held: LoadedPlan | None = None

    @property
    def held_bytes(self) -> int:
        """Memory on the GPU: activations, table and what goes in and out; 0 while closed."""
        return 0 if self._held is None else self._held.device_memory_bytes

    def __enter__(self) -> TensorRtLookup:
        if self._plan.lookup is None:
            raise EngineError(f"{self._plan.path}: holds no lookup; {MEND}")
        trt = import_tensorrt()
        held = LoadedPlan(trt, import_pycuda(), self._plan.lookup, MEND)
        try:
            tensors = held.load(
                self._plan.lookup.read_bytes(),
                logger_for(trt),
                self._plan.info.max_batch,
                lambda engine: self._tensors(trt, engine, self._plan.path),
            )
        except BaseException:
            held.close()
            raise
        self._width, self._held = tensors.given.shape[1], held
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def __call__(self, queries: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return (N, C) largest dot products of (N, D) queries; raises EngineError."""
        if self._held is None:
            raise EngineError(f"{self._plan.path}: lookup is not open; use it inside `with`")
        planes = _planes(queries, self._width)
        found = np.empty((len(queries), self._classes), np.float32)
        try:
            for start in range(0, len(queries), self._plan.info.max_batch):
                part = slice(start, start + self._plan.info.max_batch)
                found[part] = self._held.run(planes[part])[:, : self._classes]
        except EngineError:
            raise
        except Exception as error:  # pycuda's errors share no base class that is there without a driver
            raise EngineError(f"{self._plan.path}: lookup failed: {error}") from error
        return found

    def _tensors(self, trt: Any, engine: Any, path: Path) -> Tensors:
        """Return what the plan takes, with the table laid out for it; raises EngineError where it does not fit."""
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        found = {name: (engine.get_tensor_dtype(name), tuple(engine.get_tensor_shape(name))) for name in names}
        kinds = {PLANES: trt.DataType.INT8, TABLE: trt.DataType.INT8, NEAREST: trt.DataType.FLOAT}
        if {name: kind for name, (kind, _) in found.items()} != kinds:
            said = ", ".join(f"{name} {kind} {shape}" for name, (kind, shape) in found.items())
            raise EngineError(f"{path}: the lookup has {said}, expected {', '.join(kinds)}; {MEND}")
        given, held, out = (found[name][1][1:] for name in (PLANES, TABLE, NEAREST))
        table = _laid_out(self._table, found[TABLE][1], path)
        if (given, out) != ((2, held[1]), (held[0],)):
            raise EngineError(f"{path}: the lookup takes {given} and gives {out} for a table {table.shape}; {MEND}")
        return Tensors(Tensor(PLANES, given, np.int8), Tensor(NEAREST, out, np.float32), {TABLE: table})


def _planes(queries: NDArray[np.int16], width: int) -> NDArray[np.int8]:
    """Return (N, 2, width): high and low planes of (N, D) queries, filled up with zeros."""
    high = (queries + (1 << (BITS - 1))) >> BITS  # low is in [-64, 63]
    planes = np.zeros((len(queries), 2, width), np.int8)
    planes[:, 0, : queries.shape[1]] = high
    planes[:, 1, : queries.shape[1]] = queries - (high << BITS)
    return planes


def _laid_out(table: PrototypeTable, shape: tuple[int, ...], path: Path) -> NDArray[np.int8]:
    """Return the table as (E, C, D): prototype e of every class, or its first one again where it has fewer."""
    counts = np.bincount(table.owners)
    needed = (int(counts.max()), len(counts), table.prototypes.shape[1])
    if len(shape) != 3 or any(has < need for has, need in zip(shape, needed, strict=True)):
        words = "prototypes, products and dimensions"
        raise EngineError(f"{path}: the lookup has room for {shape} {words}, the table has {needed}; {MEND}")
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    laid = np.zeros(shape, np.int8)
    for number in range(shape[0]):
        rows = first + np.where(number < counts, number, 0)
        laid[number, : len(counts), : needed[2]] = table.prototypes[rows]
    return laid
