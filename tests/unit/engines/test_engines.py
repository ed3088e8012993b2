from __future__ import annotations

import builtins
import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge.engines import EngineSpec, open_engine
from edge.engines.fake import FakeEngine, Faults
from edge.engines.ort import OrtEngine
from edge.errors import BundleError, EngineError


def _identity(path: Path, kind: int = TensorProto.UINT8, shape: tuple[object, ...] = ("N", 4, 4, 3)) -> Path:
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "identity",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BundleError, match="'tensorflow' is not known, expected one of onnxruntime"):
        open_engine("tensorflow", Path("x.onnx"), EngineSpec())


def test_a_bundle_cannot_ask_for_the_fake() -> None:
    with pytest.raises(BundleError, match="not known"):
        open_engine("fake", Path("x.onnx"), EngineSpec())


def test_construction_touches_neither_the_file_nor_the_runtime(tmp_path: Path) -> None:
    engine = open_engine("onnxruntime", tmp_path / "absent.onnx", EngineSpec())
    with pytest.raises(EngineError, match="no such file"):
        engine.__enter__()


@pytest.mark.parametrize("content", [b"", b"not a graph at all", None], ids=["empty", "text", "truncated"])
def test_a_damaged_graph_is_an_engine_error(tmp_path: Path, content: bytes | None) -> None:
    path = _identity(tmp_path / "graph.onnx")
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(EngineError, match=r"graph\.onnx"):
        OrtEngine(path, EngineSpec()).__enter__()


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (TensorProto.FLOAT, ("N", 4, 4, 3)),
        (TensorProto.UINT8, ("N", 3, 4, 4)),
        (TensorProto.UINT8, ("N", "H", "W", 3)),
        (TensorProto.UINT8, (1, 4, 4, 3)),
        (TensorProto.UINT8, ("N", 48)),
    ],
    ids=["float input", "channels first", "free size", "fixed batch", "rank 2"],
)
def test_a_graph_of_another_kind_is_refused(tmp_path: Path, kind: int, shape: tuple[object, ...]) -> None:
    path = _identity(tmp_path / "graph.onnx", kind, shape)
    with pytest.raises(EngineError, match="expected one"):
        OrtEngine(path, EngineSpec()).__enter__()


def test_a_missing_runtime_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"pip install 'shelfedge\[onnxruntime\]'"):
        OrtEngine(_identity(tmp_path / "graph.onnx"), EngineSpec()).__enter__()


def test_importing_the_adapter_needs_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: str, *rest: object, **named: object) -> ModuleType:
        assert not name.startswith("onnxruntime")
        return real(name, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", guarded)
    for module in ("edge.engines.ort", "edge.engines"):
        monkeypatch.delitem(sys.modules, module)
        importlib.import_module(module)


def test_a_runtime_failure_of_the_vendor_becomes_an_engine_error(tmp_path: Path) -> None:
    class Broken:
        def run(self, *_: object) -> None:
            raise RuntimeError("out of memory")

    with OrtEngine(_identity(tmp_path / "graph.onnx"), EngineSpec()) as engine:
        engine._session = Broken()  # type: ignore[attr-defined]
        with pytest.raises(EngineError, match="out of memory"):
            engine.embed(np.ones((1, 4, 4, 3), np.uint8))


def test_the_fake_fails_after_as_many_calls_as_it_was_told() -> None:
    crops = np.ones((1, 32, 32, 3), np.uint8)
    with FakeEngine(faults=Faults(fail_after=2)) as engine:
        engine.embed(crops)
        engine.embed(crops)
        with pytest.raises(EngineError, match="told to fail after 2"):
            engine.embed(crops)


def test_the_fake_puts_alike_crops_near_each_other() -> None:
    random = np.random.default_rng(0)
    crop = random.integers(0, 256, (1, 8, 8, 3)).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    noisy = np.clip(crop.astype(int) + random.integers(-5, 6, crop.shape), 0, 255).astype(np.uint8)
    with FakeEngine() as engine:
        same, near, far = engine.embed(np.concatenate([crop, noisy, crop[:, ::-1]]))
    assert same @ near > 0.99
    assert same @ far < 0.9


def test_a_plain_crop_has_a_direction_in_the_fake() -> None:
    with FakeEngine() as engine:
        assert engine.embed(np.full((1, 32, 32, 3), 127, np.uint8)).any()
