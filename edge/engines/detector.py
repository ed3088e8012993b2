"""An ONNX detector on ONNX Runtime, for `locate: {kind: detector}`.

The graph takes uint8 (1, H, W, 3) BGR, H and W fixed, and returns boxes float32 (N, 4) or (1, N, 4) as x1, y1, x2, y2
in input pixels and scores (N,), (N, classes) or either with a leading 1. Normalisation belongs into the graph, as for
the embedding engine. Anything else is refused by name when it is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engines import EngineSpec
from edge.engines.ort import load_session, refuse_missing_runtime
from edge.errors import EngineError, ModelError, ShelfedgeError
from edge.types import Image

__all__ = ["OrtDetector", "open_detector"]


class OrtDetector:
    """A detector network, ready to run (`edge.locate.detector.DetectorModel`)."""

    def __init__(self, graph: Path, session: Any) -> None:
        self._graph = graph
        self._session = session
        inputs, outputs = session.get_inputs(), session.get_outputs()
        shape = inputs[0].shape
        fits = len(inputs) == 1 and len(outputs) == 2 and inputs[0].type == "tensor(uint8)" and len(shape) == 4
        if not fits or shape[3] != 3 or not all(isinstance(size, int) and size > 0 for size in shape[1:3]):
            found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            expected = "one uint8 [1, H, W, 3] in, boxes and scores out"
            raise ModelError(f"{graph}: {found} in, {len(outputs)} outputs, expected {expected}; export it so")
        self.input_height_px, self.input_width_px = shape[1], shape[2]
        self._input = inputs[0].name

    def run(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return boxes (N, 4) in input pixels and scores (N,) or (N, classes); raises EngineError."""
        try:
            boxes, scores = (_without_batch(array) for array in self._session.run(None, {self._input: image[None]}))
        except ShelfedgeError:
            raise
        except Exception as error:  # noqa: BLE001  # the vendor's errors share no base class
            raise EngineError(f"{self._graph}: detector failed: {error}") from None
        return boxes, scores


@contextmanager
def open_detector(graph: Path, threads: int) -> Iterator[OrtDetector]:
    """Yield the detector of an ONNX file; raises ModelError for a file that is none, EngineError without a runtime."""
    refuse_missing_runtime()
    try:
        session = load_session(graph, EngineSpec(threads=threads, max_batch=1))
    except EngineError as error:  # a person named this file; no bundle vouches for it
        raise ModelError(str(error)) from None
    yield OrtDetector(graph, session)


def _without_batch(array: NDArray[Any]) -> NDArray[np.float32]:
    squeezed = (
        array[0] if array.ndim == 3 or (array.ndim == 2 and array.shape[0] == 1 and array.shape[1] != 4) else array
    )
    return np.asarray(squeezed, np.float32)
