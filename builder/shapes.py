"""Shape arithmetic of exporters becomes constants: what hangs on the batch alone is settled before anyone reads it.

Exporters write `x.reshape(n, t, c)` as a little program on Shape, Gather and Concat, for any input size. Ours is fixed,
so the program is run with two batches and its results are written down: what both agree on becomes a constant (as the
interpolated position embedding of a ViT), the batch in a Reshape becomes -1, in any other vector it is read from the
input. Without it the sizes of a ViT's tokens are unknown to whoever looks for taps, and TensorRT gets hundreds of
layers that compute numbers. What hangs on pixels is never touched, be it their number that does.

Limits: a batch that enters a vector in other ways than by itself is left as it was written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from builder.onnx_checks import input_of
from builder.wiring import Wiring, prune, shape_of

__all__ = ["settle_shapes"]

SHAPES = {"Shape", "Size"}  # what they give hangs on the shape of their input, not on its content
REPEATS = {"Expand", "Tile"}  # a class token for every picture: only the numbers they are told are settled
CHOOSES = {"NonZero", "Compress", "Unique", "NonMaxSuppression"}  # how large it is hangs on the content
TOLD = {  # which inputs say how large it is
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Pad", "TopK", "OneHot", "Upsample"), slice(1, None)),
    **dict.fromkeys(("Slice", "Resize", "Squeeze", "Unsqueeze", "Split"), slice(1, None)),
    **dict.fromkeys(("ConstantOfShape", "Range"), slice(0, None)),
}
BATCHES = (2, 3)  # no size of a network is both
OWN = "shapes/"


def settle_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a checked backbone with its shape arithmetic settled; a model without any comes back as it is.

    Raises what ONNX Runtime raises where the model does not run.
    """
    if not any(node.op_type in SHAPES for node in model.graph.node):
        return model
    wiring = Wiring(model)
    settled = _shape_only(wiring)
    places = [
        (node, place, name)
        for node in wiring.nodes
        if not set(node.output) & settled
        for place, name in enumerate(node.input)
        if name in settled and wiring.producer[name].op_type != "Constant"
    ]
    if not places:
        return model
    values = _run(model, sorted({name for *_, name in places}))
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    twins = {node.output[0]: node for node in copy.graph.node}
    for node, place, name in places:
        stands_for = _written(copy, node.op_type, name, values[name])
        twins[node.output[0]].input[place] = stands_for or name
    _sort_own_first(copy)
    prune(copy)
    return copy


def _shape_only(wiring: Wiring) -> set[str]:
    """Return the tensors that hang on shapes and constants alone, where no shape hangs on the pixels."""
    found, unsure = set[str](), set[str]()  # unsure: as large as the pixels say
    for node in wiring.nodes:
        given = {name for name in node.input if name}
        other = {name for name in given if name not in found and not wiring.is_constant(name)}
        made = [name for name in node.output if name]
        if unsure & given or _is_sized_by(node, other):
            unsure.update(made)
        elif node.op_type in SHAPES or not (other or node.op_type in REPEATS or _is_odd(node)):
            found.update(made)
    return found - wiring.outputs


def _is_sized_by(node: Any, others: set[str]) -> bool:
    """Whether the content of tensors that are no shapes decides how large the outputs are."""
    told = set(node.input[TOLD[node.op_type]]) if node.op_type in TOLD else set[str]()
    return bool(others) and (node.op_type in CHOOSES or _is_odd(node) or bool(told & others))


def _is_odd(node: Any) -> bool:
    """Whether a node is not what its inputs make it alone: a branch, a loop, a random number."""
    graphs = {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
    return node.op_type.startswith("Random") or any(one.type in graphs for one in node.attribute)


def _run(model: onnx.ModelProto, names: list[str]) -> dict[str, tuple[NDArray[Any], ...]]:
    """Return what the tensors are for each of BATCHES."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    prune(probe)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    source = input_of(model)
    sizes = [size or 1 for size in (shape_of(source) or ())[1:]]
    noise = np.random.default_rng(0)
    runs = [
        session.run(names, {source.name: noise.standard_normal((batch, *sizes)).astype(np.float32)})
        for batch in BATCHES
    ]
    return {name: tuple(np.asarray(run[index]) for run in runs) for index, name in enumerate(names)}


def _written(model: onnx.ModelProto, reader: str, name: str, values: tuple[NDArray[Any], ...]) -> str | None:
    """Write down, in place, what stands for a tensor, and return its name; None where it cannot be said."""
    first, second = values
    if first.shape == second.shape and np.array_equal(first, second):
        return _weight(model, f"{OWN}{name}", first)
    if first.shape != second.shape or first.ndim != 1 or first.dtype != np.int64:
        return None
    differs = np.flatnonzero(first != second)
    if len(differs) != 1:
        return None
    if reader == "Reshape" and not (first == -1).any() and not (first == 0).any():
        return _weight(model, f"{OWN}{name}/any_batch", np.where(first != second, -1, first))
    if (first[differs[0]], second[differs[0]]) != BATCHES:
        return None
    return _with_batch(model, f"{OWN}{name}", first, int(differs[0]))


def _with_batch(model: onnx.ModelProto, name: str, vector: NDArray[np.int64], place: int) -> str:
    """Return a vector that has the batch of the input at `place`."""
    made = f"{name}/with_batch"
    if any(made in node.output for node in model.graph.node):
        return made
    source = input_of(model).name
    sizes, batch = f"{OWN}sizes", f"{OWN}batch"
    if not any(batch in node.output for node in model.graph.node):
        zero = _weight(model, f"{OWN}first", np.array([0], np.int64))
        model.graph.node.extend(
            [
                helper.make_node("Shape", [source], [sizes], name=sizes),
                helper.make_node("Gather", [sizes, zero], [batch], name=batch),
            ]
        )
    parts = [
        *([_weight(model, f"{name}/before", vector[:place])] if place else []),
        batch,
        *([_weight(model, f"{name}/after", vector[place + 1 :])] if place + 1 < len(vector) else []),
    ]
    model.graph.node.append(helper.make_node("Concat", parts, [made], name=made, axis=0))
    return made


def _weight(model: onnx.ModelProto, name: str, values: NDArray[Any]) -> str:
    if not any(one.name == name for one in model.graph.initializer):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def _sort_own_first(model: onnx.ModelProto) -> None:
    """Put the nodes that were added, which hang on the input alone, before all others."""
    own = [node for node in model.graph.node if node.name.startswith(OWN)]
    others = [node for node in model.graph.node if not node.name.startswith(OWN)]
    del model.graph.node[:]
    model.graph.node.extend([*own, *others])
