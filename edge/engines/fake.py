"""An engine without a network, for tests of everything around engines: same port, deterministic, faults on demand.

A crop's embedding is its block means, centred: equal crops have equal rows, alike crops have near rows. It says nothing
about products.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from edge.errors import EngineError
from edge.ports import Engine
from edge.types import Crops, Embeddings

__all__ = ["FakeEngine", "Faults"]

BLOCKS = 4  # per side; with 3 colours that makes the dimension
DIMENSION = BLOCKS * BLOCKS * 3


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong: every call after the first `fail_after` fails; the rows `nan_rows` of every batch are NaN."""

    fail_after: int | None = None
    nan_rows: Collection[int] = ()


class FakeEngine(Engine):
    """Block means of the crop as an embedding of 48 dimensions. `calls` counts the batches that were asked for."""

    def __init__(self, side_px: int = 32, max_batch: int = 8, faults: Faults | None = None) -> None:
        if side_px < BLOCKS:
            raise ValueError(f"side_px is {side_px}, expected at least {BLOCKS}")
        self.input_height_px = side_px
        self.input_width_px = side_px
        self.dimension = DIMENSION
        self.max_batch = max_batch
        self.calls = 0
        self._faults = faults or Faults()
        self._is_open = False

    def _open(self) -> None:
        self._is_open = True

    def _close(self) -> None:
        self._is_open = False

    def _embed(self, crops: Crops) -> Embeddings:
        if not self._is_open:
            raise EngineError("fake engine is not open; use it inside `with`")
        self.calls += 1
        if self._faults.fail_after is not None and self.calls > self._faults.fail_after:
            raise RuntimeError(f"told to fail after {self._faults.fail_after} calls")
        rows = _block_means(crops)
        for row in self._faults.nan_rows:
            if row < len(rows):
                rows[row] = np.nan
        return rows


def _block_means(crops: Crops) -> Embeddings:
    edges = np.linspace(0, crops.shape[1], BLOCKS + 1).astype(int)
    sums = np.add.reduceat(np.add.reduceat(crops.astype(np.float32), edges[:-1], axis=1), edges[:-1], axis=2)
    areas = np.outer(np.diff(edges), np.diff(edges))[None, :, :, None]
    means = (sums / areas).reshape(len(crops), -1)
    # The last term keeps a plain grey crop from having no direction at all.
    centred: Embeddings = means - means.mean(axis=1, keepdims=True) + np.float32(1e-3)
    return centred.astype(np.float32)
