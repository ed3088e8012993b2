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
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
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

    def model(self, last: str, size: int, layout: str = "nchw", opset: int = 17) -> onnx.ModelProto:
        """Close the graph: `y` is the mean over space of `last`."""
        self.node("GlobalAveragePool", [last], "pooled")
        self.node("Flatten", ["pooled"], "y", axis=1)
        shape = ["N", 3, size, size] if layout == "nchw" else ["N", size, size, 3]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", self.channels[last]])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        return model
