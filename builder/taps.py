"""Where to look into a backbone: the last feature map of each of its last stages, or the block outputs of a ViT.

Found from the graph alone, for any naming. A tensor lies on the trunk when every path from input to output passes
through it; residual branches, gates and attention have such tensors only at their ends.

Feature maps (rank 4): trunk tensors of one (channels, height, width) form a run; its last tensor is the tap. Left out:
- what mixes no channels, pooling and depthwise convolution, with the activation after it;
- an inverted bottleneck's wide inside: a run without residual add or concatenation from which channels fall again;
- maps of one pixel, and the outputs of Transpose (another layout).
Tokens (rank 3): the residual adds on the trunk; of the two in a block (attention, MLP) the second.

Sizes that are free beside the batch hide what lies behind them: where most of the network's weights come after the last
tap, the graph is refused, and the layer named after which sizes are not known.

Limits: a plain network (no residual, no concatenation) that narrows towards its end loses the wide stages before;
with several outputs the first one counts. Both can be mended by naming the taps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import onnx

from builder.onnx_checks import input_of
from builder.wiring import WEIGHTED, Shape, Wiring, attribute
from edge.errors import ModelError

__all__ = ["MAX_TAPS", "Tap", "find_taps", "named_taps"]

MAX_TAPS = 6
RESIDUAL = {"Add", "Sum"}
MERGES = {*RESIDUAL, "Concat"}
CHANNELWISE = {"MaxPool", "AveragePool", "LpPool", "Resize", "Upsample", "Pad"}
MIXERS = {*WEIGHTED, *MERGES}
NOT_DATA = {"Shape", "Size", "ConstantOfShape"}  # a size of a tensor is not its content


@dataclass(frozen=True, slots=True)
class Tap:
    """A tensor to pool: (N, channels, height, width), or tokens (N, height, channels) with width 1 and no layout."""

    tensor: str
    channels: int
    height: int
    width: int
    is_map: bool


def find_taps(path: Path, model: onnx.ModelProto, count: int = MAX_TAPS) -> tuple[Tap, ...]:
    """Return the last `count` taps in the order of the network, the final one last; raises ModelError for none."""
    wiring = Wiring(model)
    trunk = _trunk(wiring, input_of(model).name, model.graph.output[0].name)
    located = [tap for tap in (_tap(name, wiring.shape(name)) for name in trunk) if tap is not None]
    taps = _maps(wiring, located) if located and located[-1].is_map else _tokens(wiring, located, count)
    if not taps:
        raise ModelError(f"{path}: no feature map with known channels and size was found; name the tensors with --taps")
    _refuse_shallow(path, wiring, taps[-1])
    return tuple(taps[-count:])


def named_taps(path: Path, model: onnx.ModelProto, names: Sequence[str]) -> tuple[Tap, ...]:
    """Return the taps that the user named; raises ModelError for a tensor that cannot be pooled."""
    wiring = Wiring(model)
    taps = []
    for name in names:
        tap = _tap(name, wiring.shape(name))
        if tap is None or name not in wiring.producer:
            shape = wiring.shape(name)
            expected = "expected (N, C, H, W) or (N, T, C) with all but N fixed"
            raise ModelError(f"{path}: tap {name!r} has shape {shape}, {expected}; name another tensor")
        taps.append(tap)
    return tuple(taps)


def _refuse_shallow(path: Path, wiring: Wiring, last: Tap) -> None:
    """Raise ModelError where more weights come after the last tap, in layers of unknown size, than before it."""
    seen = _upstream(wiring, last.tensor)
    layers = [node for node in wiring.nodes if node.op_type in WEIGHTED and _size(wiring, node)]
    hidden = [
        node for node in layers if not seen.intersection(node.output) and not _is_sized(wiring.shape(node.output[0]))
    ]
    before = sum(_size(wiring, node) for node in layers if seen.intersection(node.output))
    after = sum(_size(wiring, node) for node in hidden)
    if after > before:
        name, share = hidden[0].name or hidden[0].output[0], before / (before + after)
        raise ModelError(
            f"{path}: from {hidden[0].op_type} {name} on sizes beside the batch are free, and the last tap "
            f"({last.tensor}) sees {share:.0%} of the weights; export it with a fixed size, or name the tensors with "
            "--taps"
        )


def _upstream(wiring: Wiring, name: str) -> set[str]:
    """Return the tensor and all that it is made of."""
    found, waiting = set[str](), [name]
    while waiting:
        one = waiting.pop()
        if one not in found and one in wiring.producer:
            waiting.extend(wiring.producer[one].input)
        found.add(one)
    return found


def _size(wiring: Wiring, node: Any) -> int:
    """Return how many numbers are in the constants of a layer."""
    shapes = (wiring.shape(name) or () for name in node.input if wiring.is_constant(name))
    return sum(math.prod(size or 1 for size in shape) for shape in shapes if shape)


def _is_sized(shape: Shape | None) -> bool:
    return shape is not None and all(size is not None for size in shape[1:])


def _trunk(wiring: Wiring, start: str, end: str) -> list[str]:
    """Return the tensors that every path from `start` to `end` passes, in order: path counts multiply to the total."""
    from_start = {start: 1}
    for node in wiring.nodes:
        if node.op_type not in NOT_DATA:
            paths = sum(from_start.get(name, 0) for name in node.input)
            if paths:
                from_start.update(dict.fromkeys(node.output, paths))
    to_end = {end: 1}
    for node in reversed(wiring.nodes):
        if node.op_type not in NOT_DATA:
            paths = sum(to_end.get(name, 0) for name in node.output)
            for name in node.input:
                if paths and name in from_start:
                    to_end[name] = to_end.get(name, 0) + paths
    total = from_start.get(end, 0)
    return [name for name, paths in from_start.items() if total and paths * to_end.get(name, 0) == total][1:]


def _tap(name: str, shape: Shape | None) -> Tap | None:
    if shape is None or len(shape) not in (3, 4):
        return None
    sizes = [size for size in shape[1:] if size is not None]
    if len(sizes) != len(shape) - 1:
        return None
    if len(sizes) == 2:
        return Tap(name, channels=sizes[1], height=sizes[0], width=1, is_map=False) if sizes[0] > 1 else None
    channels, height, width = sizes
    return Tap(name, channels, height, width, is_map=True) if height * width > 1 else None


def _maps(wiring: Wiring, located: Sequence[Tap]) -> list[Tap]:
    maps = [tap for tap in located if tap.is_map and _mixes(wiring, tap.tensor)]
    runs = [list(run) for _, run in groupby(maps, key=lambda tap: (tap.channels, tap.height, tap.width))]
    kept = []
    for position, run in enumerate(runs):
        narrowest_later = min((later[0].channels for later in runs[position + 1 :]), default=run[0].channels)
        if run[0].channels <= narrowest_later or any(_is_merge(wiring, tap.tensor, MERGES) for tap in run):
            kept.append(run[-1])
    return kept


def _tokens(wiring: Wiring, located: Sequence[Tap], count: int) -> list[Tap]:
    adds = [tap for tap in located if not tap.is_map and _is_merge(wiring, tap.tensor, RESIDUAL)]
    blocks = adds[::-1][::2][::-1]
    if len(blocks) <= count:
        return blocks
    return [blocks[round(i * (len(blocks) - 1) / (count - 1))] for i in range(count)]


def _mixes(wiring: Wiring, name: str) -> bool:
    """Whether the last operator of weight before `name` mixes channels, looking back through activations and norms."""
    node = wiring.producer.get(name)
    while node is not None:
        if node.op_type in MIXERS:
            return not _is_depthwise(wiring, node)
        if node.op_type in CHANNELWISE or node.op_type == "Transpose":
            return False
        node = wiring.producer.get(_data_input(wiring, node))
    return False


def _data_input(wiring: Wiring, node: Any) -> str:
    return next((name for name in node.input if name and not wiring.is_constant(name)), "")


def _is_depthwise(wiring: Wiring, node: Any) -> bool:
    group = attribute(node, "group", 1)
    shape = wiring.shape(node.input[1]) if node.op_type == "Conv" else None
    return bool(group > 1 and shape is not None and shape[1] == 1)


def _is_merge(wiring: Wiring, name: str, kinds: Collection[str]) -> bool:
    node = wiring.producer.get(name)
    if node is None or node.op_type not in kinds:
        return False
    return sum(not wiring.is_constant(one) for one in node.input) > 1
