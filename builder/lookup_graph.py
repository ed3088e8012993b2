"""The graph of the lookup on a GPU, as ONNX: `python -m builder.lookup_graph` writes lookup.onnx beside this file.

A device that compiles has no onnx, and the graph holds no table, so the file is made once and shipped (a test holds it
to this code). The sizes E, C and D are filled in when it is compiled (`builder.trt_lookup`).

    planes   int8 (N, 2, D)   a query of up to 2,047: 128 * planes[:, 0] + planes[:, 1], both within [-64, 64]
    table    int8 (E, C, D)   prototype e of every class; a class with fewer has its first one again
    nearest  float32 (N, C)   the largest dot product of each class

Every number on the way is an integer that float32 holds, in whatever order it is added up and also where the factors
are taken as TF32 or float16: a plane's dot product is at most 64 * 128 * D < 2^24 for D < 2,048. The sum of both planes
is rounded once, as `edge.lookup` rounds the integer, and rounding does not change which is largest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["lookup_graph"]

FILE = Path(__file__).with_name("lookup.onnx")


def lookup_graph() -> onnx.ModelProto:
    """Return the graph, with N, E, C and D free."""
    constants: dict[str, NDArray[Any]] = {
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.int8),
        "rows": np.array([1, -1, 0], np.int64),
        "weight": np.array(128, np.float32),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "end": np.array([np.iinfo(np.int32).max], np.int64),
        "axis": np.array([1], np.int64),
        "stride": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["planes", "one", "zero"], ["planes_as_float"]),
        helper.make_node("DequantizeLinear", ["table", "one", "zero"], ["table_as_float"]),
        helper.make_node("Reshape", ["planes_as_float", "rows"], ["queries"]),  # (1, 2 N, D): one pass over the table
        helper.make_node("Transpose", ["table_as_float"], ["columns"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["queries", "columns"], ["dots"]),  # (E, 2 N, C)
        helper.make_node("Slice", ["dots", "first", "end", "axis", "stride"], ["high"]),
        helper.make_node("Slice", ["dots", "second", "end", "axis", "stride"], ["low"]),
        helper.make_node("Mul", ["high", "weight"], ["shifted"]),
        helper.make_node("Add", ["shifted", "low"], ["whole"]),
        helper.make_node("ReduceMax", ["whole"], ["nearest"], axes=[0], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [
            helper.make_tensor_value_info("planes", TensorProto.INT8, ["N", 2, "D"]),
            helper.make_tensor_value_info("table", TensorProto.INT8, ["E", "C", "D"]),
        ],
        [helper.make_tensor_value_info("nearest", TensorProto.FLOAT, ["N", "C"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="shelfedge"
    )


if __name__ == "__main__":
    FILE.write_bytes(lookup_graph().SerializeToString(deterministic=True))
