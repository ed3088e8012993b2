"""Who makes and who reads each tensor of an ONNX graph, and what is known about its shape.

Read once, never updated: after a change of the graph, make a new `Wiring`. Sub-graphs (If, Loop) are not looked into.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

__all__ = ["WEIGHTED", "Shape", "Wiring", "attribute", "prune", "shape_of", "token_operators"]

CONVOLUTIONS = {"Conv", "ConvTranspose"}
WEIGHTED = {*CONVOLUTIONS, "Gemm", "MatMul"}
FLATTENS = {"Reshape", "Flatten"}
TOKEN_AXES = 3

Shape: TypeAlias = tuple["int | None", ...]  # one entry per axis; None where the size is free


class Wiring:
    """Producers, consumers, constants and shapes of the tensors of one graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes: list[Any] = list(model.graph.node)
        self.producer: dict[str, Any] = {name: node for node in self.nodes for name in node.output if name}
        self.consumers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                if name:
                    self.consumers[name].append(node)
        self.outputs = {output.name for output in model.graph.output}
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._shapes = _shapes(model)

    def is_constant(self, name: str) -> bool:
        """Whether the tensor is a weight or made by a Constant node."""
        node = self.producer.get(name)
        return name in self._tensors or (node is not None and node.op_type == "Constant")

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the values of a constant tensor, None for any other."""
        if name in self._tensors:
            return np.asarray(numpy_helper.to_array(self._tensors[name]))
        node = self.producer.get(name)
        if node is None or node.op_type != "Constant":
            return None
        value = attribute(node, "value")
        return None if value is None else np.asarray(numpy_helper.to_array(value))

    def shape(self, name: str) -> Shape | None:
        """Return the shape of a tensor, None where shape inference does not know even its rank."""
        return self._shapes.get(name)


def token_operators(wiring: Wiring) -> frozenset[str]:
    """Return the names of the operators of a transformer that no weights go into: all but its products with a matrix.

    What follows a convolution is a map, whose operators are not meant, until a Reshape makes tokens or a row of it, of
    three axes at most.
    """
    maps, names = set[str](), set[str]()  # tensors that a convolution made, weightless operators between; nodes
    for node in wiring.nodes:
        has_weights = node.op_type in WEIGHTED and any(wiring.is_constant(name) for name in node.input)
        flattens = node.op_type in FLATTENS and len(wiring.shape(node.output[0]) or ()) <= TOKEN_AXES
        is_on_map = not flattens and any(name in maps for name in node.input)
        if node.op_type in CONVOLUTIONS if has_weights else is_on_map:
            maps.update(node.output)
        elif not has_weights:
            names.add(node.name)
    return frozenset(names)


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """Return an attribute of a node as a Python value."""
    for one in node.attribute:
        if one.name == name:
            return onnx.helper.get_attribute_value(one)
    return default


def shape_of(info: Any) -> Shape | None:
    """Return the shape that a graph input, output or value_info states; None without a rank."""
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim)


def prune(model: onnx.ModelProto) -> None:
    """Remove, in place, every node, weight and shape note that no output needs."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(_read_by(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    for field in (graph.initializer, graph.value_info):
        stays = [one for one in field if one.name in needed]
        del field[:]
        field.extend(stays)


def _read_by(node: Any) -> set[str]:
    """Return what a node reads, with what its sub-graphs read from outside."""
    names = set(node.input)
    for one in node.attribute:
        graphs = [one.g] if one.type == onnx.AttributeProto.GRAPH else list(one.graphs)
        for graph in graphs:
            for inner in graph.node:
                names |= _read_by(inner)
    return names


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for info in [*inferred.value_info, *inferred.input, *inferred.output]:
        shape = shape_of(info)
        if shape is not None:
            shapes[info.name] = shape
    return shapes
