"""Float16 for what INT8 leaves in float, in the graph for TensorRT: written down as casts, so that it is what runs.

Meant are the layers that were kept, and a transformer's attention products: inputs are cast to float16, weights are
stored so, the output is cast back. All between stays float32, and so does what the builder added: a deviation is the
root of a difference of squares, which float16 does not have the digits for. As casts and not as a flag of TensorRT's,
because the reference on a CPU rounds as they say, so the parity gate and calibration see it, and because TensorRT 11
knows no such flag. Types that are written hold only in a strongly typed network (10 and later, `builder.trt_engine`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from builder.optimise import OWN
from builder.trt_engine import HALF
from builder.wiring import WEIGHTED, Wiring, prune
from edge.errors import ModelError

__all__ = ["rest_in_half"]


def rest_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of the graph for TensorRT whose products and convolutions left in float are in float16.

    Raises ModelError, naming the node, for a weight that float16 cannot hold.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    wiring, nodes, made = Wiring(result), list[onnx.NodeProto](), set[str]()
    for node in result.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if not _is_in_float(wiring, node):
            nodes.append(copy)
            continue
        for place, name in enumerate(node.input):
            values = wiring.constant(name)
            copy.input[place] = f"{HALF}{name}" if name else ""
            if not name or name in made:
                continue
            made.add(name)
            if values is None:
                nodes.append(_cast(name, f"{HALF}{name}", TensorProto.FLOAT16))
            else:
                result.graph.initializer.append(numpy_helper.from_array(_half(node, values), f"{HALF}{name}"))
        copy.output[0] = f"{HALF}{node.output[0]}/made"
        nodes += [copy, _cast(copy.output[0], node.output[0], TensorProto.FLOAT)]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    prune(result)
    return result


def _is_in_float(wiring: Wiring, node: onnx.NodeProto) -> bool:
    made_by = wiring.producer.get(node.input[0]) if node.input else None
    is_int8 = made_by is not None and made_by.op_type == "DequantizeLinear"
    return node.op_type in WEIGHTED and not is_int8 and not node.name.startswith(OWN)


def _half(node: onnx.NodeProto, values: NDArray[Any]) -> NDArray[np.float16]:
    largest = float(np.abs(values).max(initial=0.0))
    if largest > float(np.finfo(np.float16).max):
        found = f"{node.op_type} {node.name} has a weight of {largest:.3g}"
        raise ModelError(f"{found}, expected at most {np.finfo(np.float16).max:.0f} for float16; leave --rest out")
    return values.astype(np.float16)


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{HALF}cast/{target}", to=kind)
