"""The graph of the lookup on a GPU: ONNX Runtime gives `edge.lookup`'s bits with it, TensorRT takes it in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_build_trt_graph import compiled, needs_compiler

from builder import trt_lookup
from builder.lookup_graph import FILE, lookup_graph
from builder.trt_lookup import table_shape
from edge import lookup
from edge.engines import trt_lookup as device
from edge.parameters import PrototypeTable


def session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(trt_lookup.GRAPH), options, providers=["CPUExecutionProvider"])


class OnCpu:
    """The graph where the GPU would be: the same table layout and query planes, ONNX Runtime computes."""

    name, held_bytes = "onnxruntime", 0

    def __init__(self, table: PrototypeTable) -> None:
        self._classes, shape = int(table.owners[-1]) + 1, table_shape(table)
        self._table = device._laid_out(table, shape, Path("plan"))
        self._session = session()

    def __call__(self, queries: NDArray[np.int16]) -> NDArray[np.float32]:
        planes = device._planes(queries, self._table.shape[2])
        found: NDArray[np.float32] = self._session.run(None, {"planes": planes, "table": self._table})[0]
        return found[:, : self._classes].copy()


def made(seed: int, sizes: list[int], dimension: int) -> PrototypeTable:
    owners = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    rows = np.random.default_rng(seed).integers(-127, 128, (len(owners), dimension))
    return PrototypeTable(rows.astype(np.int8), 0.0053, owners)


def test_the_file_is_what_the_code_makes() -> None:
    assert trt_lookup.GRAPH == FILE
    found = onnx.load(FILE)
    onnx.checker.check_model(found, full_check=True)
    assert found == lookup_graph()


@given(st.integers(0, 10_000), st.lists(st.integers(1, 5), min_size=1, max_size=9), st.integers(1, 200))
@settings(deadline=None, max_examples=40)
def test_it_gives_the_hosts_bits_for_any_table_and_any_row(seed: int, sizes: list[int], dimension: int) -> None:
    table = made(seed, sizes, dimension)
    rows = np.random.default_rng(seed).normal(size=(6, dimension)).astype(np.float32)
    rows[1], rows[2, 0], rows[3, -1], rows[4] = 0, np.nan, np.inf, rows[4] * np.float32(1e-20)
    there, here = lookup.index_from_table(table, OnCpu(table)), lookup.index_from_table(table)
    np.testing.assert_array_equal(lookup.similarities(there, rows), lookup.similarities(here, rows))
    assert lookup.agrees(table, there.nearest, rows)


def test_the_longest_rows_and_the_largest_values_stay_exact() -> None:
    """Sums beyond 2^24, where float32 rounds: once, to even, like the host's integer."""
    width = device.MAX_DIMENSION
    table = made(1, [3, 1, 2], width)
    table.prototypes[0] = 127
    rows = np.random.default_rng(2).normal(size=(40, width)).astype(np.float32)
    rows[0] = 1
    there, here = lookup.index_from_table(table, OnCpu(table)), lookup.index_from_table(table)
    found = lookup.similarities(there, rows)
    np.testing.assert_array_equal(found, lookup.similarities(here, rows))
    assert found[0, 0] == pytest.approx(127 * width * table.scale)
    assert 2047 * 127 * width > 2**24


@needs_compiler
@pytest.mark.parametrize("size", [(2000, 4, 192), (7, 3, 50)])
def test_tensorrt_multiplies_the_table_as_it_lies_in_int8(size: tuple[int, int, int]) -> None:
    """Compiled for a GPU that is not there: what its units add up is shown by no compiler."""
    found = compiled("--lookup", *map(str, size))
    assert found["error"] == ""
    assert found["products"].keys() == {"Int8"}
    assert not found["copies"]


@pytest.mark.parametrize(("sizes", "dimension", "shape"), [([2, 1], 5, (2, 64, 16)), ([4] * 2000, 192, (4, 2304, 192))])
def test_there_is_room_for_products_to_come(sizes: list[int], dimension: int, shape: tuple[int, ...]) -> None:
    assert table_shape(made(0, sizes, dimension)) == shape
