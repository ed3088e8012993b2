"""Puts the head into the engine's graph: uint8 crops in, unit rows out, nothing left to do on the CPU.

    features (N, F) -> Sub mean -> MatMul projection (F, D) -> L2 normalise -> embeddings (N, D) -.
                    -> MatMul weights (F, 1) -> Add bias -> expected similarities (N, 1) -> Concat -> L2 normalise ->
                    rows

The output is that of `edge.engine_row`, float32 (N, D + 1). The head stays float32: it is one small product, and
quantising it would cost what the last layers of a head always cost. `check_head_graph` runs the new graph and compares
it with the numpy head, so a bundle is written only when both agree. `cut_head` goes back: a bundle's graph ends in
`features` again, and the head that was behind it is returned.

Limits: the graph must be a build's, with one output `features` (N, F) of fixed F.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.space.expected import Expectation
from calibration.space.head import Head, project
from edge.engine_row import join_rows
from edge.errors import BundleError, EngineError
from edge.ports import Engine
from edge.types import Crops, Embeddings, EngineRows

__all__ = ["MIN_COSINE", "append_head", "check_head_graph", "cut_head"]

FEATURES, ROWS = "features", "rows"
MIN_COSINE = 0.9999
_PREFIX = "shelfedge_head/"  # no backbone names its tensors so; many have a `head/`
_ATTRIBUTES: dict[str, dict[str, int | list[int]]] = {"Concat": {"axis": 1}, "ReduceL2": {"axes": [1], "keepdims": 1}}


def append_head(build_graph: Path, head: Head, expectation: Expectation, out: Path) -> None:
    """Write the build's graph with both behind it to `out`; raises BundleError when it is not such a graph."""
    try:
        model = onnx.load(build_graph)
    except Exception as error:  # noqa: BLE001  # protobuf's parse errors share no public base class
        raise BundleError(f"{build_graph}: not an ONNX graph ({error}); run edge-build again") from None
    graph = model.graph
    shape = [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] if len(graph.output) == 1 else []
    if not shape or graph.output[0].name != FEATURES or shape[1:] != [len(head.mean)]:
        found = ", ".join(f"{output.name}" for output in graph.output)
        raise BundleError(
            f"{build_graph}: outputs {found} {shape}, expected {FEATURES} (N, {len(head.mean)}); build again"
        )
    if any(name.startswith(_PREFIX) for node in graph.node for name in (node.name, *node.output)):
        raise BundleError(f"{build_graph}: has names under {_PREFIX} already, expected a graph of edge-build")
    constants = {
        "mean": head.mean.astype(np.float32),
        "projection": head.projection.astype(np.float32),
        "weights": expectation.weights.astype(np.float32)[:, None],
        "bias": np.array(expectation.bias, np.float32),
        "tiny": np.array(1e-12, np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, _PREFIX + name) for name, value in constants.items())
    steps = (
        ("Sub", (FEATURES, _PREFIX + "mean"), "centred"),
        ("MatMul", (_PREFIX + "centred", _PREFIX + "projection"), "raw"),
        *_unit("raw", "embedding"),
        ("MatMul", (FEATURES, _PREFIX + "weights"), "along"),
        ("Add", (_PREFIX + "along", _PREFIX + "bias"), "expected"),
        ("Concat", (_PREFIX + "embedding", _PREFIX + "expected"), "together"),
        *_unit("together", "row"),
    )
    for kind, inputs, name in steps:
        node = helper.make_node(kind, inputs, [_PREFIX + name], name=_PREFIX + name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in _ATTRIBUTES.get(kind, {}).items())
        graph.node.append(node)
    graph.node.append(helper.make_node("Identity", [_PREFIX + "row"], [ROWS], name=_PREFIX + "out"))
    batch = graph.output[0].type.tensor_type.shape.dim[0].dim_param or "N"
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(ROWS, TensorProto.FLOAT, [batch, head.dimension + 1]))
    onnx.save(model, out)


def _unit(source: str, out: str) -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """Return the steps that bring the rows of `source` to unit length.

    Not by ReduceSum: ONNX Runtime sums a row in another order where it lies otherwise in memory, so the last bits would
    depend on the crops before it in the batch.
    """
    norm, length = f"{out}/norm", f"{out}/length"
    return (
        ("ReduceL2", (_PREFIX + source,), norm),
        ("Max", (_PREFIX + norm, _PREFIX + "tiny"), length),
        ("Div", (_PREFIX + source, _PREFIX + length), out),
    )


def cut_head(bundle_graph: Path, out: Path) -> Head:
    """Write a bundle's graph without its head to `out`, output `features` (N, F) as the build had it; return the head.

    Method, shrinkage and number of photos are not in a graph: they come back as "from bundle", 0.0 and 0. Raises
    BundleError when the graph does not end in a head of `append_head`.
    """
    try:
        model = onnx.load(bundle_graph)
    except Exception as error:  # noqa: BLE001  # protobuf's parse errors share no public base class
        raise BundleError(f"{bundle_graph}: not an ONNX graph ({error}); run edge-calibrate again") from None
    graph = model.graph
    held = {tensor.name: tensor for tensor in graph.initializer if tensor.name.startswith(_PREFIX)}
    ends = [output.name for output in graph.output]
    if ends != [ROWS] or not {_PREFIX + "mean", _PREFIX + "projection"} <= held.keys():
        raise BundleError(
            f"{bundle_graph}: outputs {', '.join(ends)} without a head behind {FEATURES}, expected the graph of a "
            "bundle; run edge-calibrate again"
        )
    mean, projection = (numpy_helper.to_array(held[_PREFIX + name]) for name in ("mean", "projection"))
    nodes = [node for node in graph.node if not node.name.startswith(_PREFIX)]
    constants = [tensor for tensor in graph.initializer if tensor.name not in held]
    batch = graph.output[0].type.tensor_type.shape.dim[0].dim_param or "N"
    for field, kept in ((graph.node, nodes), (graph.initializer, constants)):
        del field[:]
        field.extend(kept)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [batch, len(mean)]))
    onnx.save(model, out)
    return Head(mean.astype(np.float32), projection.astype(np.float32), "from bundle", 0.0, 0)


def check_head_graph(
    engine: Engine, crops: Crops, features: Embeddings, head: Head, expectation: Expectation
) -> EngineRows:
    """Return what the open engine gives for `crops` (n, H, W, 3), n <= max_batch.

    Raises EngineError when a row differs by more than a cosine of MIN_COSINE from what head and expectation give in
    numpy for the crops' `features` (n, F).
    """
    found = engine.embed(crops)
    usual = features @ expectation.weights + np.float32(expectation.bias)
    expected = join_rows(project(head, features), usual)
    if found.shape != expected.shape:
        raise EngineError(f"the graph with the head gives {found.shape}, expected {expected.shape}; please report it")
    cosine = np.einsum("nd,nd->n", found, expected)
    usable = np.abs(expected).sum(axis=1) > 0
    if usable.any() and not float(cosine[usable].min()) >= MIN_COSINE:
        raise EngineError(
            f"the graph with the head differs from the fitted head (cosine {float(cosine[usable].min()):.6f}, expected "
            f"{MIN_COSINE}); please report it"
        )
    return found
