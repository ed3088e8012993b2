"""The ONNX detector: a real graph with known boxes, through the locator that a configuration names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.assembly import locator_of
from edge.config import Detector
from edge.engines.detector import open_detector
from edge.errors import ModelError
from edge.types import Frame

BOXES = np.array([[[10, 10, 30, 40], [11, 11, 30, 40], [40, 20, 60, 60]]], np.float32)
SCORES = np.array([[0.9, 0.8, 0.2]], np.float32)


def detector_graph(path: Path, shape: tuple[object, ...] = (1, 64, 64, 3)) -> Path:
    """Write a detector that finds the same three boxes in every picture."""
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["float"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["known_boxes", "nothing"], ["boxes"]),
        helper.make_node("Add", ["known_scores", "nothing"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, BOXES.shape),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, SCORES.shape),
        ],
        [
            numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
            numpy_helper.from_array(BOXES, "known_boxes"),
            numpy_helper.from_array(SCORES, "known_scores"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_boxes_become_regions_of_the_frame(tmp_path: Path) -> None:
    config = Detector(model=str(detector_graph(tmp_path / "d.onnx")), min_score=0.3, max_overlap=0.5)
    frame = Frame("cam", 0, np.zeros((128, 128, 3), np.uint8), 0, 0)
    with locator_of(config, threads=1) as locator:
        regions = locator.locate(frame)
    assert [(r.x, r.y, r.width, r.height) for r in regions] == [(20, 20, 40, 60)]


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, "H", "W", 3)])
def test_a_graph_of_another_form_is_refused(tmp_path: Path, shape: tuple[object, ...]) -> None:
    path = detector_graph(tmp_path / "d.onnx", shape)
    with pytest.raises(ModelError, match=r"expected one uint8 \[1, H, W, 3\]"), open_detector(path, 1):
        pass


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    for name in ("bad.onnx", "missing.onnx"):
        with pytest.raises(ModelError, match=name), open_detector(tmp_path / name, 1):
            pass
