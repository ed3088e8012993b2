"""Which layers stay in float: found by quantising them one at a time, and as few as the gate asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quantised_nets import LITE, PATH, graphs, images, ranges_of, run
from small_nets import bottleneck_resnet, mobile, vision_transformer, with_outliers
from test_build_trt_graph import compiled, needs_compiler
from vit_nets import exported_transformer, readers_of_outliers

from builder.quantise import cpu_graph, trt_graph
from builder.sensitivity import MOST_GROUPS, Group, cosine_to, groups_of, keep_fewest, ranked
from edge.engines import EngineSpec
from edge.engines.ort import OrtEngine

SIDE = 32
LARGE, SMALL = ("node_large", "node_small")  # what makes the outlier, and what reads it


class Case:
    """A net with an outlier, both ways of quantising it, and what measures them."""

    def __init__(self, net: onnx.ModelProto) -> None:
        folded, self.model = graphs(net, LITE)
        ranges = ranges_of(self.model, SIDE)
        crops = images(24, SIDE, seed=3)
        exact = run(self.model, crops)
        self.quantise = {
            "onnxruntime": lambda kept: cpu_graph(PATH, folded, self.model, ranges, kept),
            "tensorrt": lambda kept: trt_graph(PATH, self.model, ranges, kept),
        }
        self.measure = {name: cosine_to(exact, crops, as_written=name == "tensorrt") for name in self.quantise}

    def kept(self, engine: str, least: float) -> Any:
        heard: list[int] = []
        layers = ranked(groups_of(self.model), self.quantise[engine], self.measure[engine], heard.append)
        found = keep_fewest(layers, self.quantise[engine], self.measure[engine], least)
        assert sum(heard) == found.groups == len(groups_of(self.model))
        return found


@pytest.fixture(scope="module")
def case() -> Case:
    return Case(with_outliers())


def test_the_layer_that_reads_outliers_stays_in_float(case: Case) -> None:
    found = case.kept("tensorrt", 0.999)
    assert [layer.layer for layer in found.layers] == [SMALL]
    assert found.cosine_without < 0.995
    assert found.cosine > 0.999


def test_on_a_cpu_the_layer_that_makes_them_does_too(case: Case) -> None:
    """Outputs are quantised there."""
    found = case.kept("onnxruntime", 0.999)
    assert {layer.layer for layer in found.layers} == {LARGE, SMALL}
    assert found.cosine > 0.999


def test_what_passes_keeps_nothing(case: Case) -> None:
    found = case.kept("tensorrt", 0.9)
    assert found.layers == ()
    assert found.nodes == ()
    assert found.cosine == found.cosine_without


def test_what_nothing_helps_keeps_half_and_says_what_that_reaches(case: Case) -> None:
    found = case.kept("onnxruntime", 1.1)
    assert len(found.layers) == 2
    assert found.cosine < 1.1


def transformer(factor: float) -> Case:
    """The case of a transformer whose last block has channels of a LayerNorm `factor` times as large as the others."""
    return Case(exported_transformer(outlier=factor))


@pytest.mark.parametrize("engine", ["onnxruntime", "tensorrt"])
def test_the_products_that_read_a_norms_outliers_stay_in_float(engine: str) -> None:
    found = transformer(200.0).kept(engine, 0.9995)
    assert {layer.layer for layer in found.layers} == readers_of_outliers()
    assert found.cosine_without < 0.99
    assert found.cosine > 0.9995


def test_a_transformer_without_outliers_keeps_nothing() -> None:
    assert transformer(1.0).kept("tensorrt", 0.9995).layers == ()


@needs_compiler
def test_tensorrt_runs_every_product_with_a_matrix_in_int8_but_those_kept(tmp_path: Path) -> None:
    case = transformer(200.0)
    kept = frozenset(case.kept("tensorrt", 0.9995).nodes)
    onnx.save(case.quantise["tensorrt"](kept), tmp_path / "m.onnx")
    found = compiled(tmp_path / "m.onnx")
    assert found["error"] == ""
    matrices = {f"node_b{block}_{part}_product" for block in (0, 1) for part in ("q", "k", "v", "proj", "up", "down")}
    assert kept == readers_of_outliers()
    assert set(found["products"]["Int8"]) == matrices - kept
    assert kept <= set(found["products"]["Float"])


@needs_compiler
def test_tensorrt_runs_every_convolution_in_int8_but_those_kept(case: Case, tmp_path: Path) -> None:
    kept = case.kept("tensorrt", 0.999)
    onnx.save(case.quantise["tensorrt"](frozenset(kept.nodes)), tmp_path / "m.onnx")
    found = compiled(tmp_path / "m.onnx")
    assert found["error"] == ""
    assert {kind: len(names) for kind, names in found["convolutions"].items()} == {"Int8": 3, "Float": 1}


@pytest.mark.parametrize(
    ("net", "layers"), [(mobile, 20), (bottleneck_resnet, 22), (vision_transformer, 19), (exported_transformer, 13)]
)
def test_groups_hold_every_node_that_is_quantised_once(net: Any, layers: int) -> None:
    _, model = graphs(net(), LITE)
    groups = groups_of(model)
    assert len(groups) == layers
    names = [name for group in groups for name in group.nodes]
    assert len(names) == len(set(names))
    constants = {weight.name for weight in model.graph.initializer}
    weighted = {
        node.name
        for node in model.graph.node
        if node.op_type in {"Conv", "Gemm", "MatMul"} and constants.intersection(node.input)
    }
    assert {name for name in weighted if not name.startswith(("features/", "preprocess/"))} <= set(names)


def test_a_layer_that_stays_in_float_is_not_quantised_behind_our_back(tmp_path: Path) -> None:
    """ONNX Runtime would, and with one scale for all channels of a depthwise convolution."""
    folded, model = graphs(mobile(), LITE)
    ranges, crops = ranges_of(model, SIDE), images(8, SIDE, seed=3)
    for group in groups_of(model)[1:8]:
        small = cpu_graph(PATH, folded, model, ranges, group.nodes)
        onnx.save(small, tmp_path / "m.onnx")
        with OrtEngine(tmp_path / "m.onnx", EngineSpec()) as engine:
            cosine = np.einsum("nd,nd->n", engine.embed(crops), run(small, crops, as_written=True))
        assert cosine.min() > 0.9999, group.name


def test_many_layers_are_taken_together() -> None:
    model = onnx.ModelProto(opset_import=[onnx.helper.make_opsetid("", 17)])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.float32), "w"))
    model.graph.node.extend(
        onnx.helper.make_node("Conv", [f"t{index}", "w"], [f"t{index + 1}"], name=f"c{index}") for index in range(200)
    )
    groups = groups_of(model)
    assert len(groups) == MOST_GROUPS
    assert sum(len(group.nodes) for group in groups) == 200
    del model.graph.node[:]
    assert groups_of(model) == ()


@given(st.lists(st.floats(0.0, 0.02), min_size=2, max_size=40), st.floats(0.7, 1.0))
def test_it_finds_the_fewest_where_losses_add_up(losses: list[float], least: float) -> None:
    groups = [Group(f"g{index}", frozenset({f"g{index}"})) for index in range(len(losses))]

    def measure(kept: Any) -> float:
        return 1.0 - sum(loss for index, loss in enumerate(losses) if f"g{index}" not in kept)

    quantise: Any = lambda kept: kept  # noqa: E731
    found = keep_fewest(ranked(groups, quantise, measure, lambda _: None), quantise, measure, least)
    most = max(len(losses) // 2, 1)
    ordered = np.sort(losses)[::-1]
    enough = [count for count in range(most + 1) if 1.0 - ordered[count:].sum() >= least + 1e-9]
    short = [count for count in range(most + 1) if 1.0 - ordered[count:].sum() < least - 1e-9]
    if enough:
        assert len(found.layers) <= enough[0]
    assert all(len(found.layers) > count for count in short if count < most)
    assert len(found.layers) <= most


def test_a_layer_that_breaks_everything_is_the_most_sensitive() -> None:
    groups = [Group(name, frozenset({name})) for name in "abc"]

    def measure(kept: Any) -> float:
        return float("nan") if "b" not in kept else 0.999

    quantise: Any = lambda kept: kept  # noqa: E731
    found = keep_fewest(ranked(groups, quantise, measure, lambda _: None), quantise, measure, 0.99)
    assert [layer.layer for layer in found.layers] == ["b"]
