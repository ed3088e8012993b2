"""How long a crop takes: measured where the engine runs here, else the least that the device's own figures allow.

`measured_ms` runs the graph on one thread of this machine; the least of several runs counts, for what other processes
do only adds.

`roofline_ms` (Williams, Waterman & Patterson, CACM 52, 2009): each convolution and matrix product takes the longer of
its arithmetic at the device's peak rate and its bytes at the device's bandwidth, and they run one after the other. It
is a floor: no engine that runs them so is faster, a real one is slower. It is good for comparing forms on a device that
is not here, and for nothing else. Rates against dense INT8: float16 a half, float32 a quarter (TF32), as NVIDIA gives
them for Ampere.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from builder.optimise import OWN
from builder.wiring import Wiring
from edge.build_folder import InputSpec
from edge.device import DeviceConfig
from edge.engines import EngineSpec
from edge.engines.ort import OrtEngine

__all__ = ["FLOAT", "measured_ms", "roofline_ms"]

RUNS = 8
RATES = {1: 1.0, 2: 0.5, 4: 0.25}  # by bytes an element
FLOAT = 4


def measured_ms(model: onnx.ModelProto, spec: InputSpec, batches: Sequence[int]) -> dict[str, float]:
    """Return for each batch the least time of a crop in it, on one thread of this machine."""
    found = {}
    crops = np.random.default_rng(0).integers(0, 256, (max(batches), spec.height_px, spec.width_px, 3), np.uint8)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        onnx.save(model, path)
        with OrtEngine(path, EngineSpec(threads=1, max_batch=max(batches))) as engine:
            for batch in batches:
                engine.embed(crops[:batch])
                found[str(batch)] = min(_once_ns(engine, crops[:batch]) for _ in range(RUNS)) / 1e6 / batch
    return found


def roofline_ms(
    model: onnx.ModelProto, device: DeviceConfig, batches: Sequence[int], element: int, kept: Collection[str] = ()
) -> dict[str, float]:
    """Return for each batch the least time of a crop in it on `device`; none where its figures are not known.

    `model` is the float graph with features, `element` the bytes of a value; the nodes `kept` and what the builder
    added are in float.
    """
    if device.int8_dense_tops is None or device.bandwidth_gb_s is None:
        return {}
    wiring = Wiring(model)
    layers = [layer for layer in (_layer(wiring, node) for node in wiring.nodes) if layer is not None]
    found = {}
    for batch in batches:
        total_s = 0.0
        for name, multiplications, moved, weights in layers:
            size = FLOAT if name in kept or name.startswith(OWN) else element
            compute_s = 2.0 * multiplications * batch / (device.int8_dense_tops * 1e12 * RATES[size])
            total_s += max(compute_s, size * (moved * batch + weights) / (device.bandwidth_gb_s * 1e9))
        found[str(batch)] = 1e3 * total_s / batch
    return found


def _once_ns(engine: OrtEngine, crops: np.ndarray) -> int:
    started_ns = time.perf_counter_ns()
    engine.embed(crops)
    return time.perf_counter_ns() - started_ns


def _layer(wiring: Wiring, node: onnx.NodeProto) -> tuple[str, int, int, int] | None:
    """Return name, multiplications and values moved of one crop, and values of the weights; None for other nodes."""
    if node.op_type not in {"Conv", "Gemm", "MatMul"}:
        return None
    first, second = (wiring.shape(name) or () for name in node.input[:2])
    out = _elements(wiring.shape(node.output[0]) or ())
    constant = [wiring.is_constant(name) for name in node.input[:2]]
    sizes = [_elements(first, constant[0]), _elements(second, constant[1])]
    depth = _elements(second[1:], True) if node.op_type == "Conv" else int((first[-1] if first else 1) or 1)
    weights = sum(size for size, fixed in zip(sizes, constant, strict=True) if fixed)
    return node.name, out * depth, out + sum(sizes) - weights, weights


def _elements(shape: Sequence[int | None], fixed: bool = False) -> int:
    """Return how many values one crop has in a tensor; the first axis of one that is not `fixed` is the batch."""
    return int(np.prod([size or 1 for size in (shape if fixed else shape[1:])], dtype=np.int64))
