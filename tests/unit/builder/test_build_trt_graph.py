"""The graph for TensorRT: its form, what it computes on the CPU, and that a TensorRT compiler takes it.

The compiler is TensorRT-RTX (`tensorrt_rtx_bindings`, real wheels), which builds for a GPU without one: whether a graph
is parsed, and which layers become integer ones, is seen here. Nothing is executed on a GPU.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from quantised_nets import IMAGENET, LITE, graphs, images, ranges_of, run
from small_nets import bottleneck_resnet, mobile, plain, plain_resnet, separable, vision_transformer
from vit_nets import Form, exported_transformer

from builder.bytes_to_float import float_input
from builder.opset import in_target_opset
from builder.optimise import OWN
from builder.quantise import cpu_graph, trt_graph
from builder.wiring import Wiring, token_operators
from edge.engines import EngineSpec
from edge.engines.ort import OrtEngine


def newer_transformer() -> onnx.ModelProto:
    """An export with the Gelu of opset 20, brought down."""
    return in_target_opset(PATH, exported_transformer(form=Form("operator", 20, gives_tokens=True)))


PATH = Path("m.onnx")
COMPILER = Path(__file__).with_name("trt_compiler.py")
NETS = [
    (bottleneck_resnet, 64),
    (plain_resnet, 32),
    (mobile, 32),
    (separable, 32),
    (vision_transformer, 32),
    (exported_transformer, 32),
    (newer_transformer, 32),
]


def own(node: onnx.NodeProto) -> bool:
    """Whether we put this node there, to pool features: those stay in float."""
    return node.name.startswith(OWN)


def made(net: Any, side: int, preprocess: Any = LITE) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    _, model = graphs(net(), preprocess)
    return model, trt_graph(PATH, model, ranges_of(model, side))


@pytest.mark.parametrize("preprocess", [LITE, IMAGENET], ids=["bytes", "floats"])
@pytest.mark.parametrize(("net", "side"), [(plain, 32), *NETS])
def test_it_stays_near_float(net: Any, side: int, preprocess: Any) -> None:
    exact, small = made(net, side, preprocess)
    onnx.checker.check_model(small)
    crops = images(6, side, seed=9)
    cosine = np.einsum("nd,nd->n", run(exact, crops), run(small, crops, as_written=True))
    assert cosine.min() > 0.97


def test_the_reference_engine_computes_what_is_written(tmp_path: Path) -> None:
    """Fused, 8-bit weights saturate on x86 CPUs without VNNI; TensorRT sums in 32 bits."""
    _, small = made(mobile, 32)
    onnx.save(small, tmp_path / "m.onnx")
    crops = np.full((2, 32, 32, 3), 255, np.uint8)
    crops[1, ::2] = 0
    with OrtEngine(tmp_path / "m.onnx", EngineSpec(as_written=True)) as engine:
        np.testing.assert_allclose(engine.embed(crops), run(small, crops, as_written=True), atol=2e-3)


@pytest.mark.parametrize("preprocess", [LITE, IMAGENET], ids=["bytes", "floats"])
def test_casting_the_bytes_first_changes_nothing(preprocess: Any) -> None:
    _, model = graphs(mobile(), preprocess)
    first = float_input(model)
    assert first.graph.node[0].op_type == "Cast"
    assert first.graph.node[0].input[0] == "images"
    assert sum("images" in node.input for node in first.graph.node) == 1
    crops = images(3, 32)
    np.testing.assert_allclose(run(first, crops), run(model, crops), atol=1e-6)


@pytest.mark.parametrize(("net", "side"), NETS)
def test_every_scale_is_symmetric_and_no_bias_is_quantised(net: Any, side: int) -> None:
    _, small = made(net, side)
    values = {one.name: numpy_helper.to_array(one) for one in small.graph.initializer}
    pairs = [node for node in small.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert pairs
    for node in pairs:
        assert values[node.input[2]].dtype == np.int8, node.name
        assert not values[node.input[2]].any(), node.name
    makers = {name: node for node in small.graph.node for name in node.output}
    for node in small.graph.node:
        if node.op_type == "Conv":
            assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2, node.name
            assert all(name in values for name in node.input[2:]), node.name


def test_both_inputs_of_a_residual_addition_are_quantised() -> None:
    _, small = made(plain_resnet, 32)
    makers = {name: node for node in small.graph.node for name in node.output}
    adds = [n for n in small.graph.node if n.op_type == "Add" and not n.name.startswith(("features/", "preprocess/"))]
    assert adds
    for node in adds:
        assert [makers[name].op_type for name in node.input] == ["DequantizeLinear"] * 2, node.name


def compiled(*arguments: str | Path) -> dict[str, Any]:
    """Compile in another process, which may crash without taking this one along."""
    done = subprocess.run(
        [sys.executable, str(COMPILER), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None, reason="TensorRT-RTX has no wheel for this machine"
)


@needs_compiler
@pytest.mark.parametrize(("net", "side"), NETS)
def test_tensorrt_compiles_it_and_every_convolution_is_int8(net: Any, side: int, tmp_path: Path) -> None:
    exact, small = made(net, side)
    onnx.save(small, tmp_path / "m.onnx")
    found = compiled(tmp_path / "m.onnx")
    assert found["error"] == ""
    assert found["engine_bytes"] > 0
    assert found["cache_bytes"] > 0
    assert found["phases"] > 3  # the compiler's own monitor was heard
    convolutions = [node.name for node in small.graph.node if node.op_type == "Conv"]
    assert found["convolutions"].keys() == {"Int8"}
    assert len(found["convolutions"]["Int8"]) == len(convolutions)
    products = {node.name for node in small.graph.node if node.op_type in {"Gemm", "MatMul"} and not own(node)}
    of_tokens = token_operators(Wiring(exact))  # attention: of two activations
    assert set(found["products"].get("Int8", ())) == products - of_tokens
    assert len(products & of_tokens) == sum(name.endswith(("_scores", "_mixed")) for name in products)


@needs_compiler
def test_the_graph_for_cpus_is_refused_so_the_check_can_fail(tmp_path: Path) -> None:
    folded, model = graphs(plain_resnet(), LITE)
    onnx.save(cpu_graph(PATH, folded, model, ranges_of(model, 32)), tmp_path / "m.onnx")
    found = compiled(tmp_path / "m.onnx")
    assert found["engine_bytes"] == 0
    assert found["kind"] == "ModelError"
    assert "TensorRT does not take the graph (Transpose preprocess/nchw: " in found["error"]


@needs_compiler
def test_a_float_graph_has_no_int8_convolution_so_the_count_can_fail(tmp_path: Path) -> None:
    _, model = graphs(plain_resnet(), LITE)
    onnx.save(float_input(model), tmp_path / "m.onnx")
    found = compiled(tmp_path / "m.onnx")
    assert found["engine_bytes"] > 0
    assert "Int8" not in found["convolutions"]


@needs_compiler
def test_a_workspace_of_one_mebibyte_is_refused(tmp_path: Path) -> None:
    _, small = made(bottleneck_resnet, 64)
    onnx.save(small, tmp_path / "m.onnx")
    found = compiled(tmp_path / "m.onnx", "--workspace-mib", "1")
    assert found["engine_bytes"] == 0
    assert found["kind"] == "GateError"
    assert "no engine within 1 MiB of workspace" in found["error"]
