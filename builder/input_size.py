"""A backbone at another input size than it was exported with: for networks that are convolutions to the end.

The size in the graph's input is changed and what it says of shapes behind is dropped. Whether the network takes it is
found by running it once: a network with a place for each position (a transformer's embedding, a flattened map before a
matrix product) fails there, and is refused with its own size named. Its output keeps its length.

Limits: pooling over a fixed window (7 x 7 instead of global) runs at another size and means another thing. It is
refused where the output's shape changes, and not noticed where it does not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from builder.onnx_checks import input_of, size_of
from edge.errors import ModelError

__all__ = ["with_size"]


def with_size(path: Path, model: onnx.ModelProto, layout: str, size: tuple[int, int]) -> onnx.ModelProto:
    """Return a copy of a checked backbone that takes pictures of `size` (height, width); raises ModelError."""
    own = size_of(path, model, layout)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    dims = input_of(changed).type.tensor_type.shape.dim
    first = 2 if layout == "nchw" else 1
    dims[first].dim_value, dims[first + 1].dim_value = size
    del changed.graph.value_info[:]
    if _output_shapes(changed) != _output_shapes(model):
        raise ModelError(
            f"{path}: does not take {size[1]} x {size[0]} pixels, it was exported for {own[1]} x {own[0]} and is not "
            "convolutional to its end; export it at that size"
        )
    return changed


def _output_shapes(model: onnx.ModelProto) -> list[tuple[int, ...]] | None:
    """Return the shapes that one blank picture gives; None where the network cannot be run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        source = session.get_inputs()[0]
        blank = np.zeros([size if isinstance(size, int) else 1 for size in source.shape], np.float32)
        return [value.shape for value in session.run(None, {source.name: blank})]
    except Exception:  # noqa: BLE001  # the vendor's errors share no base class; the caller says what it means
        return None
