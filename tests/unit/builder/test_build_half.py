"""Float16 where INT8 does not suffice: in the graph, near the same rows, and taken by TensorRT as it is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from quantised_nets import LITE, PATH, graphs, images, ranges_of, run
from test_build_trt_graph import compiled, needs_compiler
from vendor.fake_cuda import Cuda
from vendor.fake_tensorrt import VERSIONS, TensorRt
from vit_nets import exported_transformer, readers_of_outliers

from builder.half import rest_in_half
from builder.quantise import trt_graph
from builder.trt_engine import Order, compile_graph
from edge.errors import ModelError

SIDE = 32
WEAK_ONLY = {"8.5", "8.6"}


@pytest.fixture(scope="module")
def both() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The graph for TensorRT of a transformer with three products kept, and the same with its rest in float16."""
    _, model = graphs(exported_transformer(outlier=200.0), LITE)
    full = trt_graph(PATH, model, ranges_of(model, SIDE), readers_of_outliers())
    return full, rest_in_half(full)


def test_only_weights_of_kept_layers_are_halved_and_the_rows_stay(
    both: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    full, half = both
    onnx.checker.check_model(half, full_check=True)
    kinds = {one.name: one.data_type for one in half.graph.initializer}
    assert {n for n, kind in kinds.items() if kind == TensorProto.FLOAT16} == {f"half/b1_{p}.w" for p in "qkv"}
    crops = images(6, SIDE, seed=3)
    cosine = np.einsum("nd,nd->n", run(full, crops, as_written=True), run(half, crops, as_written=True))
    assert cosine.min() > 0.9999
    assert not np.array_equal(run(full, crops, as_written=True), run(half, crops, as_written=True))


def test_a_weight_that_float16_cannot_hold_is_refused_by_its_node() -> None:
    _, model = graphs(exported_transformer(), LITE)
    full = trt_graph(PATH, model, ranges_of(model, SIDE), readers_of_outliers())
    weight = next(one for one in full.graph.initializer if one.name == "b1_q.w")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1e6), "b1_q.w"))
    with pytest.raises(ModelError, match=r"MatMul node_b1_q_product has a weight of \d.*, expected at most 65504"):
        rest_in_half(full)


@needs_compiler
def test_tensorrt_runs_what_was_kept_in_half_precision(
    both: tuple[onnx.ModelProto, onnx.ModelProto], tmp_path: Path
) -> None:
    sizes, found = [], []
    for name, graph in zip(("full", "half"), both, strict=True):
        onnx.save(graph, tmp_path / f"{name}.onnx")
        found.append(compiled(tmp_path / f"{name}.onnx"))
        sizes.append(found[-1]["engine_bytes"])
        assert found[-1]["error"] == ""
    assert readers_of_outliers() <= set(found[0]["products"]["Float"])
    assert set(found[1]["products"]["Half"]) >= readers_of_outliers()
    assert all(name.startswith("features/") for name in found[1]["products"]["Float"])
    assert found[0]["products"]["Int8"] == found[1]["products"]["Int8"]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_types_are_told_to_those_that_keep_them_and_the_others_refuse(
    version: str, both: tuple[onnx.ModelProto, onnx.ModelProto]
) -> None:
    trt, order = TensorRt(version, Cuda()), Order(4, 1, 64)
    assert compile_graph(trt, both[0].SerializeToString(), order, lambda *_: True).layers
    if version not in WEAK_ONLY:
        assert compile_graph(trt, both[1].SerializeToString(), order, lambda *_: True).layers
        return
    with pytest.raises(
        ModelError, match=r"holds float16 beside float32.*\(10 and later do\); build with --rest float32"
    ):
        compile_graph(trt, both[1].SerializeToString(), order, lambda *_: True)
