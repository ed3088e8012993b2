"""EfficientNet-Lite as an ONNX graph, written directly from the tensors of a checkpoint.

Graph: input `images` (N, 3, S, S) float32, N free; output `features` (N, 1280) float32, the mean over space of the
last feature map, or with the classifier head `logits` (N, 1000) of ImageNet-1k. Opset 17, IR 8.

Promises:
- nodes are Conv, Clip, Add, one GlobalAveragePool and one Flatten (and one Gemm for the classifier), which INT8
  quantisation takes as they are;
- batch normalisation is folded into weights and biases in float64, then rounded once to float32;
- a tensor is named after the node that makes it (`block2_1/project`), an initializer after its node (`.../weight`);
- the checkpoint must hold exactly the tensors of the network asked for: one too many or too few is a `ModelError`;
- the same tensors give the same bytes.

Left to others: the family's geometry (`architecture`), where tensors come from (`checkpoint`), pixels (`sidecar`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from builder.zoo.architecture import HEAD_CHANNELS, VARIANTS, Conv, layout
from builder.zoo.checkpoint import Tensors
from edge.errors import ModelError

__all__ = ["CLASSES", "HEADS", "Head", "model_from_tensors"]

Head: TypeAlias = Literal["features", "classifier"]
HEADS: dict[str, Head] = {"features": "features", "classifier": "classifier"}

OPSET = 17
IR_VERSION = 8
#: ImageNet-1k.
CLASSES = 1000
BATCH_NORM_EPSILON = 1e-3

_FLOAT32_MAX = float(np.finfo(np.float32).max)
#: Present in every checkpoint and of no use here: a counter of training, and the classifier where it is not asked for.
_TRAINING_COUNTER = ".num_batches_tracked"
_CLASSIFIER = ("_fc.weight", "_fc.bias")


@dataclass(frozen=True, slots=True, eq=False)
class _Graph:
    """The nodes and initializers written so far, and the tensors of the checkpoint that are not used yet."""

    tensors: Tensors
    source: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Take a tensor out of the checkpoint, in float64; it must have this shape and be finite."""
        tensor = self.tensors.pop(name, None)
        if tensor is None:
            raise ModelError(f"{self.source}: tensor {name} is missing; expected the weights of the network asked for")
        if tensor.shape != shape or tensor.dtype != np.float32:
            found = f"tensor {name} is {tensor.dtype} {list(tensor.shape)}"
            raise ModelError(f"{self.source}: {found}, expected float32 {list(shape)} for the network asked for")
        if not np.isfinite(tensor).all():
            raise ModelError(f"{self.source}: tensor {name} holds NaN or infinity; get the weights again")
        return tensor.astype(np.float64)

    def constant(self, name: str, value: NDArray[np.float64]) -> str:
        """Add an initializer, rounded to float32, and return its name."""
        if np.abs(value).max() > _FLOAT32_MAX:
            raise ModelError(f"{self.source}: {name} leaves the range of float32 once folded; get the weights again")
        self.initializers.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output of the same name, and return that name."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def model_from_tensors(
    variant: str, tensors: Tensors, head: Head, metadata: Mapping[str, str], source: str
) -> onnx.ModelProto:
    """Return the checked ONNX model of `variant` (a key of VARIANTS) with the weights in `tensors`.

    `metadata` becomes the model's metadata properties; `source` names the checkpoint in error messages.

    Raises:
        ModelError: a tensor is missing, left over, of another shape or type, or not finite.

    """
    used = {name: tensor for name, tensor in tensors.items() if not name.endswith(_TRAINING_COUNTER)}
    graph = _Graph(used, source)
    output, width = _write_head(graph, _write_body(graph, variant), head)
    unused = sorted(set(graph.tensors).difference(_CLASSIFIER))
    if unused:
        found = f"{len(unused)} tensors that {variant} does not have, such as {ascii(unused[0])[:80]}"
        raise ModelError(f"{source}: {found}; expected the weights of {variant}")
    side_px = VARIANTS[variant].side_px
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, side_px, side_px])
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", width])
    model = helper.make_model(
        helper.make_graph(graph.nodes, variant, [images], [result], graph.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="shelfedge",
    )
    helper.set_model_props(model, dict(sorted(metadata.items())))
    onnx.checker.check_model(model, full_check=True)
    return model


def _write_body(graph: _Graph, variant: str) -> str:
    """Write every convolution from stem to head; return the name of the last feature map."""
    graph.constant("relu6/min", np.array(0.0))
    graph.constant("relu6/max", np.array(6.0))
    x = "images"
    for block in layout(VARIANTS[variant]):
        entry = x
        for conv in block.convs:
            x = _write_conv(graph, conv, x)
        if block.residual:
            x = graph.node("Add", [entry, x], f"{block.name}/add")
    return x


def _write_conv(graph: _Graph, conv: Conv, x: str) -> str:
    weight, bias = _folded(graph, conv)
    before, after = conv.padding
    inputs = [x, graph.constant(f"{conv.name}/weight", weight), graph.constant(f"{conv.name}/bias", bias)]
    y = graph.node(
        "Conv",
        inputs,
        conv.name,
        kernel_shape=[conv.kernel] * 2,
        strides=[conv.stride] * 2,
        pads=[before, before, after, after],
        group=conv.channels_in if conv.depthwise else 1,
    )
    return graph.node("Clip", [y, "relu6/min", "relu6/max"], f"{conv.name}/relu6") if conv.relu6 else y


def _folded(graph: _Graph, conv: Conv) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight (out, in, k, k) and bias (out,) of the convolution followed by its batch norm."""
    shape = (conv.channels_out,)
    weight = graph.take(f"{conv.weight}.weight", conv.weight_shape)
    gain = graph.take(f"{conv.norm}.weight", shape)
    offset = graph.take(f"{conv.norm}.bias", shape)
    mean = graph.take(f"{conv.norm}.running_mean", shape)
    variance = graph.take(f"{conv.norm}.running_var", shape)
    if variance.min() < 0:
        raise ModelError(f"{graph.source}: tensor {conv.norm}.running_var is negative; get the weights again")
    scale = gain / np.sqrt(variance + BATCH_NORM_EPSILON)
    return weight * scale[:, None, None, None], offset - mean * scale


def _write_head(graph: _Graph, x: str, head: Head) -> tuple[str, int]:
    """Write pooling and, for the classifier, the last layer; return the output's name and width."""
    pooled = graph.node("GlobalAveragePool", [x], "pool")
    features = graph.node("Flatten", [pooled], "features", axis=1)
    if head == "features":
        return features, HEAD_CHANNELS
    weight = graph.constant("logits/weight", graph.take(_CLASSIFIER[0], (CLASSES, HEAD_CHANNELS)))
    bias = graph.constant("logits/bias", graph.take(_CLASSIFIER[1], (CLASSES,)))
    return graph.node("Gemm", [features, weight, bias], "logits", transB=1), CLASSES
