"""Small real things for tests: products that are colour patterns, the engine that tells them apart, and their bundle.

The engine is a real ONNX graph run by ONNX Runtime: the mean colours of a 4 x 4 grid, centred. A product is a seeded
4 x 4 pattern of colours, so different products are nearly orthogonal and a picture of one is certain.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.build_folder import InputSpec
from edge.bundle import ENGINE_GRAPH, BundleInfo, Golden, Rules, read_bundle, write_bundle, write_parameters
from edge.engine_row import split_rows
from edge.engines import EngineSpec, open_reference
from edge.parameters import ClassInfo, ConfidenceModel, Cuts, OodModel, PrototypeTable, QualityLimits
from edge.types import EngineRows, Image

SIDE_PX = 32
GRID = 4
DIMENSION = GRID * GRID * 3


def product(number: int, width: int = 96, height: int = 96) -> Image:
    """Return the picture of product `number`: a (height, width, 3) pattern, sharp enough for the quality gate."""
    pattern = np.random.default_rng(1000 + number).integers(0, 256, (GRID, GRID, 3), np.uint8)
    rows = np.arange(height) * GRID // height
    columns = np.arange(width) * GRID // width
    return np.ascontiguousarray(pattern[rows][:, columns])


def grey(width: int = 96, height: int = 96) -> Image:
    """Return a picture of nothing."""
    return np.full((height, width, 3), 127, np.uint8)


def colour_graph(path: Path, output: str = "rows") -> Path:
    """Write a graph: uint8 (N, 32, 32, 3) -> float32 (N, 48) features, or (N, 49) rows of an engine with a head.

    The expected similarity of such rows is 0.
    """
    side = SIDE_PX // GRID
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["grid"], kernel_shape=[side, side], strides=[side, side]),
        helper.make_node("Flatten", ["grid"], ["flat"]),
        helper.make_node("Sub", ["flat", "middle"], ["centred"]),
        helper.make_node("Pad", ["centred", "pads"], [output]),
    ]
    more = int(output == "rows")
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIDE_PX, SIDE_PX, 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", DIMENSION + more])],
        [
            numpy_helper.from_array(np.array(127.0, np.float32), "middle"),
            numpy_helper.from_array(np.array([0, 0, 0, more], np.int64), "pads"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def classes(count: int) -> tuple[ClassInfo, ...]:
    """Return products called sku-000, sku-001, ..."""
    return tuple(ClassInfo(f"sku-{n:03d}", f"Product {n}", "box", "", "active", "head") for n in range(count))


def rules(count: int) -> Rules:
    """Return rules that accept a sure and near crop of any product."""
    filled = lambda value: np.full(count, value, np.float32)  # noqa: E731  # three uses, one line
    cuts = Cuts(
        accept_confidence=filled(0.9),
        accept_strangeness=filled(0.2),
        strict_confidence=filled(0.95),
        strict_strangeness=filled(0.1),
        verify_confidence=filled(0.3),
        source=("global",) * count,
        isolated_below=-np.inf,
        twin=np.full(count, -1, np.int32),
        successor=np.full(count, -1, np.int32),
        set_gap=0.1,
        set_error=0.05,
        max_set=5,
    )
    confidence = ConfidenceModel(4.0, 12.0, -6.0, np.zeros(count, np.float32))
    return Rules(confidence, cuts, OodModel("max_cosine", 0.5, 0.05), QualityLimits(16, 5.0))


def write_sample_bundle(
    path: Path,
    count: int = 6,
    changed_rules: Rules | None = None,
    engine: str = "onnxruntime",
    network_mib: float = 0.0,
    golden_rows: Callable[[EngineRows], EngineRows] = np.copy,
) -> Path:
    """Write a bundle of `count` products, one prototype each, made by the very engine that runs, or its reference.

    `golden_rows` spoils what the golden crops are said to give.
    """
    content = BundleInfo(
        engine=engine,
        backbone="colours",
        build_id="0" * 16,
        input=InputSpec(height_px=SIDE_PX, width_px=SIDE_PX, resize="stretch"),
        dimension=DIMENSION,
        max_batch=4,
        classes=count,
        promise={},
        network_mib=network_mib,
    )
    crops = np.stack([product(number, SIDE_PX, SIDE_PX) for number in range(count)])
    with write_bundle(path, content) as folder:
        graph = colour_graph(folder / ENGINE_GRAPH)
        with open_reference(engine, graph, EngineSpec(threads=1, max_batch=count)) as reference:
            rows = reference.embed(crops)
        embeddings = split_rows(rows)[0]
        scale = float(np.abs(embeddings).max()) / 127
        table = PrototypeTable(np.round(embeddings / scale).astype(np.int8), scale, np.arange(count, dtype=np.int32))
        golden = Golden(crops[:2], golden_rows(rows[:2]))
        write_parameters(folder, classes(count), table, changed_rules or rules(count), golden)
    return path


def sample_bundle(path: Path, count: int = 6):
    """Write and read a sample bundle."""
    return read_bundle(write_sample_bundle(path, count))
