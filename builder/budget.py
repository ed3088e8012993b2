"""Will it fit? A ledger of memory lines against what the application may take on the device. An estimate, and says so.

Made twice: before anything is built, from the float graph as if it were INT8 already (`planned`), and from the INT8
graph. Counted: weights, product tables with what a search holds, frame rings. Estimated from the shapes: activations of
the largest batch. Measured once on a development machine and taken as constant: Python, its libraries, an engine's
session; a camera's process (32 MiB, proportional, with a 640 x 480 clip). What the whole comes to was held against the
daemon's own processes (`benchmarks/memory.py`; the constants were set on EfficientNet-Lite0 alone).

The table is counted with NumKong (`pip install 'shelfedge[fast]'`); NumPy alone holds the searched one four times.

A ledger over its limit names its three largest lines and the cheapest changes that would fit (`changes_that_fit`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from msgspec import Struct

from builder.optimise import OWN
from builder.wiring import Wiring
from edge.device import DeviceConfig
from edge.errors import GateError
from edge.footprint import (
    LIBRARIES_MIB,
    MIB,
    RING_SLOTS,
    WORKSPACE_MIB,
    products_mib,
    rings_mib,
    search_mib,
)

__all__ = [
    "Ledger",
    "Line",
    "Load",
    "changes_that_fit",
    "largest",
    "ledger_for",
    "limit_mib",
    "load_lines",
    "refuse_over",
]

DIMENSION = 192  # of a prototype, one byte each, to budget for: edge-calibrate chooses 256 at most
ARENA_FACTOR = 2.0  # ONNX Runtime's arena grows by doubling
PACKED_COPIES = 2.0  # weights as read, and repacked for the kernels
FUSED = {"Relu", "Clip"}  # what disappears into the quantisation behind it
FEWER = 3  # changes that are named at most


class Line(Struct, frozen=True):
    """One use of memory; `basis` is counted, estimated, measured or a limit."""

    name: str
    mib: float
    basis: str


class Ledger(Struct, frozen=True):
    """All lines and the limit that they stay under: the application's budget less the device's headroom.

    `network` are those that depend on neither products nor cameras nor the GPU's runtime.
    """

    network: tuple[Line, ...]
    other: tuple[Line, ...]
    limit_mib: float
    device: str

    @property
    def total_mib(self) -> float:
        """The sum of the lines."""
        return sum(line.mib for line in self.lines)

    @property
    def network_mib(self) -> float:
        """The sum of the network's lines."""
        return sum(line.mib for line in self.network)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line."""
        return self.network + self.other

    @property
    def fits(self) -> bool:
        """Whether the lines stay under the limit."""
        return self.total_mib <= self.limit_mib


@dataclass(frozen=True, slots=True)
class Load:
    """What the ledger is made for: engine, largest batch in crops, products, cameras, prototypes a product.

    `skus` are the products of today's catalogue and `growth` those of the one that must fit too (0: the same);
    `budget_mib` takes the place of the device's application budget, `dimension` is the length of a prototype.
    """

    engine: str
    max_batch: int
    skus: int
    growth: int = 0
    cameras: int = 1
    prototypes: int = 8
    budget_mib: int | None = None
    dimension: int = DIMENSION


def ledger_for(graph: onnx.ModelProto, device: DeviceConfig, load: Load, *, planned: int = 0) -> Ledger:
    """Return the ledger of one application that runs `graph` on `device`.

    `planned`: the graph is the float one, and what will be quantised counts so many bytes an element (1 for INT8). 0:
    the graph is the one that runs.
    """
    activations = ARENA_FACTOR * _peak_bytes(graph, load.max_batch, planned)
    network = (
        Line("Python, libraries, session", LIBRARIES_MIB, "measured"),
        Line("weights", PACKED_COPIES * _weight_bytes(graph, planned) / MIB, "counted"),
        Line(f"activations, batch {load.max_batch}", activations / MIB, "estimated"),
    )
    return Ledger(network, load_lines(device, load), limit_mib(device, load), device.module)


def limit_mib(device: DeviceConfig, load: Load) -> float:
    """Return what the application may take: its budget less the device's headroom."""
    budget = device.memory.application_budget_mib if load.budget_mib is None else load.budget_mib
    return budget * (1.0 - device.memory.headroom)


def load_lines(device: DeviceConfig, load: Load) -> tuple[Line, ...]:
    """Return the lines that do not depend on the network."""
    lines = [Line(f"product table, {load.skus:,} SKUs", _table_mib(load, load.skus), "counted")]
    if load.growth > load.skus:
        more = _table_mib(load, load.growth) - _table_mib(load, load.skus)
        lines.append(Line(f"product table, growth to {load.growth:,} SKUs", more, "counted"))
    rows = max(load.skus, load.growth) * load.prototypes
    lines.append(Line(f"search, batch {load.max_batch}", search_mib(load.max_batch, rows), "counted"))
    if load.cameras:
        rings = rings_mib(load.cameras * RING_SLOTS)
        lines.append(
            Line(f"camera processes, {load.cameras}", float(device.memory.camera_mib * load.cameras), "measured")
        )
        lines.append(Line(f"frame rings, {RING_SLOTS} slots of 1080p each", rings, "counted"))
    if load.engine == "tensorrt":
        lines.append(Line("CUDA and TensorRT", float(device.memory.runtime_overhead_mib), "estimated"))
        lines.append(Line("workspace of a layer", float(WORKSPACE_MIB), "a limit"))
    return tuple(lines)


