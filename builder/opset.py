"""The operator set of the graphs that are made: 17 at most, IR 8 at most, which TensorRT 8.5 (JetPack 5) still reads.

Older backbones (before 13) are converted by ONNX's own converter. Newer ones are brought down here, for that converter
has no way back for common operators: an operator that ONNX defines by others is written out (Gelu becomes Erf and
products), axes of a reduction become its attribute again, a Split into equal parts needs no number; all else must be
the same in opset 17, as far as it is used. What is not is refused by the node's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from onnx import defs, helper

from builder.wiring import Wiring, attribute
from edge.errors import ModelError

__all__ = ["OPSETS", "TARGET", "in_target_opset", "opset_of"]

OPSETS = range(11, 22)  # 11 has what the quantiser rests on; 21 is the newest that this version was tested with
TARGET = 17
NEEDED = 13  # per-channel DequantizeLinear came with it
IR = 8
NEWER_VALUES = {  # of attributes that were there before
    ("Resize", "coordinate_transformation_mode"): {b"half_pixel_symmetric"},
    ("Pad", "mode"): {b"wrap"},
    ("ScatterND", "reduction"): {b"max", b"min"},
    ("ScatterElements", "reduction"): {b"max", b"min"},
}
EXPORT = f"export with opset {TARGET}"


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the standard operators that a model asks for; 0 where it names none."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def in_target_opset(path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a checked model in an opset from NEEDED to TARGET; raises ModelError, naming `path` and the node."""
    version = opset_of(model)
    if NEEDED <= version <= TARGET:
        return model
    try:
        result = _raised(model) if version < NEEDED else _lowered(path, model)
        onnx.checker.check_model(result)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001  # converter and checker raise RuntimeError, their own and plain C++ errors
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path}: opset {version} cannot be converted to {TARGET} ({reason}); {EXPORT}") from None
    return result


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.version_converter.convert_version(model, TARGET)


def _lowered(path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    version = opset_of(model)
    newer = sorted({node.op_type for node in model.graph.node if _is_defined_by_others(node.op_type, version)})
    written_out = [("", kind) for kind in newer]
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    if newer:
        for weight in model.graph.initializer:  # the inliner wants types and does not look for them here
            lowered.graph.value_info.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
        lowered = onnx.inliner.inline_selected_functions(lowered, written_out, inline_schema_functions=True)
    wiring = Wiring(lowered)
    for node in lowered.graph.node:
        if node.op_type.startswith("Reduce"):
            _axes_as_attribute(wiring, node)
        elif node.op_type == "Split":
            _without_count(wiring, node)
        _refuse_newer(path, node, version)
    del lowered.opset_import[:]
    lowered.opset_import.append(helper.make_opsetid("", TARGET))
    lowered.ir_version = min(lowered.ir_version, IR)
    return lowered


def _is_defined_by_others(kind: str, version: int) -> bool:
    """Whether TARGET has no such operator, but its definition is a graph of others."""
    if not defs.has(kind) or _schema(kind, TARGET) is not None:
        return False
    schema = _schema(kind, version)
    return schema is not None and bool(schema.has_function or schema.has_context_dependent_function)


def _axes_as_attribute(wiring: Wiring, node: Any) -> None:
    """ReduceSum alone took its axes as an input before 18; an axis that is computed stays where it is."""
    axes = wiring.constant(node.input[1]) if len(node.input) > 1 else None
    if axes is None or node.op_type == "ReduceSum":
        return
    if axes.size or not attribute(node, "noop_with_empty_axes", 0):
        _drop(node, "noop_with_empty_axes")
        del node.input[1:]
        if axes.size:
            node.attribute.append(helper.make_attribute("axes", [int(axis) for axis in axes.reshape(-1)]))


def _without_count(wiring: Wiring, node: Any) -> None:
    """Parts are equal without being told so, where they are."""
    count, shape = attribute(node, "num_outputs"), wiring.shape(node.input[0])
    size = shape[attribute(node, "axis", 0)] if shape else None
    if count and size is not None and size % count == 0 and len(node.output) == count:
        _drop(node, "num_outputs")


def _refuse_newer(path: Path, node: Any, version: int) -> None:
    schema = _schema(node.op_type, TARGET)
    found = f"{node.op_type} {node.name or node.output[0]}"
    if schema is None:
        raise ModelError(f"{path}: {found} is of opset {version}, expected operators of {TARGET}; {EXPORT}")
    newer = [
        one.name
        for one in node.attribute
        if one.name not in schema.attributes or one.s in NEWER_VALUES.get((node.op_type, one.name), ())
    ]
    if newer or not _counts(node.input, schema.min_input, schema.max_input):
        what = f"attribute {newer[0]}" if newer else f"{len(node.input)} inputs"
        raise ModelError(f"{path}: {found} has {what} as it came after opset {TARGET}; {EXPORT}")


def _counts(names: Sequence[str], least: int, most: int) -> bool:
    return least <= len(names) <= most


def _schema(kind: str, version: int) -> Any:
    try:
        return defs.get_schema(kind, version)
    except defs.SchemaError:
        return None


def _drop(node: Any, name: str) -> None:
    for one in [one for one in node.attribute if one.name == name]:
        node.attribute.remove(one)
