"""What exporters compute from shapes becomes constants; what hangs on pixels or on the batch stays."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_nets import plain_resnet
from vit_nets import Form, exported_transformer

from builder.shapes import settle_shapes

SIDE = 32


def run(model: onnx.ModelProto, batch: int) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(batch).normal(size=(batch, 3, SIDE, SIDE)).astype(np.float32)
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("form", [Form(), Form(gives_tokens=True)], ids=["row", "tokens"])
def test_a_transformer_keeps_one_question_for_its_batch_and_computes_the_same(form: Form) -> None:
    given = exported_transformer(SIDE, form=form)
    before = Counter(node.op_type for node in given.graph.node)
    settled = settle_shapes(given)
    onnx.checker.check_model(settled, full_check=True)
    after = Counter(node.op_type for node in settled.graph.node)
    assert before["Shape"] > 4
    assert after["Shape"] == 1  # the class token is repeated as often as there are pictures
    assert after["MatMul"] == before["MatMul"]
    for batch in (1, 2, 3, 5):
        np.testing.assert_array_equal(run(settled, batch), run(given, batch))


def test_the_sizes_of_its_tokens_are_known_afterwards() -> None:
    inferred = onnx.shape_inference.infer_shapes(settle_shapes(exported_transformer(SIDE)), data_prop=True).graph
    known = {info.name: [d.dim_value for d in info.type.tensor_type.shape.dim][1:] for info in inferred.value_info}
    assert known["b0_mlp"] == known["b1_attention"] == [17, 24]
    assert known["b0_scores"] == [2, 17, 17]


def test_a_network_without_shape_arithmetic_comes_back_as_it_is() -> None:
    given = plain_resnet(SIDE)
    assert settle_shapes(given) is given


def model(nodes: list[onnx.NodeProto], weights: dict[str, Any]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_resized_constant_becomes_a_constant() -> None:
    """As the position embedding of a ViT, which is fitted to the input size."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], start=2),
        helper.make_node("Concat", ["front", "s"], ["sizes"], axis=0),
        helper.make_node("Resize", ["place", "", "", "sizes"], ["fitted"], mode="linear"),
        helper.make_node("Add", ["x", "fitted"], ["y"]),
    ]
    place = np.random.default_rng(0).normal(size=(1, 3, 7, 7)).astype(np.float32)
    given = model(nodes, {"place": place, "front": np.array([1, 3])})
    settled = settle_shapes(given)
    assert [node.op_type for node in settled.graph.node] == ["Add"]
    np.testing.assert_array_equal(run(settled, 4), run(given, 4))


def test_what_hangs_on_pixels_is_left() -> None:
    """How many values are positive is a shape too, and no picture's is another's."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["found"]),
        helper.make_node("Shape", ["found"], ["s"]),
        helper.make_node("Cast", ["s"], ["counted"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["counted"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    given = model(nodes, {})
    settled = settle_shapes(given)
    np.testing.assert_array_equal(run(settled, 2), run(given, 2))


def test_a_batch_that_is_multiplied_into_an_expansion_is_left() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["n"], start=0, end=1),
        helper.make_node("Mul", ["n", "two"], ["twice"]),
        helper.make_node("Concat", ["twice", "ones"], ["sizes"], axis=0),
        helper.make_node("Expand", ["one", "sizes"], ["y"]),
    ]
    given = model(nodes, {"two": np.array([2]), "ones": np.array([1]), "one": np.ones((1, 1), np.float32)})
    settled = settle_shapes(given)
    assert [node.op_type for node in settled.graph.node] == ["Shape", "Mul", "Concat", "Expand"]
    assert run(settled, 3).shape == (6, 1)
