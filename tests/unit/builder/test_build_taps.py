from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from small_nets import Net, bottleneck_resnet, mobile, plain, plain_resnet, separable, vision_transformer
from vit_nets import Form, exported_transformer

from builder.optimise import optimised
from builder.taps import Tap, find_taps, named_taps
from edge.errors import ModelError

PATH = Path("m.onnx")


def _found(model: onnx.ModelProto) -> list[tuple[str, int, int]]:
    return [(tap.tensor, tap.channels, tap.height) for tap in find_taps(PATH, optimised(PATH, model))]


def test_plain_convolutions_are_tapped_before_the_pooling() -> None:
    assert _found(plain()) == [
        ("conv1_relu", 8, 32),
        ("conv2_relu", 16, 16),
        ("conv3_relu", 16, 8),
        ("conv4_relu", 32, 4),
    ]


def test_the_layout_of_the_input_changes_nothing() -> None:
    assert _found(plain(layout="nhwc")) == _found(plain())


def test_a_bottleneck_resnet_is_tapped_after_the_last_add_of_each_stage() -> None:
    assert _found(bottleneck_resnet()) == [
        ("stem_bn_relu", 8, 32),
        ("s0b1_add_relu", 32, 16),
        ("s1b1_add_relu", 64, 8),
        ("s2b1_add_relu", 128, 4),
    ]


def test_a_plain_resnet_is_tapped_after_each_stage() -> None:
    assert _found(plain_resnet()) == [("s0_add_relu", 16, 32), ("s1_add_relu", 32, 16), ("s2_add_relu", 64, 8)]


def test_inverted_bottlenecks_are_tapped_where_they_are_narrow() -> None:
    assert _found(mobile()) == [
        ("b0_add", 8, 16),
        ("b2_add", 12, 8),
        ("b4_add", 16, 4),
        ("b5_project", 24, 4),
        ("head_relu6", 48, 4),
    ]


def test_depthwise_outputs_are_not_tapped() -> None:
    assert _found(separable()) == [("stem_relu", 8, 16), ("pw0_relu", 16, 16), ("pw1_relu", 32, 8), ("pw2_relu", 32, 4)]


def test_efficientnet_lite0_has_the_six_depths_that_were_measured() -> None:
    net = Net()
    last = net.relu6(net.conv("x", 32, "stem", stride=2))
    layers = [
        (1, 1, 1, 16),
        (2, 2, 6, 24),
        (2, 2, 6, 40),
        (3, 2, 6, 80),
        (3, 1, 6, 112),
        (4, 2, 6, 192),
        (1, 1, 6, 320),
    ]
    for stage, (repeats, stride, expand, channels) in enumerate(layers):
        for block in range(repeats):
            last = net.mbconv(last, channels, f"s{stage}b{block}", 1 if block else stride, expand)
    model = net.model(net.relu6(net.conv(last, 1280, "head", kernel=1)), 64)
    found = _found(model)
    assert [channels for _, channels, _ in found] == [40, 80, 112, 192, 320, 1280]
    assert [name for name, _, _ in found] == [
        "s2b1_add",
        "s3b2_add",
        "s4b2_add",
        "s5b3_add",
        "s6b0_project",
        "head_relu6",
    ]


@pytest.mark.parametrize(
    ("blocks", "expected"), [(1, [0]), (3, [0, 1, 2]), (6, [0, 1, 2, 3, 4, 5]), (12, [0, 2, 4, 7, 9, 11])]
)
def test_a_transformer_is_tapped_at_block_outputs_evenly_and_at_the_last(blocks: int, expected: list[int]) -> None:
    taps = find_taps(PATH, optimised(PATH, vision_transformer(blocks=blocks)))
    assert [tap.tensor for tap in taps] == [f"b{block}_mlp" for block in expected]
    assert all((tap.channels, tap.height, tap.is_map) == (24, 16, False) for tap in taps)


def test_a_network_without_feature_maps_is_refused() -> None:
    net = Net()
    pooled = net.node("GlobalAveragePool", ["x"], "small")
    with pytest.raises(ModelError, match=r"no feature map .*--taps"):
        find_taps(PATH, net.model(net.conv(pooled, 8, "c", kernel=1), 16))


def test_named_tensors_are_taken_in_the_order_given() -> None:
    taps = named_taps(PATH, optimised(PATH, plain()), ["conv4_relu", "conv1_relu"])
    assert taps == (Tap("conv4_relu", 32, 4, 4, True), Tap("conv1_relu", 8, 32, 32, True))


@pytest.mark.parametrize("name", ["y", "pooled", "conv0.w", "x", "nowhere"])
def test_a_named_tensor_that_is_no_feature_map_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=f"tap '{name}' has shape"):
        named_taps(PATH, optimised(PATH, plain()), [name])


@pytest.mark.parametrize("form", [Form(), Form(gives_tokens=True)], ids=["row", "tokens"])
def test_the_tokens_of_an_exported_transformer_are_found_whatever_it_gives(form: Form) -> None:
    assert _found(exported_transformer(blocks=3, form=form)) == [
        ("b0_mlp", 24, 17),
        ("b1_mlp", 24, 17),
        ("b2_mlp", 24, 17),
    ]


def _free_tokens(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make the number of tokens hang on the pixels, where no exporter could say it: only those above a limit stay."""
    nodes = model.graph.node
    place = next(index for index, node in enumerate(nodes) if node.name == "node_placed")
    mean = onnx.helper.make_node("ReduceMean", ["joined"], ["per_token"], axes=[0, 2], keepdims=0)
    above = onnx.helper.make_node("Greater", ["per_token", "limit"], ["above"])
    chosen = onnx.helper.make_node("Compress", ["joined", "above"], ["chosen"], axis=1, name="choose")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(-100), "limit"))
    weight = next(one for one in model.graph.initializer if one.name == "place")
    weight.CopyFrom(onnx.numpy_helper.from_array(np.zeros((1, 1, 24), np.float32), "place"))  # one place for all
    nodes[place].input[0] = "chosen"
    for index, one in enumerate((mean, above, chosen)):
        nodes.insert(place + index, one)
    return model


def test_sizes_that_stay_free_are_refused_and_not_passed_over() -> None:
    model = optimised(PATH, _free_tokens(exported_transformer()))
    said = (
        r"from MatMul node_b0_\w_product on sizes beside the batch are free, and the last tap \(patches\) sees \d\d% of"
    )
    with pytest.raises(ModelError, match=said):
        find_taps(PATH, model)
