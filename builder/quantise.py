"""INT8: find the ranges of the activations on photos and write the graph that ONNX Runtime's CPU runs fastest.

Static quantisation in QDQ form: activations uint8 with zero points, weights int8 per output channel, ranges from the
smallest and largest value seen (MinMax; on EfficientNet-Lite0 99.99th percentiles were not better). What the builder
added (preprocessing, pooling) stays float. Where the bytes of the picture already are the quantised input, the float
input is cut out altogether.

The same graph gives the same features on every CPU. x86 CPUs without VNNI add pairs of products in 16 bits, and two
large weights beside bright pixels saturate there without a word: with 8-bit weights EfficientNet-Lite0's features had
a mean cosine of 0.90 to float on such a machine, 0.996 on one with VNNI. Weights of 7 bits cannot saturate (255 * 64 *
2 < 2^15); depthwise convolutions, which every CPU sums in 32 bits, keep 8: 0.991 on the same machine, equally fast.

Limits: TensorRT wants another graph (symmetric, no int32 bias).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from builder.fold import DEQUANTISE, Folded
from builder.optimise import IMAGES, OWN, keep_standard_opset
from builder.vendor_log import quiet
from builder.wiring import prune
from edge.errors import ModelError
from edge.types import Crops

__all__ = ["quantised"]


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # the vendor publishes no types
    """Hands batches of crops to the quantiser one at a time and reports each."""

    def __init__(self, batches: Iterable[Crops], on_photos: Callable[[int], None]) -> None:
        self._batches = iter(batches)
        self._on_photos = on_photos

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch as the graph's inputs, None at the end."""
        batch = next(self._batches, None)
        if batch is None:
            return None
        self._on_photos(len(batch))
        return {IMAGES: batch}


def quantised(
    path: Path, folded: Folded, model: onnx.ModelProto, batches: Iterable[Crops], on_photos: Callable[[int], None]
) -> onnx.ModelProto:
    """Return the INT8 form of `model`, the folded graph with features; `on_photos` hears how many photos were run.

    `batches` are crops (n, H, W, 3) uint8, read once. Raises ModelError, naming `path`, where it cannot be quantised.
    """
    ranges: dict[str, list[dict[str, Any]]] = {name: [{"axis": 0, "reduce_range": False}] for name in _depthwise(model)}
    if folded.scale is not None:
        override = {"scale": np.array(folded.scale, np.float32), "zero_point": np.array(folded.zero_point, np.uint8)}
        ranges[folded.tensor] = [override]
    # Not CalibMaxIntermediateOutputs: ONNX Runtime 1.31 forgets what it saw at each limit.
    options: dict[str, Any] = {"TensorQuantOverrides": ranges}
    with tempfile.TemporaryDirectory() as folder, quiet():
        given, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, given)
        try:
            quantize_static(
                str(given),
                str(target),
                _Batches(batches, on_photos),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=[node.name for node in model.graph.node if node.name.startswith(OWN)],
                extra_options=options,
            )
            result = onnx.load(target)
        except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(f"{path}: cannot be quantised ({reason}); export it with other operators") from error
    _feed_bytes(result)
    keep_standard_opset(result)
    return result


def _depthwise(model: onnx.ModelProto) -> list[str]:
    """Return the weights of convolutions that see one channel at a time: these are summed in 32 bits everywhere."""
    shapes = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    found = []
    for node in model.graph.node:
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        if node.op_type == "Conv" and groups > 1 and shapes.get(node.input[1], (0, 0))[1] == 1:
            found.append(node.input[1])
    return found


def _feed_bytes(model: onnx.ModelProto) -> None:
    """Let the bytes be the quantised input: drop, in place, the pair that turns them to float and back."""
    graph = model.graph
    source = next((node for node in graph.node if node.name == DEQUANTISE), None)
    if source is None:
        return
    again = [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == source.output[0]]
    for node in again:
        graph.node.remove(node)
        for reader in graph.node:
            reader.input[:] = [source.input[0] if name == node.output[0] else name for name in reader.input]
    prune(model)
