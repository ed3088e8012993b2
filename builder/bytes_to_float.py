"""Lets a folded graph take its bytes as TensorRT wants them: turned to float before anything else is done with them.

A byte tensor may only be an input of a TensorRT network, and its DequantizeLinear has no zero point. So the first node
becomes a Cast of `images`, the later Cast of the float way goes, and the DequantizeLinear of the byte way becomes what
it computes, (x - zero point) * scale. Exact: bytes are integers in float32.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.fold import CAST, DEQUANTISE
from builder.optimise import IMAGES

__all__ = ["float_input"]

FIRST = "preprocess/first"


def float_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a folded graph in which the bytes are cast first; it computes the same."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    nodes: list[onnx.NodeProto] = [helper.make_node("Cast", [IMAGES], [FIRST], name=FIRST, to=TensorProto.FLOAT)]
    passed = {IMAGES: FIRST}  # names that are gone, and what stands for them
    for node in graph.node:
        if list(node.output) == [CAST]:
            passed[CAST] = passed.get(node.input[0], node.input[0])
            continue
        node.input[:] = [passed.get(name, name) for name in node.input]
        nodes += _in_float(graph, node) if node.name == DEQUANTISE else [node]
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def _in_float(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return Sub and Mul in place of a DequantizeLinear of bytes; the zero point becomes a float."""
    source, scale, zero_point = node.input
    held = next(one for one in graph.initializer if one.name == zero_point)
    held.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(held).astype(np.float32), zero_point))
    centred = "preprocess/centred"
    return [
        helper.make_node("Sub", [source, zero_point], [centred], name=centred),
        helper.make_node("Mul", [centred, scale], [node.output[0]], name="preprocess/scaled"),
    ]
