"""Small networks with seeded weights, written with onnx.helper: what the builder's tests build from.

Each returns a checked model with input `x` and one output `y`. The weights are scaled so that activations neither die
nor explode, which is all that quantisation needs; they know nothing about pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


class Net:
    """Collects nodes and weights; every method returns the name of the tensor it made."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.channels: dict[str, int] = {"x": 3}

    def weight(self, name: str, values: NDArray[np.generic]) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes))
        self.channels[name] = self.channels.get(inputs[0], 0)
        return name

    def conv(self, source: str, out: int, name: str, kernel: int = 3, stride: int = 1, group: int = 1) -> str:
        fan = self.channels[source] // group * kernel * kernel
        shape = (out, self.channels[source] // group, kernel, kernel)
        weight = self.weight(f"{name}.w", self.random.normal(0, (2.0 / fan) ** 0.5, shape).astype(np.float32))
        bias = self.weight(f"{name}.b", self.random.normal(0, 0.1, out).astype(np.float32))
        pad = kernel // 2
        self.node(
            "Conv",
            [source, weight, bias],
            name,
            strides=[stride] * 2,
            pads=[pad] * 4,
            kernel_shape=[kernel] * 2,
            group=group,
        )
        self.channels[name] = out
        return name

    def relu(self, source: str) -> str:
        return self.node("Relu", [source], f"{source}_relu")

    def relu6(self, source: str) -> str:
        if "zero" not in {w.name for w in self.weights}:
            self.weight("zero", np.float32(0))
            self.weight("six", np.float32(6))
        return self.node("Clip", [source, "zero", "six"], f"{source}_relu6")

    def add(self, first: str, second: str, name: str) -> str:
        return self.node("Add", [first, second], name)

    def mbconv(self, source: str, out: int, name: str, stride: int = 1, expand: int = 6) -> str:
        """An inverted bottleneck: expand, depthwise, project, and the input added where shapes allow."""
        wide = self.relu6(self.conv(source, self.channels[source] * expand, f"{name}_expand", kernel=1))
        wide = self.relu6(self.conv(wide, self.channels[wide], f"{name}_dw", stride=stride, group=self.channels[wide]))
        narrow = self.conv(wide, out, f"{name}_project", kernel=1)
        return self.add(narrow, source, f"{name}_add") if stride == 1 and out == self.channels[source] else narrow

    def norm(self, source: str) -> str:
        """BatchNorm with statistics of its own."""
        count = self.channels[source]
        values = {
            "scale": self.random.uniform(0.5, 1.5, count),
            "shift": self.random.normal(0, 0.1, count),
            "mean": self.random.normal(0, 0.1, count),
            "variance": self.random.uniform(0.5, 1.5, count),
        }
        names = [self.weight(f"{source}.{key}", value.astype(np.float32)) for key, value in values.items()]
        return self.node("BatchNormalization", [source, *names], f"{source}_bn")

    def linear(self, source: str, out: int, name: str) -> str:
        """Tokens (N, T, C) times a matrix, and a bias."""
        weight = self.random.normal(0, self.channels[source] ** -0.5, (self.channels[source], out)).astype(np.float32)
        product = self.node("MatMul", [source, self.weight(f"{name}.w", weight)], f"{name}_product")
        bias = self.weight(f"{name}.b", self.random.normal(0, 0.1, out).astype(np.float32))
        self.node("Add", [product, bias], name)
        self.channels[name] = out
        return name

    def layer_norm(self, source: str, name: str) -> str:
        count = self.channels[source]
        scale = self.weight(f"{name}.scale", np.ones(count, np.float32))
        shift = self.weight(f"{name}.shift", np.zeros(count, np.float32))
        return self.node("LayerNormalization", [source, scale, shift], name, axis=-1)

    def model(self, last: str, size: int, layout: str = "nchw", opset: int = 17) -> onnx.ModelProto:
        """Close the graph: `y` is the mean over space of `last`."""
        self.node("GlobalAveragePool", [last], "pooled")
        self.node("Flatten", ["pooled"], "y", axis=1)
        shape = ["N", 3, size, size] if layout == "nchw" else ["N", size, size, 3]
        return self.close("y", self.channels[last], shape, opset)

    def close(self, output: str, channels: int, shape: list[object], opset: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", channels])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def plain(size: int = 32, seed: int = 0, layout: str = "nchw", opset: int = 17) -> onnx.ModelProto:
    """Five convolutions, as VGG: pooling between stages of 8, 16, 16 and 32 channels."""
    net = Net(seed)
    last = "x"
    if layout == "nhwc":
        last = net.node("Transpose", ["x"], "to_nchw", perm=[0, 3, 1, 2])
        net.channels[last] = 3
    for index, (channels, pool) in enumerate([(8, False), (8, True), (16, True), (16, True), (32, False)]):
        last = net.relu(net.conv(last, channels, f"conv{index}"))
        if pool:
            last = net.node("MaxPool", [last], f"pool{index}", kernel_shape=[2, 2], strides=[2, 2])
    return net.model(last, size, layout, opset)


def bottleneck_resnet(size: int = 64, seed: int = 0) -> onnx.ModelProto:
    """As ResNet-50: stem with pooling, stages of two bottlenecks with 32, 64, 128 channels, BatchNorm left in."""
    net = Net(seed)
    last = net.relu(net.norm(net.conv("x", 8, "stem", stride=2)))
    last = net.node("MaxPool", [last], "stem_pool", kernel_shape=[2, 2], strides=[2, 2])
    for stage, channels in enumerate((32, 64, 128)):
        for block in range(2):
            name, stride = f"s{stage}b{block}", 2 if stage and not block else 1
            inner = net.relu(net.norm(net.conv(last, channels // 4, f"{name}_a", kernel=1)))
            inner = net.relu(net.norm(net.conv(inner, channels // 4, f"{name}_b", stride=stride)))
            inner = net.norm(net.conv(inner, channels, f"{name}_c", kernel=1))
            skip = last if block else net.norm(net.conv(last, channels, f"{name}_skip", kernel=1, stride=stride))
            last = net.relu(net.add(inner, skip, f"{name}_add"))
    return net.model(last, size)


def plain_resnet(size: int = 32, seed: int = 0) -> onnx.ModelProto:
    """As ResNet-18: two 3 x 3 convolutions in a block, stages of 16, 32 and 64 channels, one block each."""
    net = Net(seed)
    last = net.relu(net.conv("x", 16, "stem"))
    for stage, channels in enumerate((16, 32, 64)):
        stride = 2 if stage else 1
        inner = net.conv(net.relu(net.conv(last, channels, f"s{stage}_a", stride=stride)), channels, f"s{stage}_b")
        skip = net.conv(last, channels, f"s{stage}_skip", kernel=1, stride=stride) if stage else last
        last = net.relu(net.add(inner, skip, f"s{stage}_add"))
    return net.model(last, size)


def mobile(size: int = 32, seed: int = 0) -> onnx.ModelProto:
    """As EfficientNet-Lite: stem 8, blocks of 8, 12, 12, 16, 16, 24 channels, head 48."""
    net = Net(seed)
    last = net.relu6(net.conv("x", 8, "stem", stride=2))
    for index, (channels, stride) in enumerate([(8, 1), (12, 2), (12, 1), (16, 2), (16, 1), (24, 1)]):
        last = net.mbconv(last, channels, f"b{index}", stride)
    return net.model(net.relu6(net.conv(last, 48, "head", kernel=1)), size)


def separable(size: int = 32, seed: int = 0) -> onnx.ModelProto:
    """As MobileNetV1: depthwise then pointwise, no residual, 8, 16, 32 and 32 channels."""
    net = Net(seed)
    last = net.relu(net.conv("x", 8, "stem", stride=2))
    for index, (channels, stride) in enumerate([(16, 1), (32, 2), (32, 2)]):
        last = net.relu(net.conv(last, net.channels[last], f"dw{index}", stride=stride, group=net.channels[last]))
        last = net.relu(net.conv(last, channels, f"pw{index}", kernel=1))
    return net.model(last, size)


def with_outliers(size: int = 32, seed: int = 0, factor: float = 400.0) -> onnx.ModelProto:
    """Four convolutions; one channel between the second and the third is `factor` times as large as the others.

    The third divides it out again: float does not mind, one INT8 scale for the tensor leaves nothing of the rest.
    """
    net = Net(seed)
    last = net.relu(net.conv("x", 8, "stem", stride=2))
    last = net.relu(net.conv(last, 16, "large"))
    last = net.relu(net.conv(last, 16, "small", stride=2))
    last = net.relu(net.conv(last, 24, "head", kernel=1))
    model = net.model(last, size)
    _raise_channel(model, "large", "small", factor)
    return model


def hostile(size: int = 32, seed: int = 0, factor: float = 3000.0) -> onnx.ModelProto:
    """Six convolutions with such a channel behind each of the first five: half of the layers in float mend nothing."""
    net = Net(seed)
    last = "x"
    for index in range(6):
        last = net.relu(net.conv(last, 16, f"c{index}", stride=2 if index in {0, 3} else 1))
    model = net.model(last, size)
    for index in range(5):
        _raise_channel(model, f"c{index}", f"c{index + 1}", factor)
    return model


def _raise_channel(model: onnx.ModelProto, source: str, reader: str, factor: float) -> None:
    """Make one channel between two convolutions `factor` times as large, in place, and let the second divide it out."""
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name in {f"{source}.w", f"{source}.b"}:
            values[5] *= factor
        elif tensor.name == f"{reader}.w":
            values[:, 5] /= factor
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def vision_transformer(size: int = 32, blocks: int = 3, seed: int = 0) -> onnx.ModelProto:
    """A pre-norm ViT with patches of 8 pixels, 24 channels, one attention head, `blocks` blocks."""
    net = Net(seed)
    side = size // 8
    patches = net.conv("x", 24, "patches", kernel=8, stride=8)
    net.nodes[-1].attribute.remove(next(a for a in net.nodes[-1].attribute if a.name == "pads"))
    flat = net.node("Reshape", [patches, net.weight("flat_shape", np.array([0, 24, side * side]))], "flat")
    tokens = net.node("Transpose", [flat], "tokens", perm=[0, 2, 1])
    place = net.weight("place", net.random.normal(0, 0.2, (1, side * side, 24)).astype(np.float32))
    last = net.node("Add", [tokens, place], "placed")
    for block in range(blocks):
        normal = net.layer_norm(last, f"b{block}_ln1")
        query, key, value = (net.linear(normal, 24, f"b{block}_{part}") for part in "qkv")
        turned = net.node("Transpose", [key], f"b{block}_turned", perm=[0, 2, 1])
        weights = net.node("Softmax", [net.node("MatMul", [query, turned], f"b{block}_scores")], f"b{block}_weights")
        mixed = net.node("MatMul", [weights, value], f"b{block}_mixed")
        net.channels[mixed] = 24
        last = net.add(last, net.linear(mixed, 24, f"b{block}_proj"), f"b{block}_attention")
        normal = net.layer_norm(last, f"b{block}_ln2")
        inner = net.linear(net.relu(net.linear(normal, 48, f"b{block}_up")), 24, f"b{block}_down")
        last = net.add(last, inner, f"b{block}_mlp")
    mean = net.node("ReduceMean", [last], "y", axes=[1], keepdims=0)
    return net.close(mean, 24, ["N", 3, size, size], 17)