def largest(ledger: Ledger) -> tuple[Line, ...]:
    """Return the three largest lines."""
    return tuple(sorted(ledger.lines, key=lambda line: -line.mib)[:3])


def named(lines: Sequence[Line]) -> str:
    """Return lines in words."""
    return ", ".join(f"{line.name} {line.mib:.0f} MiB" for line in lines)


def changes_that_fit(graph: onnx.ModelProto, device: DeviceConfig, load: Load, *, planned: int = 0) -> tuple[str, ...]:
    """Return the cheapest changes of the load that bring the ledger under its limit, in words; none when none does.

    Cheapest first: what costs speed alone (batch), accuracy (prototypes), both, then a camera less.
    """
    found = []
    for words, changed in _changes(load):
        ledger = ledger_for(graph, device, changed, planned=planned)
        if ledger.fits:
            found.append(f"{words} ({ledger.total_mib:.0f} MiB)")
    return tuple(found[:FEWER])


def refuse_over(ledger: Ledger, changes: Sequence[str] = ()) -> None:
    """Raise GateError, naming the three largest lines and the changes that fit, when the ledger is over its limit."""
    if ledger.fits:
        return
    mend = f"what would fit: {'; '.join(changes)}" if changes else "take a smaller network or catalogue, or more memory"
    raise GateError(
        f"needs about {ledger.total_mib:.0f} MiB on {ledger.device}, expected at most {ledger.limit_mib:.0f} MiB; "
        f"the largest: {named(largest(ledger))}; {mend}"
    )


def _changes(load: Load) -> Iterator[tuple[str, Load]]:
    """Yield loads that take less, with their words."""
    batches = [batch for batch in (4, 2, 1) if batch < load.max_batch]
    counts = [count for count in (4, 2, 1) if count < load.prototypes]
    for batch in batches:
        yield f"--max-batch {batch}", replace(load, max_batch=batch)
    for count in counts:
        yield f"--prototypes {count}", replace(load, prototypes=count)
    if batches and counts:
        yield "--max-batch 1 --prototypes 1", replace(load, max_batch=1, prototypes=1)
    for cameras in range(load.cameras - 1, 0, -1):
        yield f"--cameras {cameras}", replace(load, cameras=cameras)


def _table_mib(load: Load, skus: int) -> float:
    return products_mib(skus, skus * load.prototypes, load.dimension)


def _weight_bytes(graph: onnx.ModelProto, planned: int) -> int:
    """Return the bytes of the constants; planned: as many for each float that the backbone brings."""
    total = 0
    for tensor in graph.graph.initializer:
        is_planned = planned and tensor.data_type == onnx.TensorProto.FLOAT and not tensor.name.startswith(OWN)
        elements = int(np.prod(tensor.dims, dtype=np.int64))
        total += planned * elements if is_planned else _bytes(tensor.dims, tensor.data_type)
    return total


def _peak_bytes(model: onnx.ModelProto, batch: int, planned: int) -> int:
    """Return the most bytes of live tensors at any node, the nodes run in their order.

    A tensor between Quantize/DequantizeLinear and its operator never exists once they are fused, and counts nothing.
    """
    wiring = Wiring(model)
    sizes = {name: _live_bytes(wiring, name, batch, planned) for node in wiring.nodes for name in node.output}
    remaining = Counter(name for node in wiring.nodes for name in set(node.input))
    live = peak = sum(_elements(wiring.shape(i.name), batch) for i in model.graph.input)
    for node in wiring.nodes:
        live += sum(sizes[name] for name in node.output)
        peak = max(peak, live)
        for name in set(node.input):
            remaining[name] -= 1
            if remaining[name] == 0 and name not in wiring.outputs:
                live -= sizes.get(name, 0)
    return peak


def _live_bytes(wiring: Wiring, name: str, batch: int, planned: int) -> int:
    if planned and not wiring.producer[name].name.startswith(OWN):
        fused = {node.op_type for node in wiring.consumers[name]} <= FUSED and name not in wiring.outputs
        return 0 if fused else planned * _elements(wiring.shape(name), batch)
    kind = wiring.producer[name].op_type
    readers = {node.op_type for node in wiring.consumers[name]}
    if kind == "DequantizeLinear" or readers == {"QuantizeLinear"} or wiring.is_constant(name):
        return 0
    return _elements(wiring.shape(name), batch) * (1 if kind == "QuantizeLinear" else 4)


def _elements(shape: Sequence[int | None] | None, batch: int) -> int:
    sizes = [batch if size is None else size for size in shape or ()]
    return int(np.prod(sizes, dtype=np.int64)) if sizes else 0


def _bytes(dims: Sequence[int], kind: int) -> int:
    item: Any = onnx.helper.tensor_dtype_to_np_dtype(kind)
    return int(np.prod(dims, dtype=np.int64)) * int(np.dtype(item).itemsize)
