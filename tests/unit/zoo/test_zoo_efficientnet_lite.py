"""The graph: the same numbers as PyTorch for the published weights, and only the nodes that were promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from zoo_images import golden_images, network_input

from builder.zoo.architecture import VARIANTS, Block, layout, same_padding
from builder.zoo.checkpoint import Tensors
from builder.zoo.efficientnet_lite import HEADS, Head, model_from_tensors
from edge.errors import ModelError

GOLDEN = Path(__file__).parent / "golden_features.npz"
LITE0 = "efficientnet-lite0"


def _run(model: onnx.ModelProto, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"images": images})
    result: NDArray[np.float32] = output
    return result


def _random_tensors(variant: str) -> Tensors:
    """A checkpoint of the right shapes with plausible values, classifier left out."""
    rng = np.random.default_rng(5)
    tensors: Tensors = {}
    for conv in (conv for block in layout(VARIANTS[variant]) for conv in block.convs):
        out, per_group, kernel, _ = conv.weight_shape
        spread = (2 / (per_group * kernel * kernel)) ** 0.5
        tensors[f"{conv.weight}.weight"] = rng.normal(0, spread, conv.weight_shape).astype(np.float32)
        tensors[f"{conv.norm}.weight"] = rng.uniform(0.5, 1.5, out).astype(np.float32)
        tensors[f"{conv.norm}.bias"] = rng.normal(0, 0.2, out).astype(np.float32)
        tensors[f"{conv.norm}.running_mean"] = rng.normal(0, 0.2, out).astype(np.float32)
        tensors[f"{conv.norm}.running_var"] = rng.uniform(0.5, 2, out).astype(np.float32)
        tensors[f"{conv.norm}.num_batches_tracked"] = np.array(3, np.int64)
    return tensors


@pytest.fixture(scope="module")
def random_tensors() -> Tensors:
    return _random_tensors(LITE0)


@pytest.fixture(scope="module")
def random_model(random_tensors: Tensors) -> onnx.ModelProto:
    return model_from_tensors(LITE0, random_tensors, "features", {"b": "2", "a": "1"}, "x.pth")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_weights_give_the_features_and_logits_of_pytorch(
    number: int, published_tensors: Callable[[str], Tensors]
) -> None:
    """The reference is PyTorch 2.13.0 with efficientnet-lite-pytorch 0.1.0: extract_features(x).mean((2, 3)), forward.

    Measured difference on ONNX Runtime 1.31: at most 1.1e-5 for features (up to 5.7), 1.6e-5 for logits (up to 7.6).
    """
    name = f"efficientnet-lite{number}"
    images = network_input(golden_images(VARIANTS[name].side_px))
    with np.load(GOLDEN) as golden:
        features, top5, logits = (golden[f"lite{number}_{part}"] for part in ("features", "top5", "top5_logits"))
    ours = _run(model_from_tensors(name, published_tensors(name), "features", {}, name), images)
    assert ours.shape == (3, 1280)
    assert np.abs(ours - features).max() <= 1e-4
    ours = _run(model_from_tensors(name, published_tensors(name), "classifier", {}, name), images)
    assert ours.shape == (3, 1000)
    assert np.abs(np.take_along_axis(ours, top5, 1) - logits).max() <= 1e-4
    np.testing.assert_array_equal(ours.argmax(1), top5[:, 0])


def test_wrong_padding_would_be_seen(published_tensors: Callable[[str], Tensors]) -> None:
    """The golden features tell 'SAME' padding from the symmetric kind: the tolerance above is a real check."""
    model = model_from_tensors(LITE0, published_tensors(LITE0), "features", {}, LITE0)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "pads" and attribute.ints[0] != attribute.ints[3]:
                attribute.ints[:] = [attribute.ints[3], attribute.ints[2], attribute.ints[1], attribute.ints[0]]
    with np.load(GOLDEN) as golden:
        features = golden["lite0_features"]
    assert np.abs(_run(model, network_input(golden_images(224))) - features).max() > 0.1


def test_nodes_of_lite0(random_model: onnx.ModelProto) -> None:
    graph = random_model.graph
    counts = {"Conv": 49, "Clip": 33, "Add": 9, "GlobalAveragePool": 1, "Flatten": 1}
    assert Counter(node.op_type for node in graph.node) == counts
    assert [(entry.domain, entry.version) for entry in random_model.opset_import] == [("", 17)]
    assert random_model.ir_version == 8
    assert all(list(node.output) == [node.name] for node in graph.node)
    names = {node.name for node in graph.node}
    assert {"stem", "block1_1/depthwise/relu6", "block2_1/project", "block2_2/add", "head/relu6"} <= names
    assert "block2_1/project/relu6" not in names
    assert "block1_1/expand" not in names
    used = {name for node in graph.node for name in node.input}
    assert {initializer.name for initializer in graph.initializer} <= used
    assert {entry.key: entry.value for entry in random_model.metadata_props} == {"a": "1", "b": "2"}


def test_input_and_output(random_model: onnx.ModelProto) -> None:
    def shape(value: Any) -> list[Any]:
        return [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]

    assert [(value.name, shape(value)) for value in random_model.graph.input] == [("images", ["N", 3, 224, 224])]
    assert [(value.name, shape(value)) for value in random_model.graph.output] == [("features", ["N", 1280])]


def test_the_batch_axis_is_free(random_model: onnx.ModelProto) -> None:
    images = network_input(golden_images(224))
    together = _run(random_model, images)
    for index in range(3):
        np.testing.assert_allclose(_run(random_model, images[index : index + 1])[0], together[index], atol=1e-5)


def test_the_same_tensors_give_the_same_bytes(random_tensors: Tensors, random_model: onnx.ModelProto) -> None:
    backwards = dict(reversed(random_tensors.items()))
    again = model_from_tensors(LITE0, backwards, "features", {"a": "1", "b": "2"}, "y.pth")
    assert again.SerializeToString(deterministic=True) == random_model.SerializeToString(deterministic=True)


def test_batch_norm_is_folded(random_tensors: Tensors, random_model: onnx.ModelProto) -> None:
    constants = {item.name: numpy_helper.to_array(item) for item in random_model.graph.initializer}
    gain, bias, mean, variance = (
        random_tensors[f"_blocks.1._bn1.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + 1e-3)
    weight = random_tensors["_blocks.1._depthwise_conv.weight"] * scale.reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(constants["block2_1/depthwise/weight"], weight.astype(np.float32))
    np.testing.assert_array_equal(constants["block2_1/depthwise/bias"], (bias - mean * scale).astype(np.float32))


def _geometry(blocks: list[Block]) -> tuple[int, int, int]:
    convs = [conv for block in blocks for conv in block.convs]
    weights = sum(int(np.prod(conv.weight_shape)) for conv in convs)
    return len(convs), weights, sum(block.residual for block in blocks)


@pytest.mark.parametrize(
    ("number", "convs", "weights", "residuals"),
    [(0, 49, 3328992, 9), (1, 64, 4082016, 14), (2, 64, 4752976, 14), (3, 73, 6839424, 17), (4, 91, 11613200, 23)],
)
def test_the_family_has_the_sizes_of_the_pytorch_port(number: int, convs: int, weights: int, residuals: int) -> None:
    """Convolutions and their weights as counted in the port's own models; residuals are blocks that repeat a stage."""
    blocks = list(layout(VARIANTS[f"efficientnet-lite{number}"]))
    assert _geometry(blocks) == (convs, weights, residuals)
    for block in blocks:
        first, last = block.convs[0], block.convs[-1]
        same_shape = first.channels_in == last.channels_out and all(conv.stride == 1 for conv in block.convs)
        assert block.residual == same_shape


