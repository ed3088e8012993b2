from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from small_nets import Net, bottleneck_resnet, plain

from builder.optimise import moved, optimised
from edge.errors import ModelError


def _run(model: onnx.ModelProto, values: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


def test_batch_norm_is_folded_and_the_result_stays() -> None:
    given = bottleneck_resnet()
    result = optimised(Path("m.onnx"), given)
    assert {node.op_type for node in result.graph.node} == {
        "Conv",
        "Relu",
        "MaxPool",
        "Add",
        "GlobalAveragePool",
        "Flatten",
    }
    values = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    np.testing.assert_allclose(_run(result, values), _run(given, values), rtol=1e-4, atol=1e-5)


def test_only_operator_sets_in_use_are_left_and_the_ir_version_fits() -> None:
    result = optimised(Path("m.onnx"), plain())
    assert [(o.domain, o.version) for o in result.opset_import] == [("", 17)]
    assert result.ir_version == 8


def test_names_that_the_builder_needs_are_moved_out_of_the_way() -> None:
    net = Net()
    last = net.relu(net.conv("x", 4, "features/first"))
    model = net.model(net.conv(last, 4, "images"), 8)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "features"
    result = optimised(Path("m.onnx"), model)
    names = {name for node in result.graph.node for name in (*node.input, *node.output)}
    assert "images" not in names
    assert not any(name.startswith("features") for name in names)
    assert {moved("images"), moved("features"), moved("features/first")} <= names
    values = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(_run(result, values), _run(model, values), rtol=1e-5)


def test_a_named_tensor_survives_fusion() -> None:
    given = bottleneck_resnet()
    assert "s0b0_a" not in _tensors(optimised(Path("m.onnx"), given))
    result = optimised(Path("m.onnx"), given, ["s0b0_a"])
    assert "s0b0_a" in _tensors(result)
    assert [output.name for output in result.graph.output] == ["y"]


def test_a_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelError, match="no tensor is called 'layer4'"):
        optimised(Path("m.onnx"), plain(), ["conv0", "layer4"])


def test_a_graph_that_does_not_run_is_refused() -> None:
    model = plain()
    model.graph.node[0].attribute[0].ints[:] = [0, 0]  # a stride of nothing
    with pytest.raises(ModelError, match=r"m\.onnx: ONNX Runtime cannot load it"):
        optimised(Path("m.onnx"), model)


def test_the_vendors_chatter_is_not_heard_and_ours_is_afterwards(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    optimised(Path("m.onnx"), plain())
    logging.getLogger("builder").warning("heard")
    assert caplog.messages == ["heard"]
    assert "onnxruntime" not in "".join(capfd.readouterr())


def _tensors(model: onnx.ModelProto) -> set[str]:
    return {name for node in model.graph.node for name in node.output}
