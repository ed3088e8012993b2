from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from quantised_nets import IMAGENET, LITE, graphs, images, ranges_of, run
from small_nets import Net, bottleneck_resnet, mobile, plain, plain_resnet, separable, vision_transformer
from vit_nets import exported_transformer

from builder.optimise import OWN
from builder.photos import in_batches
from builder.quantise import cpu_graph, trt_graph
from builder.ranges import find_ranges
from builder.sidecar import Preprocess
from builder.wiring import Wiring, token_operators

PATH = Path("m.onnx")


def _int8(given: onnx.ModelProto, preprocess: Preprocess, side: int) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    folded, model = graphs(given, preprocess)
    heard: list[int] = []
    result = cpu_graph(PATH, folded, model, ranges_of(model, side, heard))
    assert heard == [2] * 10
    onnx.checker.check_model(result)
    return model, result


def _optimised_operators(model: onnx.ModelProto, path: Path) -> Counter[str]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize(
    ("net", "side", "least"),
    [
        (plain, 32, 0.99),
        (bottleneck_resnet, 64, 0.99),
        (plain_resnet, 32, 0.99),
        (mobile, 32, 0.97),
        (separable, 32, 0.97),
        (vision_transformer, 32, 0.97),
    ],
)
@pytest.mark.parametrize("preprocess", [LITE, IMAGENET], ids=["bytes", "floats"])
def test_int8_stays_near_float(net: object, side: int, least: float, preprocess: Preprocess) -> None:
    exact, small = _int8(net(), preprocess, side)  # type: ignore[operator]
    crops = images(6, side, seed=9)
    cosine = np.einsum("nd,nd->n", run(exact, crops), run(small, crops))
    assert cosine.min() > least


def _largest_weights(model: onnx.ModelProto) -> dict[str, int]:
    """Return the largest magnitude of the int8 weights of each convolution, by the convolution's name."""
    values = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in makers:
            found[node.name] = int(np.abs(values[makers[node.input[1]].input[0]].astype(int)).max())
    return found


@pytest.mark.parametrize("net", [plain, bottleneck_resnet, mobile, separable])
def test_no_cpu_can_saturate_the_sum_of_two_products(net: object) -> None:
    exact, small = _int8(net(), LITE, 64 if net is bottleneck_resnet else 32)  # type: ignore[operator]
    depthwise = {n.name for n in exact.graph.node if any(a.name == "group" and a.i > 1 for a in n.attribute)}
    largest = _largest_weights(small)
    assert largest
    for name, value in largest.items():
        assert value <= (127 if name in depthwise else 64), name
        if name in depthwise:
            assert value > 64, name


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_every_opset_goes_through(opset: int) -> None:
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip(f"onnx {onnx.__version__} does not know opset {opset}")
    exact, small = _int8(plain(opset=opset), LITE, 32)
    crops = images(2, 32, seed=9)
    assert np.einsum("nd,nd->n", run(exact, crops), run(small, crops)).min() > 0.99
    assert [o.domain for o in small.opset_import] == [""]


def test_the_backbone_is_int8_from_the_bytes_on_and_nothing_is_turned(tmp_path: Path) -> None:
    _, small = _int8(mobile(), LITE, 32)
    operators = _optimised_operators(small, tmp_path / "optimised.onnx")
    assert operators["QLinearConv"] == 20
    assert operators["QLinearAdd"] == 3
    assert not {"Conv", "Add", "Transpose", "QuantizeLinear", "Clip"} & set(operators)


def test_weights_are_int8_and_activations_uint8() -> None:
    _, small = _int8(mobile(), LITE, 32)
    kinds = {weight.name: weight.data_type for weight in small.graph.initializer}
    assert kinds["stem.w_quantized"] == onnx.TensorProto.INT8
    floats = sum(np.prod(w.dims) for w in small.graph.initializer if w.data_type == onnx.TensorProto.FLOAT)
    total = sum(np.prod(w.dims) for w in small.graph.initializer)
    assert floats < total / 2


