"""Small networks made ready for quantisation, and pictures with the structure that a network keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from builder.features import append_features
from builder.fold import Folded, fold
from builder.optimise import optimised
from builder.photos import in_batches
from builder.ranges import find_ranges
from builder.sidecar import Preprocess
from builder.taps import find_taps

PATH = Path("m.onnx")
LITE = Preprocess(color="rgb", mean=(127,) * 3, std=(128,) * 3, layout="nchw", resize="stretch")
IMAGENET = Preprocess(
    color="rgb", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), layout="nchw", resize="stretch"
)


def images(count: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth coloured blobs: noise has no structure that a network could keep."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, side // 8, side // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def graphs(given: onnx.ModelProto, preprocess: Preprocess) -> tuple[Folded, onnx.ModelProto]:
    """The folded network, and the same with features."""
    model = optimised(PATH, given)
    size = given.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    folded = fold(model, preprocess, (size, size))
    return folded, append_features(folded.model, find_taps(PATH, model))[0]


def ranges_of(model: onnx.ModelProto, side: int, heard: list[int] | None = None) -> Any:
    """The ranges of twenty pictures; `heard` collects the numbers of photos that were reported."""
    said = [] if heard is None else heard
    return find_ranges(PATH, model, in_batches(images(20, side)), said.append)


def run(model: onnx.ModelProto, crops: NDArray[np.uint8], as_written: bool = False) -> NDArray[np.float32]:
    """Features of the crops on the CPU; `as_written`: no operator is fused with its Q/DQ."""
    options = onnxruntime.SessionOptions()
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rows: NDArray[np.float32] = session.run(None, {"images": crops})[0]
    return rows
