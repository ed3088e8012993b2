"""Is this file a backbone that the builder can work with? Every refusal says what was found and how to mend it.

Checked, in this order: readable and whole; external data inside the model's folder; only standard operators of a known
opset; valid for ONNX's own checker; one float32 input of rank 4 with a free batch axis and fixed height, width and
three channels; finite weights; whether opset 17 has words for it. Left to others: whether the graph runs and does so
without control flow (`builder.optimise`), and sizes that are free inside (`builder.taps`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no stubs
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data
from onnx.helper import tensor_dtype_to_np_dtype

from builder.opset import EXPORT, OPSETS, in_target_opset, opset_of
from builder.wiring import shape_of
from edge.errors import ModelError

__all__ = ["input_of", "load_backbone", "size_of"]

MAX_BYTES = 2**31 - 1  # protobuf's own limit
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def load_backbone(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX file, its external data loaded; raises ModelError."""
    model = _parse(path)
    if model.functions:  # of exporters that name whole modules
        model = onnx.inliner.inline_local_functions(model)
    _load_external_data(path, model)
    _refuse_operators(path, model)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: not a valid ONNX graph ({_one_line(error)}); export it again") from None
    _refuse_input(path, model)
    _refuse_weights(path, model)
    return in_target_opset(path, model)


def input_of(model: onnx.ModelProto) -> Any:
    """Return the one graph input that is not a weight."""
    return _inputs(model)[0]


def size_of(path: Path, model: onnx.ModelProto, layout: str) -> tuple[int, int]:
    """Return (height, width) in pixels of the input; raises ModelError where `layout` does not fit its shape."""
    shape = shape_of(input_of(model))
    assert shape is not None  # load_backbone refused any other
    channels, height, width = (shape[1], shape[2], shape[3]) if layout == "nchw" else (shape[3], shape[1], shape[2])
    if channels != 3:
        raise ModelError(f"{path}: input {_text(shape)} with layout {layout} has {channels} channels, expected 3")
    if height is None or width is None:
        raise ModelError(f"{path}: input {_text(shape)} leaves height or width free; export it with a fixed size")
    return height, width


def _parse(path: Path) -> onnx.ModelProto:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path}: larger than 2 GiB, expected a backbone for an edge device")
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; give the path of an ONNX model") from None
    except DecodeError:
        raise ModelError(f"{path}: not an ONNX model, or cut short; copy or export it again") from None
    if not model.graph.node:
        raise ModelError(f"{path}: holds no network (empty graph); copy or export it again")
    return model


def _load_external_data(path: Path, model: onnx.ModelProto) -> None:
    folder = path.resolve().parent
    for name, tensor in _tensors(model):
        if not uses_external_data(tensor):
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        file = (folder / location).resolve()
        if not file.is_relative_to(folder) or file == folder:
            raise ModelError(f"{path}: weight {name} lies in {location!r}, outside the model's folder; refused")
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(f"{path}: weight {name}: {location!r} cannot be read ({_one_line(error)})") from None
        expected = int(np.prod(tensor.dims, dtype=np.int64)) * tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if len(tensor.raw_data) != expected:
            found = f"{len(tensor.raw_data)} bytes of {location!r}"
            raise ModelError(f"{path}: weight {name} has {found}, expected {expected}; copy or export it again")
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _refuse_operators(path: Path, model: onnx.ModelProto) -> None:
    foreign = [f"{n.domain}.{n.op_type} {_called(n)}" for n in model.graph.node if n.domain not in ("", "ai.onnx")]
    if foreign:
        found = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        raise ModelError(f"{path}: operators outside standard ONNX ({found}); export without them")
    if opset_of(model) not in OPSETS:
        raise ModelError(f"{path}: opset {opset_of(model)}, expected {OPSETS[0]} to {OPSETS[-1]}; {EXPORT}")


def _refuse_input(path: Path, model: onnx.ModelProto) -> None:
    inputs = _inputs(model)
    if len(inputs) != 1:
        names = ", ".join(i.name for i in inputs) or "none"
        raise ModelError(f"{path}: {len(inputs)} inputs ({names}), expected one: the picture; export it so")
    image = inputs[0]
    kind = image.type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        found = TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else f"type {kind}"
        raise ModelError(f"{path}: input {image.name} is {found}, expected float; export it without preprocessing")
    shape = shape_of(image)
    if shape is None or len(shape) != 4:
        raise ModelError(f"{path}: input {image.name} is {_text(shape)}, expected rank 4, (N, 3, H, W) or (N, H, W, 3)")
    if shape[0] is not None:
        mend = f"export with dynamic_axes={{'{image.name}': {{0: 'N'}}}}"
        found = f"input {image.name} is {_text(shape)}, a fixed batch of {shape[0]}"
        raise ModelError(f"{path}: {found}, expected a free first axis; {mend}")


def _refuse_weights(path: Path, model: onnx.ModelProto) -> None:
    for name, tensor in _tensors(model):
        if tensor.data_type not in FLOATS:
            continue
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"{path}: weight {name} is damaged ({_one_line(error)}); copy or export it again"
            ) from None
        if not np.isfinite(values.astype(np.float64)).all():
            found = f"weight {name}{_reader(model, name)} holds NaN or infinity"
            raise ModelError(f"{path}: {found}; export a model that was trained to its end")


def _inputs(model: onnx.ModelProto) -> list[Any]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in weights]


def _tensors(model: onnx.ModelProto) -> Iterator[tuple[str, Any]]:
    """Yield the name and the tensor of every weight and every Constant node."""
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node in model.graph.node:
        for one in node.attribute:
            if one.type == onnx.AttributeProto.TENSOR:
                yield next(iter(node.output), node.name), one.t


def _reader(model: onnx.ModelProto, weight: str) -> str:
    """Return the first node that reads a weight, as a clause."""
    return next((f" of {n.op_type} {_called(n)}" for n in model.graph.node if weight in n.input), "")


def _called(node: Any) -> str:
    return str(node.name) or str(next(iter(node.output), "without a name"))


def _text(shape: tuple[int | None, ...] | None) -> str:
    if shape is None:
        return "of unknown rank"
    return "(" + ", ".join("free" if size is None else str(size) for size in shape) + ")"


def _one_line(error: BaseException) -> str:
    with contextlib.suppress(IndexError):
        return str(error).strip().splitlines()[0][:200]
    return type(error).__name__
