"""Put the preprocessing into the graph: `images` uint8 (N, H, W, 3) BGR in, the backbone's own input made inside.

Two ways, chosen by the numbers:
- one integer mean for all channels, and a first convolution that alone reads the input: the bytes themselves are the
  quantised input (DequantizeLinear with zero point = mean and scale = 1 / std). Channel order and unequal std go into
  the convolution's weights, so no float work is done per pixel once the graph is quantised;
- anything else: Cast, Sub, Mul in float, and channel order by a Gather on the bytes.
Both compute (pixel - mean) / std; they differ from it by float32 rounding only. Unequal means cannot go into the bias:
a padded border is zero *after* the subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from builder.onnx_checks import input_of
from builder.optimise import IMAGES
from builder.sidecar import Preprocess
from builder.wiring import Wiring, attribute

__all__ = ["CAST", "DEQUANTISE", "Folded", "fold"]

DEQUANTISE, CAST = "preprocess/dequantise", "preprocess/float"
TO_NCHW, BGR_TO_RGB = [0, 3, 1, 2], [2, 1, 0]


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """The graph that takes bytes, and the tensor in it that is the backbone's own input.

    `scale` and `zero_point` say how the bytes are that tensor's quantised form; None where float work stands between.
    """

    model: onnx.ModelProto
    tensor: str
    scale: float | None
    zero_point: int | None


def fold(model: onnx.ModelProto, preprocess: Preprocess, size: tuple[int, int]) -> Folded:
    """Return a copy of an optimised backbone that takes `images` of `size` (height, width); `model` is not changed."""
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    is_nchw = preprocess.layout == "nchw" or _take_nchw(folded)
    tensor = input_of(folded).name
    conv = _sole_convolution(folded, tensor) if is_nchw else None
    mean = preprocess.mean[0]
    is_integer = len(set(preprocess.mean)) == 1 and float(mean).is_integer() and 0 <= mean <= 255
    if conv is not None and is_integer:
        nodes, scale = _bytes_in(folded, conv, preprocess, tensor)
        result = Folded(folded, tensor, scale, int(mean))
    else:
        nodes = _floats_in(folded, preprocess, tensor, is_nchw)
        result = Folded(folded, tensor, None, None)
    standing = list(folded.graph.node)
    del folded.graph.node[:]
    folded.graph.node.extend([*nodes, *standing])
    _set_input(folded, tensor, size)
    return result


def _take_nchw(model: onnx.ModelProto) -> bool:
    """Remove a Transpose to NCHW that alone reads an NHWC input, as ours moves bytes; return whether there was one."""
    source = input_of(model)
    readers = Wiring(model).consumers[source.name]
    if len(readers) != 1 or readers[0].op_type != "Transpose" or attribute(readers[0], "perm") != TO_NCHW:
        return False
    batch, height, width, channels = source.type.tensor_type.shape.dim
    inner = readers[0].output[0]
    model.graph.node.remove(readers[0])
    moved = helper.make_tensor_value_info(inner, TensorProto.FLOAT, None)
    moved.type.tensor_type.shape.dim.extend([batch, channels, height, width])
    source.CopyFrom(moved)
    return True


def _sole_convolution(model: onnx.ModelProto, tensor: str) -> Any:
    """Return the ungrouped Conv that alone reads `tensor` with weights of its own, or None."""
    wiring = Wiring(model)
    readers = wiring.consumers[tensor]
    if len(readers) != 1 or readers[0].op_type != "Conv" or attribute(readers[0], "group", 1) != 1:
        return None
    weight = readers[0].input[1]
    is_own = wiring.is_constant(weight) and weight not in wiring.producer and len(wiring.consumers[weight]) == 1
    return readers[0] if is_own and tensor not in wiring.outputs else None


def _bytes_in(
    model: onnx.ModelProto, conv: Any, preprocess: Preprocess, tensor: str
) -> tuple[list[onnx.NodeProto], float]:
    """Return the nodes from bytes to `tensor` and the scale of the bytes; change the weights of `conv` in place."""
    weight = next(one for one in model.graph.initializer if one.name == conv.input[1])
    values = np.array(numpy_helper.to_array(weight), np.float64)  # (out, 3, kh, kw), in the order of preprocess.color
    std = np.array(preprocess.std)
    if preprocess.color == "bgr":
        std = std[::-1]
    values *= (std[0] / std)[None, :, None, None]
    if preprocess.color == "rgb":
        values = values[:, ::-1]
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), weight.name))
    scale = np.float32(1.0 / std[0])
    _weight(model, "preprocess/scale", scale)
    _weight(model, "preprocess/zero_point", np.uint8(preprocess.mean[0]))
    nodes = [
        _node("Transpose", [IMAGES], "preprocess/nchw", perm=TO_NCHW),
        _node("DequantizeLinear", ["preprocess/nchw", "preprocess/scale", "preprocess/zero_point"], tensor),
    ]
    nodes[1].name = DEQUANTISE
    return nodes, float(scale)


def _floats_in(model: onnx.ModelProto, preprocess: Preprocess, tensor: str, is_nchw: bool) -> list[onnx.NodeProto]:
    """Return the nodes Gather, Transpose, Cast, Sub, Mul (those that are needed) from bytes to `tensor`."""
    order = slice(None) if preprocess.color == "rgb" else slice(None, None, -1)
    shape = (1, 3, 1, 1) if is_nchw else (1, 1, 1, 3)
    _weight(model, "preprocess/mean", np.array(preprocess.mean, np.float32)[order].reshape(shape))
    _weight(model, "preprocess/factor", (1.0 / np.array(preprocess.std)).astype(np.float32)[order].reshape(shape))
    nodes, last = [], IMAGES
    if preprocess.color == "rgb":
        _weight(model, "preprocess/order", np.array(BGR_TO_RGB, np.int64))
        nodes.append(_node("Gather", [last, "preprocess/order"], "preprocess/rgb", axis=3))
        last = "preprocess/rgb"
    if is_nchw:
        nodes.append(_node("Transpose", [last], "preprocess/nchw", perm=TO_NCHW))
        last = "preprocess/nchw"
    nodes.append(_node("Cast", [last], CAST, to=TensorProto.FLOAT))
    nodes.append(_node("Sub", [CAST, "preprocess/mean"], "preprocess/centred"))
    nodes.append(_node("Mul", ["preprocess/centred", "preprocess/factor"], tensor))
    nodes[-1].name = "preprocess/scaled"
    return nodes


def _set_input(model: onnx.ModelProto, tensor: str, size: tuple[int, int]) -> None:
    for old in [one for one in model.graph.input if one.name == tensor]:
        model.graph.input.remove(old)
    model.graph.input.insert(0, helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["N", *size, 3]))


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def _weight(model: onnx.ModelProto, name: str, values: NDArray[Any] | np.generic) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
