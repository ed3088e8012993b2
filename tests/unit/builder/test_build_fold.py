from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper
from small_nets import Net, plain

from builder.fold import fold
from builder.optimise import optimised
from builder.sidecar import Preprocess

SIZE = (24, 32)


def _net(reader: str, layout: str) -> onnx.ModelProto:
    """A small net of SIZE; `reader` says who reads the input: one conv, two convs, or something else."""
    net = Net(3)
    source = "x"
    if layout == "nhwc":
        source = net.node("Transpose", ["x"], "turned", perm=[0, 3, 1, 2])
        net.channels[source] = 3
    if reader == "other":
        source = net.relu(source)
    last = net.relu(net.conv(source, 6, "a"))
    if reader == "two":
        last = net.add(last, net.conv(source, 6, "b"), "sum")
    model = net.model(last, 8, layout)
    shape = ["N", 3, *SIZE] if layout == "nchw" else ["N", *SIZE, 3]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", 1, shape))
    return model


def _run(model: onnx.ModelProto, values: NDArray[np.generic]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: values})[0]
    return rows


def _in_numpy(images: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    pixels = images.astype(np.float64)[..., ::-1]
    pixels = (pixels - np.array(preprocess.mean)) / np.array(preprocess.std)
    if preprocess.color == "bgr":
        pixels = pixels[..., ::-1]
    if preprocess.layout == "nchw":
        pixels = pixels.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pixels, np.float32)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("reader", ["one", "two", "other"])
@pytest.mark.parametrize(
    ("mean", "std"),
    [((127.0,) * 3, (128.0,) * 3), ((0.0,) * 3, (255.0, 127.0, 64.0)), ((123.675, 116.28, 103.53), (58.4, 57.1, 57.4))],
    ids=["lite", "std differs", "imagenet"],
)
def test_the_folded_graph_computes_what_numpy_preprocessing_gives(
    color: str, layout: str, reader: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    preprocess = Preprocess(color=color, mean=mean, std=std, layout=layout, resize="stretch")  # type: ignore[arg-type]
    images = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    images[0, :2], images[0, 2:4] = 0, 255
    given = _net(reader, layout)
    folded = fold(optimised(Path("m.onnx"), given), preprocess, SIZE)
    onnx.checker.check_model(folded.model)
    expected = _run(given, _in_numpy(images, preprocess))
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(_run(folded.model, images), expected, atol=5e-6, rtol=1e-5)
    takes_bytes = reader == "one" and len(set(mean)) == 1
    assert (folded.scale is not None) == takes_bytes
    kinds = [node.op_type for node in folded.model.graph.node]
    assert ("Sub" in kinds) != takes_bytes


def test_the_given_model_is_not_changed() -> None:
    plain_model = optimised(Path("m.onnx"), plain())
    before = plain_model.SerializeToString()
    preprocess = Preprocess(color="rgb", mean=(1, 1, 1), std=(1, 2, 3), layout="nchw", resize="crop")
    fold(plain_model, preprocess, (32, 32))
    assert plain_model.SerializeToString() == before


@pytest.mark.parametrize("mean", [-1.0, 256.0, 127.5])
def test_a_mean_that_is_no_byte_takes_the_float_way(mean: float) -> None:
    preprocess = Preprocess(color="bgr", mean=(mean,) * 3, std=(128, 128, 128), layout="nchw", resize="stretch")
    assert fold(optimised(Path("m.onnx"), plain()), preprocess, (32, 32)).scale is None
