"""Which layers must stay in float, where the whole network in INT8 is too far from it.

A layer is a convolution or matrix product with what follows it up to the next one; of networks with many, neighbours
are taken together (at most MOST_GROUPS). Each is quantised alone, all others in float, and what the features lose
against float is its sensitivity (the layer-wise analysis of Nagel et al., A White Paper on Neural Network Quantization,
2021, section 3). The most sensitive stay in float until the gate passes: how many is found by bisection, so the network
is quantised a dozen times more, not once a layer.

Limits: losses are taken to add up. More than half of the groups are never kept: such a network wants to be trained for
quantisation, or run in float.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from msgspec import Struct, structs

from builder.optimise import OWN
from builder.photos import in_batches
from builder.ranges import OPERATORS
from builder.wiring import WEIGHTED, Wiring, token_operators
from edge.engines.ort import NOT_AS_QUANTISED, PROVIDER
from edge.types import Crops, Embeddings

__all__ = [
    "Group",
    "Kept",
    "Measure",
    "Quantise",
    "Sensitivity",
    "cosine_to",
    "features_of",
    "groups_of",
    "keep_fewest",
]

MOST_GROUPS = 64
MOST_KEPT = 0.5

Quantise = Callable[[frozenset[str]], onnx.ModelProto]  # the names of nodes that stay in float -> INT8 graph
Measure = Callable[[onnx.ModelProto], float]  # mean cosine of its features to float


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring nodes, by the name of the first weighted one."""

    name: str
    nodes: frozenset[str]


class Sensitivity(Struct, frozen=True):
    """What one group, quantised alone, takes from the mean cosine."""

    layer: str
    nodes: int
    cosine_lost: float


class Kept(Struct, frozen=True, kw_only=True):
    """The groups that stay in float, most sensitive first, of `groups`; the mean cosine with and without them.

    The cosines of `keep_fewest` are of the photos that chose; `judged` puts those of others in their place.
    """

    layers: tuple[Sensitivity, ...]
    groups: int
    cosine: float
    cosine_without: float
    nodes: tuple[str, ...]

    def judged(self, cosine_without: float, cosine: float) -> Kept:
        """Return the same groups with the cosines of photos that chose nothing."""
        return structs.replace(self, cosine_without=cosine_without, cosine=cosine)


def groups_of(model: onnx.ModelProto) -> tuple[Group, ...]:
    """Return the layers of a folded graph that a quantiser would touch, in order, neighbours joined where many."""
    layers: list[tuple[str, list[str]]] = []
    in_float = token_operators(Wiring(model))
    for node in model.graph.node:
        if node.op_type not in OPERATORS or node.name.startswith(OWN) or node.name in in_float:
            continue
        if node.op_type in WEIGHTED or not layers:
            layers.append((node.name, []))
        layers[-1][1].append(node.name)
    parts = np.array_split(np.arange(len(layers)), min(len(layers), MOST_GROUPS)) if layers else []
    return tuple(
        Group(layers[part[0]][0], frozenset(name for index in part for name in layers[index][1])) for part in parts
    )


def keep_fewest(
    groups: Sequence[Group], quantise: Quantise, measure: Measure, least: float, advance: Callable[[int], None]
) -> Kept:
    """Return the fewest groups, in the order of their sensitivity, that bring the cosine to `least`.

    Where even half of them do not, that half. `advance` hears of every group that was tried alone.
    """
    everything = frozenset().union(*(group.nodes for group in groups)) if groups else frozenset()
    found = []
    for group in groups:
        lost = 1.0 - measure(quantise(everything - group.nodes))
        found.append((lost if np.isfinite(lost) else 1.0, group))
        advance(1)
    found.sort(key=lambda pair: -pair[0])
    most = max(int(len(found) * MOST_KEPT), 1) if found else 0

    def tried(count: int) -> float:
        return measure(quantise(_nodes(found[:count])))

    cosines = {0: tried(0)}
    low = high = 0
    while not cosines[high] >= least and high < most:
        low, high = high, min(max(2 * high, 1), most)
        cosines[high] = tried(high)
    while high - low > 1 and cosines[high] >= least:
        middle = (low + high) // 2
        cosines[middle] = tried(middle)
        low, high = (low, middle) if cosines[middle] >= least else (middle, high)
    kept = found[:high]
    return Kept(
        layers=tuple(Sensitivity(group.name, len(group.nodes), lost) for lost, group in kept),
        groups=len(groups),
        cosine=cosines[high],
        cosine_without=cosines[0],
        nodes=tuple(sorted(_nodes(kept))),
    )


def features_of(model: onnx.ModelProto, crops: Crops, *, as_written: bool = False) -> Embeddings:
    """Return the rows (n, F) of crops by a graph in memory, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1" if as_written else "0")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=[PROVIDER], disabled_optimizers=[*NOT_AS_QUANTISED]
    )
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: batch})[0] for batch in in_batches(crops)])


def cosine_to(reference: Embeddings, crops: Crops, *, as_written: bool) -> Measure:
    """Return what measures a graph in memory against the float rows (n, F) of `crops`."""

    def measure(model: onnx.ModelProto) -> float:
        rows = features_of(model, crops, as_written=as_written)
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(reference, axis=1)
        return float(np.mean(np.einsum("nd,nd->n", rows, reference) / np.maximum(norms, 1e-12)))

    return measure


def _nodes(pairs: Sequence[tuple[float, Group]]) -> frozenset[str]:
    return frozenset(name for _, group in pairs for name in group.nodes)
