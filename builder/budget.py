"""Will it fit? A ledger of memory lines against what one process may take on the device. An estimate, and says so.

Counted: weights, the product table. Estimated from the shapes: activations of the largest batch. Measured once on a
development machine and taken as constant: Python, its libraries, an engine's session. Not in it: camera processes and
their rings. INT8 EfficientNet-Lite0 with batch 8 is 118 MiB here before the table; the process measured 122.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from msgspec import Struct

from builder.wiring import Wiring
from edge.device import DeviceConfig
from edge.errors import GateError

__all__ = ["Ledger", "Line", "Load", "ledger_for", "refuse_over"]

MIB = 1 << 20
PROTOTYPES_PER_SKU, PROTOTYPE_BYTES = 8, 192
LIBRARIES_MIB = 90.0  # resident set with edge.daemon imported (78) and an ONNX Runtime session of one small layer
ARENA_FACTOR = 2.0  # ONNX Runtime's arena grows by doubling
PACKED_COPIES = 2.0  # weights as read, and repacked for the kernels


class Line(Struct, frozen=True):
    """One use of memory; `basis` is counted, estimated or measured."""

    name: str
    mib: float
    basis: str


class Ledger(Struct, frozen=True):
    """All lines and the limit that they stay under: the device's application budget less its headroom."""

    lines: tuple[Line, ...]
    limit_mib: float
    device: str

    @property
    def total_mib(self) -> float:
        """The sum of the lines."""
        return sum(line.mib for line in self.lines)


@dataclass(frozen=True, slots=True)
class Load:
    """What the ledger is made for: the engine, the largest batch, the number of products."""

    engine: str
    max_batch: int
    skus: int


def ledger_for(graph: onnx.ModelProto, device: DeviceConfig, load: Load) -> Ledger:
    """Return the ledger of one process that runs `graph` on `device`."""
    weights = sum(_bytes(tensor.dims, tensor.data_type) for tensor in graph.graph.initializer)
    table = load.skus * PROTOTYPES_PER_SKU * PROTOTYPE_BYTES
    activations = ARENA_FACTOR * _peak_bytes(graph, load.max_batch)
    lines = [
        Line("Python, libraries, session", LIBRARIES_MIB, "measured"),
        Line("weights", PACKED_COPIES * weights / MIB, "counted"),
        Line(f"activations, batch {load.max_batch}", activations / MIB, "estimated"),
        Line(f"product table, {load.skus} SKUs", table / MIB, "counted"),
    ]
    if load.engine == "tensorrt":
        lines.append(Line("CUDA and TensorRT", float(device.memory.runtime_overhead_mib), "estimated"))
    limit = device.memory.application_budget_mib * (1.0 - device.memory.headroom)
    return Ledger(tuple(lines), limit, device.module)


def refuse_over(ledger: Ledger) -> None:
    """Raise GateError, naming the three largest lines, when the ledger is over its limit."""
    if ledger.total_mib <= ledger.limit_mib:
        return
    largest = sorted(ledger.lines, key=lambda line: -line.mib)[:3]
    named = ", ".join(f"{line.name} {line.mib:.0f} MiB" for line in largest)
    raise GateError(
        f"needs about {ledger.total_mib:.0f} MiB on {ledger.device}, expected at most {ledger.limit_mib:.0f} MiB; "
        f"the largest: {named}; take a smaller network, batch or catalogue, or another device"
    )


def _peak_bytes(model: onnx.ModelProto, batch: int) -> int:
    """Return the most bytes of live tensors at any node, the nodes run in their order.

    A tensor between Quantize/DequantizeLinear and its operator never exists once they are fused, and counts nothing.
    """
    wiring = Wiring(model)
    sizes = {name: _live_bytes(wiring, name, batch) for node in wiring.nodes for name in node.output}
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


def _live_bytes(wiring: Wiring, name: str, batch: int) -> int:
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
