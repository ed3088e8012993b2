"""What every engine owes its callers, run on each adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from vendor import fake_tensorrt

from edge.engines import EngineSpec, open_engine
from edge.engines.fake import FakeEngine, Faults
from edge.errors import EngineError
from edge.ports import Engine

SIDE_PX, MAX_BATCH = 16, 4
Open = Callable[[], Engine]


def _graph(path: Path, poison: bool = False) -> Path:
    """A graph that flattens the crop and multiplies it; with `poison` a crop whose first byte is 255 becomes NaN."""
    flat = SIDE_PX * SIDE_PX * 3
    weights = np.random.default_rng(5).normal(size=(flat, 12)).astype(np.float32)
    last = "product" if poison else "embeddings"
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], [last]),
    ]
    tensors = [numpy_helper.from_array(weights, "weights")]
    if poison:
        # 255 - 255 = 0, and 0 / 0 is NaN; any other first byte multiplies by one.
        tensors += [numpy_helper.from_array(np.array([v]), n) for n, v in (("zero", 0), ("one", 1))]
        tensors.append(numpy_helper.from_array(np.array([255], np.float32), "white"))
        nodes += [
            helper.make_node("Slice", ["flat", "zero", "one", "one"], ["first"]),
            helper.make_node("Sub", ["first", "white"], ["distance"]),
            helper.make_node("Div", ["distance", "distance"], ["unity"]),
            helper.make_node("Mul", ["product", "unity"], ["embeddings"]),
        ]
    graph = helper.make_graph(
        nodes,
        "flat",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIDE_PX, SIDE_PX, 3])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", 12])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


ADAPTERS = ["onnxruntime", "tensorrt", "fake"]  # tensorrt: on a GPU that is not there (vendor.fake_tensorrt)


@pytest.fixture(params=ADAPTERS)
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    if request.param == "fake":
        return lambda: FakeEngine(SIDE_PX, MAX_BATCH)
    return _opener(request.param, _graph(tmp_path / "graph.onnx"), monkeypatch)


@pytest.fixture(params=ADAPTERS)
def poisoned(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """An engine that returns NaN for the second of the crops below."""
    if request.param == "fake":
        return lambda: FakeEngine(SIDE_PX, MAX_BATCH, Faults(nan_rows=[1]))
    return _opener(request.param, _graph(tmp_path / "graph.onnx", poison=True), monkeypatch)


def _opener(kind: str, graph: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    spec = EngineSpec(max_batch=MAX_BATCH)
    if kind == "tensorrt":
        spec = replace(spec, plan=fake_tensorrt.install(monkeypatch, graph, MAX_BATCH))
    return lambda: open_engine(kind, graph, spec)


def _crops(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (count, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def test_sizes_are_known_once_open(make: Open) -> None:
    with make() as engine:
        assert (engine.input_height_px, engine.input_width_px, engine.max_batch) == (SIDE_PX, SIDE_PX, MAX_BATCH)
        assert engine.dimension > 0


def test_rows_are_float32_of_unit_length(make: Open) -> None:
    with make() as engine:
        rows = engine.embed(_crops(3))
    assert rows.dtype == np.float32
    assert rows.shape == (3, engine.dimension)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


def test_a_batch_equals_its_crops_one_by_one(make: Open) -> None:
    crops = _crops(MAX_BATCH)
    with make() as engine:
        together = engine.embed(crops)
        alone = np.concatenate([engine.embed(crops[i : i + 1]) for i in range(MAX_BATCH)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=1e-3)


def test_the_same_crops_give_the_same_rows_in_a_new_engine(make: Open) -> None:
    with make() as engine:
        first = engine.embed(_crops(2))
    with make() as engine:
        second = engine.embed(_crops(2))
    np.testing.assert_array_equal(first, second)


def test_crops_that_are_a_view_are_embedded_as_their_copy(make: Open) -> None:
    mirrored = _crops(2)[:, :, ::-1]
    with make() as engine:
        np.testing.assert_array_equal(engine.embed(mirrored), engine.embed(mirrored.copy()))


@pytest.mark.parametrize(
    "crops",
    [
        _crops(1).astype(np.float32),
        _crops(1)[0],
        _crops(1)[:, :-1],
        _crops(1)[..., :1],
        _crops(1)[:0],
        np.concatenate([_crops(MAX_BATCH), _crops(1)]),
    ],
    ids=["float32", "no batch axis", "too low", "grey", "empty", "more than max_batch"],
)
def test_a_wrong_input_is_refused(make: Open, crops: NDArray[np.uint8]) -> None:
    with make() as engine, pytest.raises(EngineError, match=r"engine (input|batch) is"):
        engine.embed(crops)


def test_a_row_without_a_direction_comes_back_as_zeros(poisoned: Open) -> None:
    crops = _crops(3)
    crops[1, 0, 0, 0] = 255
    with poisoned() as engine:
        rows = engine.embed(crops)
    assert not rows[1].any()
    np.testing.assert_allclose(np.linalg.norm(rows[[0, 2]], axis=1), 1.0, atol=1e-5)


def test_it_works_only_inside_with(make: Open) -> None:
    engine = make()
    with engine:
        engine.embed(_crops(1))
    with pytest.raises(EngineError, match="not open"):
        engine.embed(_crops(1))


def test_closing_twice_and_opening_again_is_harmless(make: Open) -> None:
    engine = make()
    with engine:
        first = engine.embed(_crops(1))
    engine.__exit__(None, None, None)
    with engine:
        np.testing.assert_array_equal(engine.embed(_crops(1)), first)