def test_every_photo_counts_wherever_it_stands() -> None:
    folded, model = graphs(mobile(), LITE)
    dim = images(39, 32) // 8
    bright = images(1, 32, seed=5)
    ends = []
    for crops in (np.concatenate([bright, dim]), np.concatenate([dim, bright])):
        ranges = find_ranges(PATH, model, (crops[i : i + 1] for i in range(40)), lambda _: None)
        ends.append(cpu_graph(PATH, folded, model, ranges))
    assert ends[0].SerializeToString() == ends[1].SerializeToString()
    ranges = find_ranges(PATH, model, (dim[i : i + 1] for i in range(39)), lambda _: None)
    without = cpu_graph(PATH, folded, model, ranges)
    assert without.SerializeToString() != ends[0].SerializeToString()


def test_the_same_photos_give_the_same_bytes() -> None:
    first, second = (_int8(mobile(), LITE, 32)[1].SerializeToString() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_other_ranges_lie_within_the_largest_values(method: str) -> None:
    _, model = graphs(mobile(), LITE)
    crops = images(20, 32)
    wide = find_ranges(PATH, model, in_batches(crops), lambda _: None)
    heard: list[int] = []
    narrow = find_ranges(PATH, model, in_batches(crops), heard.append, method)
    assert sum(heard) == 20
    assert set(narrow.keys()) == set(wide.keys())
    narrower = 0
    for name in wide.keys():  # noqa: SIM118  # the vendor's type is no mapping
        (low, high), (least, most) = (
            (float(np.ravel(side)[0]) for side in found[name].range_value) for found in (wide, narrow)
        )
        slack = 0.02 * (high - low) + 1e-6  # a bin
        assert low - slack <= least <= most <= high + slack, name
        narrower += most - least < 0.9 * (high - low)
    assert narrower > 0


def test_of_a_transformer_only_products_with_a_matrix_are_quantised() -> None:
    folded, model = graphs(exported_transformer(), LITE)
    constants = {weight.name for weight in model.graph.initializer}
    weighted = {
        node.name
        for node in model.graph.node
        if node.op_type in {"Conv", "MatMul"} and constants.intersection(node.input) and not node.name.startswith(OWN)
    }
    in_float = token_operators(Wiring(model))
    assert not weighted & in_float
    assert {
        "node_b0_attention",
        "node_b0_ln1",
        "node_b0_scores",
        "node_b1_mixed",
        "node_b0_q",
        "node_placed",
    } <= in_float
    ranges = ranges_of(model, 32)
    for small in (trt_graph(PATH, model, ranges), cpu_graph(PATH, folded, model, ranges)):
        makers = {name: node for node in small.graph.node for name in node.output}
        for node in small.graph.node:
            pairs = [makers[n] for n in node.input if n in makers and makers[n].op_type == "DequantizeLinear"]
            quantised = [makers[pair.input[0]].input[0] for pair in pairs if pair.input[0] in makers]
            assert pairs or node.name not in weighted, node.name
            if node.name in in_float and node.op_type != "Shape":  # between two of them nothing is quantised
                assert not {makers[name].name for name in quantised if name in makers} & in_float, node.name


def test_a_shuffle_of_channels_is_no_transformer() -> None:
    """ShuffleNet's: its Reshapes come back to a map, and what adds maps behind them stays in INT8."""
    net = Net()
    first = net.relu(net.conv("x", 8, "first"))
    apart = net.node("Reshape", [first, net.weight("apart", np.array([0, 2, 4, 32, 32]))], "grouped")
    turned = net.node("Transpose", [apart], "turned", perm=[0, 2, 1, 3, 4])
    mixed = net.node("Reshape", [turned, net.weight("back", np.array([0, 8, 32, 32]))], "mixed")
    net.channels[mixed] = 8
    last = net.add(net.conv(mixed, 8, "second"), mixed, "sum")
    _, model = graphs(net.model(net.relu(last), 32), LITE)
    assert not {name for name in token_operators(Wiring(model)) if name.startswith("node_")}
