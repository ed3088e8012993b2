"""Another input size: convolutions take it, places for each position do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from small_nets import Net, mobile, plain, vision_transformer

from builder.input_size import with_size
from edge.errors import ModelError

PATH = Path("m.onnx")


def _run(model: onnx.ModelProto, shape: tuple[int, ...]) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": np.ones(shape, np.float32)})[0])


@pytest.mark.parametrize("size", [(24, 24), (64, 64), (48, 32)])
def test_a_convolutional_network_takes_other_sizes(size: tuple[int, int]) -> None:
    given = mobile()
    found = with_size(PATH, given, "nchw", size)
    assert _run(found, (2, 3, *size)).shape == _run(given, (2, 3, 32, 32)).shape
    assert given.graph.input[0].type.tensor_type.shape.dim[2].dim_value == 32


def test_channels_last_too() -> None:
    found = with_size(PATH, plain(layout="nhwc"), "nhwc", (48, 48))
    assert _run(found, (1, 48, 48, 3)).shape == (1, 32)


def _flattened() -> onnx.ModelProto:
    """A map laid flat before a matrix product."""
    net = Net()
    flat = net.node("Flatten", [net.conv("x", 4, "c")], "flat", axis=1)
    weight = net.weight("w", np.ones((4 * 32 * 32, 5), np.float32))
    net.node("MatMul", [flat, weight], "y")
    return net.close("y", 5, ["N", 3, 32, 32], 17)


def _local_pool() -> onnx.ModelProto:
    """Pooling over the whole map of the own size, then flat: longer features at another size."""
    net = Net()
    pooled = net.node("AveragePool", [net.conv("x", 4, "c")], "pooled", kernel_shape=[32, 32], strides=[32, 32])
    net.node("Flatten", [pooled], "y", axis=1)
    model = net.close("y", 4, ["N", 3, 32, 32], 17)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, ["N", None]))
    return model


@pytest.mark.parametrize("net", [vision_transformer, _flattened, _local_pool])
def test_a_network_with_a_place_for_each_position_is_refused(net: object) -> None:
    with pytest.raises(ModelError, match="does not take 64 x 64 pixels, it was exported for 32 x 32"):
        with_size(PATH, net(), "nchw", (64, 64))  # type: ignore[operator]
