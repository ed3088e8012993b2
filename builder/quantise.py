"""INT8 in QDQ form, twice from the same ranges: the graph that CPUs run fastest, and the one that TensorRT takes.

`cpu_graph`: activations uint8 with zero points, weights int8 per output channel, biases int32, which ONNX Runtime fuses
into integer convolutions. Where the bytes of the picture already are the quantised input, the float input is cut out
altogether. The same graph gives the same features on every CPU: x86 CPUs without VNNI add pairs of products in 16 bits,
and two large weights beside bright pixels saturate there without a word: with 8-bit weights EfficientNet-Lite0's
features had a mean cosine of 0.90 to float on such a machine, 0.996 on one with VNNI. Weights of 7 bits cannot saturate
(255 * 64 * 2 < 2^15); depthwise convolutions, which every CPU sums in 32 bits, keep 8: 0.991 on the same machine,
equally fast.

`trt_graph`: activations int8 without zero points (TensorRT knows no others), weights float32 behind a Q/DQ pair of
their own, no Q/DQ on biases nor on outputs, both inputs of residual additions quantised so that they fuse into the
convolutions. This explicit form is the one that TensorRT 8.5 to 11 read. It takes the same bytes, turned to float
first.

What the builder added (preprocessing, pooling) stays float in both. So do a transformer's operators without weights:
norms, softmax, attention products, biases, residual additions. A few of their values are far larger than the rest, and
they fuse as floats. On a pretrained ViT (DINOv2-small), the noise that INT8 brings into the median feature came to 39 %
of its variance over photos with them (TensorRT's form; 18 % for CPUs) and to 4 % without (2 %).

Ranges: `builder.ranges`; on EfficientNet-Lite0 the three ways differ little (cosine 0.9909 by each for CPUs, 0.9951 to
0.9953 for TensorRT).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import QDQQuantizer, QuantType

from builder.bytes_to_float import float_input
from builder.fold import DEQUANTISE, Folded
from builder.optimise import OWN, keep_standard_opset
from builder.ranges import OPERATORS, Ranges
from builder.vendor_log import quiet
from builder.wiring import Wiring, prune, token_operators
from edge.errors import ModelError

__all__ = ["cpu_graph", "in_float", "trt_graph"]

TRT_OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "GlobalAveragePool")


@dataclass(frozen=True, slots=True)
class _Form:
    """How the quantiser is asked: type of the activations, operators, its own further options, nodes to leave."""

    activations: QuantType
    operators: tuple[str, ...]
    is_seven_bit: bool  # weights
    options: dict[str, Any]
    kept: frozenset[str]


def cpu_graph(
    path: Path, folded: Folded, model: onnx.ModelProto, ranges: Ranges, kept: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """Return the INT8 form for CPUs of `model`, the folded graph with features; the nodes `kept` stay in float.

    Raises ModelError, naming `path`, where it cannot be quantised.
    """
    overrides: dict[str, list[dict[str, Any]]] = {
        name: [{"axis": 0, "reduce_range": False}] for name in _depthwise(model)
    }
    if folded.scale is not None:
        own = {"scale": np.array(folded.scale, np.float32), "zero_point": np.array(folded.zero_point, np.uint8)}
        overrides[folded.tensor] = [own]
    form = _Form(QuantType.QUInt8, OPERATORS, True, {"TensorQuantOverrides": overrides}, kept)
    result = _quantised(path, model, ranges, form)
    _feed_bytes(result)
    return result


def trt_graph(
    path: Path, model: onnx.ModelProto, ranges: Ranges, kept: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """Return the INT8 form for TensorRT of `model`, the folded graph with features; the nodes `kept` stay in float.

    Raises ModelError, naming `path`, where it cannot be quantised.
    """
    options: dict[str, Any] = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "AddQDQPairToWeight": True,
        "OpTypesToExcludeOutputQuantization": list(TRT_OPERATORS),
    }
    return _quantised(path, float_input(model), ranges, _Form(QuantType.QInt8, TRT_OPERATORS, False, options, kept))


def _quantised(path: Path, model: onnx.ModelProto, ranges: Ranges, form: _Form) -> onnx.ModelProto:
    with quiet():
        try:
            quantiser = QDQQuantizer(
                onnx.shape_inference.infer_shapes(model),
                per_channel=True,
                reduce_range=form.is_seven_bit,
                weight_qType=QuantType.QInt8,
                activation_qType=form.activations,
                tensors_range=ranges,
                nodes_to_quantize=[],
                nodes_to_exclude=sorted(in_float(model) | form.kept),
                op_types_to_quantize=list(form.operators),
                extra_options=form.options,
            )
            quantiser.quantize_model()
            quantiser.model.topological_sort()
            result: onnx.ModelProto = quantiser.model.model
        except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(f"{path}: cannot be quantised ({reason}); export it with other operators") from error
    keep_standard_opset(result)
    return result


def in_float(model: onnx.ModelProto) -> frozenset[str]:
    """Return the nodes that are never quantised: the builder's own, and the operators on tokens."""
    return frozenset(n.name for n in model.graph.node if n.name.startswith(OWN)) | token_operators(Wiring(model))


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
