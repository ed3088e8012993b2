"""The lookup compiled for the GPU, with room for products that are enrolled later.

The table is no part of what is compiled: it is an input that lies on the GPU, so enrolling compiles nothing. Its sizes
are fixed, in steps that integer matrix units take as they are (with free sizes TensorRT-RTX copies the table for every
query): more products than there are, dimensions filled up with zeros.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from builder.trt_engine import Compiled, Order, compile_graph
from edge.engines.trt_lookup import MAX_DIMENSION, PLANES, TABLE
from edge.errors import ModelError
from edge.parameters import PrototypeTable

__all__ = ["GRAPH", "compile_lookup", "lookup_order", "table_shape"]

GRAPH = Path(__file__).with_name("lookup.onnx")
ROOM = 8  # one product more for every so many
CLASSES_STEP, DIMENSION_STEP = 64, 16


def compile_lookup(trt: Any, table: PrototypeTable, order: Order) -> Compiled:
    """Compile the lookup for tables of the size of `table` and somewhat larger ones; raises as `compile_graph`."""
    return compile_graph(trt, GRAPH.read_bytes(), lookup_order(table, order), lambda *_: True)


def lookup_order(table: PrototypeTable, order: Order) -> Order:
    """Return the order with the sizes fixed; raises ModelError for a table whose sums would not be exact."""
    shape = table_shape(table)
    if shape[2] > MAX_DIMENSION:
        raise ModelError(f"embeddings of {shape[2]} values, expected {MAX_DIMENSION} at most; search on the CPU")
    return replace(order, shapes={TABLE: shape, PLANES: (-1, 2, shape[2])})


def table_shape(table: PrototypeTable) -> tuple[int, int, int]:
    """Return prototypes, products and dimensions to compile for."""
    counts = np.bincount(table.owners)
    classes = len(counts) + len(counts) // ROOM + 1
    return int(counts.max()), _up(classes, CLASSES_STEP), _up(table.prototypes.shape[1], DIMENSION_STEP)


def _up(size: int, step: int) -> int:
    return -(-size // step) * step
