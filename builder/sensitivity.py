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
from typing import Any

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
    "Ranked",
    "Sensitivity",
    "cosine_to",
    "features_of",
    "groups_of",
    "keep_fewest",
    "keep_first",
    "ranked",
    "session_of",
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


@dataclass(frozen=True, slots=True)
class Ranked:
    """Groups with what each loses alone, most sensitive first, and the mean cosine with all of them quantised."""

    pairs: tuple[tuple[float, Group], ...]
    cosine: float

    @property
    def most(self) -> int:
        """How many may stay in float."""
        return max(int(len(self.pairs) * MOST_KEPT), 1) if self.pairs else 0


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


def ranked(groups: Sequence[Group], quantise: Quantise, measure: Measure, advance: Callable[[int], None]) -> Ranked:
    """Quantise each group alone; `advance` hears of every one that was tried."""
    everything = frozenset().union(*(group.nodes for group in groups)) if groups else frozenset()
    found = []
    for group in groups:
        lost = 1.0 - measure(quantise(everything - group.nodes))
        found.append((lost if np.isfinite(lost) else 1.0, group))
        advance(1)
    return Ranked(tuple(sorted(found, key=lambda pair: -pair[0])), measure(quantise(frozenset())))


def keep_first(layers: Ranked, count: int, quantise: Quantise, measure: Measure) -> Kept:
    """Return the `count` most sensitive groups."""
    kept = layers.pairs[:count]
    nodes = _nodes(kept)
    return Kept(
        layers=tuple(Sensitivity(group.name, len(group.nodes), lost) for lost, group in kept),
        groups=len(layers.pairs),
        cosine=measure(quantise(nodes)) if kept else layers.cosine,
        cosine_without=layers.cosine,
        nodes=tuple(sorted(nodes)),
    )


def keep_fewest(layers: Ranked, quantise: Quantise, measure: Measure, least: float) -> Kept:
    """Return the fewest groups, in the order of their sensitivity, that bring the cosine to `least`.

    Where even half of them do not, that half.
    """
    tried = {0: keep_first(layers, 0, quantise, measure)}
    low = high = 0
    while not tried[high].cosine >= least and high < layers.most:
        low, high = high, min(max(2 * high, 1), layers.most)
        tried[high] = keep_first(layers, high, quantise, measure)
    while high - low > 1 and tried[high].cosine >= least:
        middle = (low + high) // 2
        tried[middle] = keep_first(layers, middle, quantise, measure)
        low, high = (low, middle) if tried[middle].cosine >= least else (middle, high)
    return tried[high]


def features_of(model: onnx.ModelProto, crops: Crops, *, as_written: bool = False) -> Embeddings:
    """Return the rows (n, F) of crops by a graph in memory, on the CPU."""
    session = session_of(model.SerializeToString(), as_written=as_written)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: batch})[0] for batch in in_batches(crops)])


def session_of(data: bytes, *, as_written: bool) -> Any:
    """Return an ONNX Runtime session on the CPU for a graph in memory; `as_written`: nothing is fused with its Q/DQ."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1" if as_written else "0")
    return onnxruntime.InferenceSession(data, options, providers=[PROVIDER], disabled_optimizers=[*NOT_AS_QUANTISED])


def cosine_to(reference: Embeddings, crops: Crops, *, as_written: bool) -> Measure:
    """Return what measures a graph in memory against the float rows (n, F) of `crops`."""

    def measure(model: onnx.ModelProto) -> float:
        rows = features_of(model, crops, as_written=as_written)
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(reference, axis=1)
        return float(np.mean(np.einsum("nd,nd->n", rows, reference) / np.maximum(norms, 1e-12)))

    return measure


def _nodes(pairs: Sequence[tuple[float, Group]]) -> frozenset[str]:
    return frozenset(name for _, group in pairs for name in group.nodes)
