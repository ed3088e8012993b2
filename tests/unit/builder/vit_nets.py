"""A vision transformer as exporters write one, with seeded weights: class token, heads, GELU, sizes that are computed.

`outlier` gives it what published weights have and seeded ones do not: a few channels of a LayerNorm's output are far
larger than the others, and the products that read it have the smaller rows (Li et al., RepQ-ViT, ICCV 2023; Xiao et
al., SmoothQuant, ICML 2023). In float nothing changes; one INT8 scale for the tensor leaves little of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper
from small_nets import Net

PATCH, CHANNELS, HEADS = 8, 24, 2
OUTLIERS = (3, 11)  # channels


@dataclass(frozen=True, slots=True)
class Form:
    """What is exported: GELU as `erf` or as the operator of opset 20, tokens or one row a picture as the output."""

    gelu: str = "erf"
    opset: int = 17
    gives_tokens: bool = False


def exported_transformer(
    size: int = 32, blocks: int = 2, form: Form = Form(), outlier: float = 1.0, seed: int = 0
) -> onnx.ModelProto:
    """`blocks` pre-norm blocks of 24 channels and two heads on patches of 8 pixels; `outlier` is in the last block."""
    net = Net(seed)
    last = _embedded(net, size // PATCH)
    for block in range(blocks):
        last = _attention(net, last, f"b{block}")
        last = _mlp(net, last, f"b{block}", form.gelu)
    normal = net.layer_norm(last, "norm")
    if form.gives_tokens:
        model = net.close(normal, CHANNELS, ["N", 3, size, size], form.opset)
        model.graph.output[0].CopyFrom(onnx.ValueInfoProto(name=normal))
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        for name in ("any", "number", "of"):
            model.graph.output[0].type.tensor_type.shape.dim.add(dim_param=name)
    else:
        row = net.node("Gather", [normal, _vector(net, "zero", 0, scalar=True)], "y", axis=1)
        model = net.close(row, CHANNELS, ["N", 3, size, size], form.opset)
    if outlier != 1.0:
        _spread(model, f"b{blocks - 1}", outlier)
    return model


def readers_of_outliers(blocks: int = 2) -> set[str]:
    """The nodes that read the outliers."""
    return {f"node_b{blocks - 1}_{part}_product" for part in "qkv"}


def _embedded(net: Net, side: int) -> str:
    """Patches with a class token before them, as many as there are pictures, and their places."""
    patches = net.conv("x", CHANNELS, "patches", kernel=PATCH, stride=PATCH)
    net.nodes[-1].attribute.remove(next(a for a in net.nodes[-1].attribute if a.name == "pads"))
    batch = _size(net, "x", 0, "batch")
    row = net.node("Concat", [batch, _vector(net, "row", CHANNELS), _vector(net, "rest", -1)], "flat_shape", axis=0)
    flat = net.node("Reshape", [patches, row], "flat")
    tokens = net.node("Transpose", [flat], "tokens", perm=[0, 2, 1])
    token = net.weight("token", net.random.normal(0, 0.2, (1, 1, CHANNELS)).astype(np.float32))
    ones = [batch, _vector(net, "one", 1), _vector(net, "width", CHANNELS)]
    repeated = net.node("Expand", [token, net.node("Concat", ones, "token_shape", axis=0)], "repeated")
    joined = net.node("Concat", [repeated, tokens], "joined", axis=1)
    place = net.weight("place", net.random.normal(0, 0.2, (1, side * side + 1, CHANNELS)).astype(np.float32))
    net.channels[joined] = CHANNELS
    return net.node("Add", [joined, place], "placed")


def _attention(net: Net, last: str, name: str) -> str:
    normal = net.layer_norm(last, f"{name}_ln1")
    sizes = [_size(net, normal, axis, f"{name}_size{axis}") for axis in (0, 1)]
    split = [*sizes, _vector(net, f"{name}_heads", HEADS), _vector(net, f"{name}_width", CHANNELS // HEADS)]
    shape = net.node("Concat", split, f"{name}_split", axis=0)
    heads = []
    for part in "qkv":
        each = net.node("Reshape", [net.linear(normal, CHANNELS, f"{name}_{part}"), shape], f"{name}_{part}_heads")
        perm = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
        heads.append(net.node("Transpose", [each], f"{name}_{part}_turned", perm=perm))
    scores = net.node("MatMul", heads[:2], f"{name}_scores")
    factor = net.weight(f"{name}_factor", np.float32((CHANNELS / HEADS) ** -0.5))
    weights = net.node("Softmax", [net.node("Mul", [scores, factor], f"{name}_scaled")], f"{name}_weights", axis=-1)
    mixed = net.node("MatMul", [weights, heads[2]], f"{name}_mixed")
    turned = net.node("Transpose", [mixed], f"{name}_back", perm=[0, 2, 1, 3])
    joined = net.node("Concat", [*sizes, _vector(net, f"{name}_all", CHANNELS)], f"{name}_join", axis=0)
    flat = net.node("Reshape", [turned, joined], f"{name}_flat")
    net.channels[flat] = CHANNELS
    return net.add(last, net.linear(flat, CHANNELS, f"{name}_proj"), f"{name}_attention")


def _mlp(net: Net, last: str, name: str, gelu: str) -> str:
    wide = net.linear(net.layer_norm(last, f"{name}_ln2"), 2 * CHANNELS, f"{name}_up")
    if gelu == "erf":
        numbers = {"root": 2**0.5, "one": 1.0, "half": 0.5}
        root, one, half = (net.weight(f"{name}_{key}", np.float32(value)) for key, value in numbers.items())
        erf = net.node("Erf", [net.node("Div", [wide, root], f"{name}_divided")], f"{name}_erf")
        product = net.node("Mul", [wide, net.node("Add", [erf, one], f"{name}_more")], f"{name}_product")
        active = net.node("Mul", [product, half], f"{name}_active")
    else:
        active = net.node("Gelu", [wide], f"{name}_active")
    net.channels[active] = 2 * CHANNELS
    return net.add(last, net.linear(active, CHANNELS, f"{name}_down"), f"{name}_mlp")


def _spread(model: onnx.ModelProto, block: str, factor: float) -> None:
    """Multiply channels of a LayerNorm's output, in place, and divide them out again in what reads it."""
    for index, tensor in enumerate(model.graph.initializer):
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name in {f"{block}_ln1.scale", f"{block}_ln1.shift"}:
            values[list(OUTLIERS)] *= factor
        elif tensor.name in {f"{block}_{part}.w" for part in "qkv"}:
            values[list(OUTLIERS)] /= factor
        else:
            continue
        model.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, tensor.name))


def _size(net: Net, source: str, axis: int, name: str) -> str:
    """A size of a tensor as a vector of one, the long way round that exporters take."""
    shape = net.node("Shape", [source], f"{name}_shape")
    number = net.node("Gather", [shape, _vector(net, f"{name}_axis", axis, scalar=True)], f"{name}_number", axis=0)
    return net.node("Unsqueeze", [number, _vector(net, f"{name}_zero", 0)], name)


def _vector(net: Net, name: str, value: int, *, scalar: bool = False) -> str:
    return net.weight(name, np.array(value if scalar else [value], np.int64))
