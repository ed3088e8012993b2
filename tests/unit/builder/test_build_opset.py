"""Graphs come down to opset 17 and IR 8 and compute the same, or are refused by the node's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from builder.onnx_checks import load_backbone
from builder.opset import in_target_opset
from builder.optimise import optimised
from edge.errors import ModelError

PATH = Path("m.onnx")
IR = {18: 8, 19: 9, 20: 9, 21: 10}
WEIGHTS = {
    "w": np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32),
    "axes": np.array([1], np.int64),
    "none": np.zeros(0, np.int64),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
    "some_pads": np.array([1, 1], np.int64),
    "scales": np.array([1, 1, 2, 2], np.float32),
    "shape": np.array([0, 4, -1], np.int64),
    "ones": np.ones(8, np.float32),
}


def node(kind: str, given: Sequence[str], made: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(given), list(made), name=f"the_{kind}", **attributes)


def model(nodes: Sequence[onnx.NodeProto], opset: int) -> onnx.ModelProto:
    """`x` (N, 3, 8, 8), a convolution of 8 channels to `a`, the nodes from `a` to `last`, flat."""
    used = {name for one in nodes for name in one.input} | {"w"}
    graph = helper.make_graph(
        [node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), *nodes, node("Flatten", ["last"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "F"])],
        [numpy_helper.from_array(values, name) for name, values in WEIGHTS.items() if name in used],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR[opset])
    onnx.checker.check_model(made)
    return made


def run(given: onnx.ModelProto) -> Any:
    session = onnxruntime.InferenceSession(given.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    return session.run(None, {"x": x})[0]


NEWER = {
    "axes of a reduction": (18, [node("ReduceMean", ["a", "axes"], ["last"])]),
    "all axes of a reduction": (18, [node("ReduceMax", ["a", "none"], ["m"]), node("Add", ["a", "m"], ["last"])]),
    "equal parts": (
        18,
        [node("Split", ["a"], ["s", "t"], axis=1, num_outputs=2), node("Mul", ["s", "t"], ["last"])],
    ),
    "same as before": (
        19,
        [
            node("Pad", ["a", "pads"], ["p"]),
            node("Resize", ["p", "", "scales"], ["r"], mode="linear"),
            node("Reshape", ["r", "shape"], ["last"]),
        ],
    ),
    "Gelu": (20, [node("Gelu", ["a"], ["last"])]),
    "Gelu by tanh": (20, [node("Gelu", ["a"], ["last"], approximate="tanh")]),
    "GroupNormalization": (
        21,
        [node("GroupNormalization", ["a", "ones", "ones"], ["last"], num_groups=2)],
    ),
}


@pytest.mark.parametrize(("opset", "nodes"), NEWER.values(), ids=NEWER)
def test_newer_graphs_come_down_and_compute_the_same(opset: int, nodes: list[onnx.NodeProto], tmp_path: Path) -> None:
    given = model(nodes, opset)
    onnx.save(given, tmp_path / "m.onnx")
    lowered = load_backbone(tmp_path / "m.onnx")
    assert [(one.domain, one.version) for one in lowered.opset_import] == [("", 17)]
    assert lowered.ir_version <= 8
    onnx.checker.check_model(lowered, full_check=True)
    np.testing.assert_allclose(run(lowered), run(given), atol=1e-5)
    plain = optimised(PATH, lowered)
    assert plain.opset_import[0].version == 17
    names = [one.name for one in plain.graph.node]
    assert all(names)
    assert len(names) == len(set(names))


REFUSED = {
    "parts that are not equal": (
        18,
        [node("Split", ["a"], ["s", "t", "u"], axis=1, num_outputs=3), node("Identity", ["u"], ["last"])],
        "Split the_Split has attribute num_outputs as it came after opset 17",
    ),
    "antialiasing": (
        18,
        [node("Resize", ["a", "", "scales"], ["last"], mode="linear", antialias=1)],
        "Resize the_Resize has attribute antialias",
    ),
    "a new mode": (
        19,
        [node("Resize", ["a", "", "scales"], ["last"], coordinate_transformation_mode="half_pixel_symmetric")],
        "Resize the_Resize has attribute coordinate_transformation_mode as it came",
    ),
    "axes of a padding": (18, [node("Pad", ["a", "some_pads", "", "axes"], ["last"])], "Pad the_Pad has 4 inputs"),
    "a new operator": (
        18,
        [node("BitwiseNot", ["n"], ["o"]), node("Cast", ["o"], ["last"], to=TensorProto.FLOAT)],
        "BitwiseNot the_BitwiseNot is of opset 18, expected operators of 17",
    ),
}


@pytest.mark.parametrize(("opset", "nodes", "said"), REFUSED.values(), ids=REFUSED)
def test_what_opset_17_does_not_have_is_refused_by_its_name(opset: int, nodes: list[onnx.NodeProto], said: str) -> None:
    before = [node("Cast", ["a"], ["n"], to=TensorProto.INT32)] if nodes[0].op_type == "BitwiseNot" else []
    with pytest.raises(ModelError, match=f"m.onnx: {said}.*; export with opset 17"):
        in_target_opset(PATH, model([*before, *nodes], opset))


@pytest.mark.parametrize("opset", [13, 15, 17])
def test_what_suits_comes_back_as_it_is(opset: int) -> None:
    IR[opset] = 8
    given = model([node("Relu", ["a"], ["last"])], opset)
    assert in_target_opset(PATH, given) is given


def test_a_module_that_an_exporter_named_is_written_out(tmp_path: Path) -> None:
    given = model([node("Relu", ["a"], ["last"])], 18)
    opsets = [helper.make_opsetid("", 18)]
    body = helper.make_function("acme", "Twice", ["i"], ["o"], [helper.make_node("Add", ["i", "i"], ["o"])], opsets)
    given.functions.append(body)
    given.opset_import.append(helper.make_opsetid("acme", 1))
    given.graph.node[1].CopyFrom(helper.make_node("Twice", ["a"], ["last"], domain="acme"))
    onnx.checker.check_model(given)
    onnx.save(given, tmp_path / "m.onnx")
    loaded = load_backbone(tmp_path / "m.onnx")
    assert {one.op_type for one in loaded.graph.node} == {"Conv", "Add", "Flatten"}
    np.testing.assert_allclose(run(loaded), run(given), atol=1e-6)


def test_a_graph_that_decides_while_it_runs_is_refused_by_its_node() -> None:
    value = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "branch", [], [value])
    other = helper.make_graph([helper.make_node("Neg", ["a"], ["b"])], "other", [], [value])
    nodes = [
        node("ReduceMax", ["a"], ["m"], keepdims=0),
        node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        node("If", ["c"], ["last"], then_branch=branch, else_branch=other),
    ]
    with pytest.raises(ModelError, match="If the_If decides while it runs, expected a graph without control flow"):
        optimised(PATH, model(nodes, 18))
