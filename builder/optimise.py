"""Bring a checked backbone into the plain form that the rest of the builder reads.

Shape arithmetic becomes constants (`builder.shapes`); ONNX Runtime's basic optimisation folds constants and BatchNorm
and removes what exporters leave behind (Identity, Pad, Reshape chains); shapes are inferred; tensors whose names the
builder needs for itself are renamed out of the way; every node gets a name of its own, by which it can stay in float.
The result computes what the given model computes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.quantization.shape_inference import quant_pre_process

from builder.shapes import settle_shapes
from builder.vendor_log import quiet
from edge.errors import ModelError

__all__ = ["FEATURES", "IMAGES", "OWN", "keep_standard_opset", "moved", "optimised"]

IMAGES, FEATURES = "images", "features"  # input and output of the graphs that the builder makes
OWN = ("preprocess/", "features/")  # names of nodes and tensors that the builder adds
MOVED = "backbone/"
BRANCHES = {"If", "Loop", "Scan"}  # whoever reads a graph here does not look into their sub-graphs


def optimised(path: Path, model: onnx.ModelProto, keep: Sequence[str] = ()) -> onnx.ModelProto:
    """Return the optimised model; the tensors `keep` survive under their names. Raises ModelError, naming `path`."""
    known = {name for node in model.graph.node for name in node.output}
    absent = [name for name in keep if name not in known]
    if absent:
        raise ModelError(f"{path}: no tensor is called {absent[0]!r}; --taps takes names of tensors inside the graph")
    with tempfile.TemporaryDirectory() as folder, quiet():
        optimised_file, noted_file = Path(folder) / "optimised.onnx", Path(folder) / "noted.onnx"
        try:
            prepared = settle_shapes(_with_outputs(model, keep))
            # Optimised here and not by quant_pre_process, which goes on with the given graph when that fails.
            onnxruntime.InferenceSession(
                prepared.SerializeToString(), _options(optimised_file), providers=["CPUExecutionProvider"]
            )
            quant_pre_process(str(optimised_file), str(noted_file), skip_optimization=True, skip_symbolic_shape=True)
            result = onnx.load(noted_file)
        except Exception as error:  # noqa: BLE001  # the vendor's errors share no base class; one named error leaves here
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"{path}: ONNX Runtime cannot load it ({reason}); check that it runs there") from None
    branch = next((node for node in result.graph.node if node.op_type in BRANCHES), None)
    if branch is not None:
        found = f"{branch.op_type} {branch.name or branch.output[0]} decides while it runs"
        raise ModelError(f"{path}: {found}, expected a graph without control flow; export with a fixed size")
    del result.graph.output[:]
    result.graph.output.extend(model.graph.output)
    keep_standard_opset(result)
    _make_room(result)
    return result


def moved(name: str) -> str:
    """Return what a tensor of the given model is called in the optimised one."""
    return MOVED + name if name in (IMAGES, FEATURES) or name.startswith(OWN) else name


def keep_standard_opset(model: onnx.ModelProto) -> None:
    """Drop, in place, the operator sets that no node uses (ONNX Runtime notes all it knows), and fit the IR version."""
    used = {node.domain or "" for node in model.graph.node}
    versions = {o.domain: o.version for o in model.opset_import if o.domain in used}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in sorted(versions.items()))
    # Loaders refuse an IR version that is newer than they are, even where the graph uses nothing of it.
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)


def _options(target: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    return options


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy that has `names` as further outputs, so that the optimiser must keep them."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    standing = {output.name for output in copy.graph.output}
    for name in names:
        if name not in standing:
            copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return copy


def _make_room(model: onnx.ModelProto) -> None:
    """Rename, in place, tensors and nodes that bear a name of the builder's, and nodes that share one or have none."""
    graph, taken = model.graph, set[str]()
    for index, node in enumerate(graph.node):
        name = moved(node.name or f"{node.op_type}_{index}")
        node.name = f"{name}_{index}" if name in taken else name
        taken.add(node.name)
        node.input[:] = [moved(name) for name in node.input]
        node.output[:] = [moved(name) for name in node.output]
    for field in (graph.input, graph.output, graph.initializer, graph.value_info):
        for one in field:
            one.name = moved(one.name)