@pytest.mark.parametrize(
    ("side_px", "kernel", "stride", "padding"),
    [
        (224, 3, 2, (0, 1)),
        (65, 5, 2, (2, 2)),
        (130, 5, 2, (1, 2)),
        (14, 5, 1, (2, 2)),
        (7, 1, 1, (0, 0)),
        (4, 1, 2, (0, 0)),
    ],
)
def test_same_padding(side_px: int, kernel: int, stride: int, padding: tuple[int, int]) -> None:
    assert same_padding(side_px, kernel, stride) == padding
    assert (side_px + sum(padding) - kernel) // stride + 1 == -(-side_px // stride)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"_conv_stem.weight": None}, "_conv_stem.weight is missing"),
        ({"_bn1.running_var": None}, "_bn1.running_var is missing"),
        ({"_blocks.16._bn1.bias": np.ones(4, np.float32)}, "1 tensors that efficientnet-lite0 does not have"),
        ({"_bn0.bias": np.ones(31, np.float32)}, r"_bn0.bias is float32 \[31\], expected float32 \[32\]"),
        ({"_bn0.bias": np.ones(32, np.int64)}, "_bn0.bias is int64"),
        ({"_bn0.bias": np.full(32, np.nan, np.float32)}, "NaN or infinity"),
        ({"_bn0.running_var": np.full(32, -1, np.float32)}, "running_var is negative"),
        (
            {"_bn0.weight": np.full(32, 3e38, np.float32), "_bn0.running_var": np.zeros(32, np.float32)},
            "range of float32",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change: dict[str, Any], found: str, random_tensors: Tensors) -> None:
    tensors = {name: tensor for name, tensor in {**random_tensors, **change}.items() if tensor is not None}
    with pytest.raises(ModelError, match=found):
        model_from_tensors(LITE0, tensors, "features", {}, "x.pth")


@pytest.mark.parametrize(("head", "fits"), [("features", True), ("classifier", False)])
def test_only_the_classifier_needs_its_layer(head: str, fits: bool, random_tensors: Tensors) -> None:
    chosen: Head = HEADS[head]
    if fits:
        assert model_from_tensors(LITE0, random_tensors, chosen, {}, "x.pth").graph.output[0].name == "features"
    else:
        with pytest.raises(ModelError, match=r"_fc\.weight is missing"):
            model_from_tensors(LITE0, random_tensors, chosen, {}, "x.pth")


def test_weights_of_another_member_are_refused(published_tensors: Callable[[str], Tensors]) -> None:
    for name, other in (("efficientnet-lite0", "efficientnet-lite1"), ("efficientnet-lite1", "efficientnet-lite0")):
        with pytest.raises(ModelError):
            model_from_tensors(name, published_tensors(other), "features", {}, "x.pth")
