from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from calibration_worlds import ArrayRows, fit_head, picture, write_tiny_build

from calibration.space.expected import Expectation
from calibration.space.head import Head, project
from calibration.space.head_graph import append_head, check_head_graph, cut_head
from edge.build_folder import read_build
from edge.engine_row import split_rows
from edge.engines import EngineSpec, open_engine
from edge.errors import BundleError, EngineError
from edge.preprocess import fit

EXPECTATION = Expectation(np.linspace(-0.3, 0.3, 48).astype(np.float32), 0.7, 1.0, 0.5)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray, Head]:
    """Return the build's graph, crops, their features and a head fitted on them."""
    build = read_build(write_tiny_build(tmp_path / "build"))
    crops = np.stack([fit(picture(n, s), build.info.input) for n in range(4) for s in range(2)])
    with open_engine("onnxruntime", build.graph, EngineSpec()) as engine:
        features = engine.embed(crops)
    labels = np.repeat(np.arange(4), 2).astype(np.int32)
    return build.graph, crops, features, fit_head(ArrayRows(features), np.arange(8), labels, 16)


def test_graph_with_head_gives_the_heads_embeddings(
    made: tuple[Path, np.ndarray, np.ndarray, Head], tmp_path: Path
) -> None:
    graph, crops, features, head = made
    append_head(graph, head, EXPECTATION, tmp_path / "engine.onnx")
    onnx.checker.check_model(str(tmp_path / "engine.onnx"), full_check=True)
    with open_engine("onnxruntime", tmp_path / "engine.onnx", EngineSpec()) as engine:
        assert engine.dimension == head.dimension + 1
        found = check_head_graph(engine, crops, features, head, EXPECTATION)
    embeddings, expected = split_rows(found)
    np.testing.assert_allclose(embeddings, project(head, features), atol=1e-5)
    np.testing.assert_allclose(expected, features @ EXPECTATION.weights + 0.7, atol=1e-5)
    assert [o.name for o in onnx.load(tmp_path / "engine.onnx").graph.output] == ["rows"]


def test_a_row_does_not_depend_on_the_crops_beside_it(
    made: tuple[Path, np.ndarray, np.ndarray, Head], tmp_path: Path
) -> None:
    graph, _, _, head = made
    append_head(graph, head, EXPECTATION, tmp_path / "engine.onnx")
    side = read_build(graph.parent).info.input
    crops = np.stack([fit(picture(n, 100 + s), side) for n in range(8) for s in range(8)])
    with open_engine("onnxruntime", tmp_path / "engine.onnx", EngineSpec()) as engine:
        alone = np.concatenate([engine.embed(crops[n : n + 1]) for n in range(64)])
        for size in range(2, 9):
            shared = np.concatenate([engine.embed(crops[n : n + size]) for n in range(0, 64, size)])
            np.testing.assert_array_equal(shared, alone)


def test_a_graph_with_another_head_is_refused(made: tuple[Path, np.ndarray, np.ndarray, Head], tmp_path: Path) -> None:
    graph, crops, features, head = made
    append_head(graph, head, EXPECTATION, tmp_path / "engine.onnx")
    moved = Head(head.mean + 0.05, head.projection, head.method, head.shrinkage, head.photos)
    narrow = Head(head.mean, head.projection[:, :5], head.method, head.shrinkage, head.photos)
    with open_engine("onnxruntime", tmp_path / "engine.onnx", EngineSpec()) as engine:
        with pytest.raises(EngineError, match="differs from the fitted head"):
            check_head_graph(engine, crops, features, moved, EXPECTATION)
        with pytest.raises(EngineError, match="expected"):
            check_head_graph(engine, crops, features, narrow, EXPECTATION)


def test_only_a_builds_graph_takes_a_head(made: tuple[Path, np.ndarray, np.ndarray, Head], tmp_path: Path) -> None:
    graph, _, _, head = made
    append_head(graph, head, EXPECTATION, tmp_path / "once.onnx")
    with pytest.raises(BundleError, match="outputs rows"):
        append_head(tmp_path / "once.onnx", head, EXPECTATION, tmp_path / "twice.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(BundleError, match="not an ONNX graph"):
        append_head(tmp_path / "junk.onnx", head, EXPECTATION, tmp_path / "out.onnx")


def test_a_backbone_with_a_head_of_its_own_is_cut_back_whole(
    made: tuple[Path, np.ndarray, np.ndarray, Head], tmp_path: Path
) -> None:
    graph, crops, features, head = made
    model = onnx.load(graph)
    old = model.graph.node[0].output[0]
    for node in model.graph.node:  # EfficientNet-Lite0's last layers are called head/...
        node.input[:] = [f"head/{name}" if name == old else name for name in node.input]
        node.output[:] = [f"head/{name}" if name == old else name for name in node.output]
    model.graph.node[0].name = "head/relu6"
    onnx.save(model, tmp_path / "named.onnx")
    append_head(tmp_path / "named.onnx", head, EXPECTATION, tmp_path / "engine.onnx")
    back = cut_head(tmp_path / "engine.onnx", tmp_path / "features.onnx")
    np.testing.assert_array_equal(back.projection, head.projection)
    with open_engine("onnxruntime", tmp_path / "features.onnx", EngineSpec()) as engine:
        np.testing.assert_allclose(engine.embed(crops), features, atol=1e-6)
