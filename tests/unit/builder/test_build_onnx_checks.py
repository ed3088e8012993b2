from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from small_nets import Net, plain

from builder.onnx_checks import load_backbone, size_of
from edge.errors import ModelError


def _save(path: Path, change: Callable[[onnx.ModelProto], None], model: onnx.ModelProto | None = None) -> Path:
    model = model or plain()
    change(model)
    onnx.save(model, path / "m.onnx")
    return path / "m.onnx"


def _set_shape(*sizes: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        kind = model.graph.input[0].type.tensor_type.elem_type
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", kind, sizes))

    return change


def _second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 1]))


def _as_uint8(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["x_float"], to=TensorProto.FLOAT))
    model.graph.node[1].input[0] = "x_float"


def _poison(value: float) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        weight = model.graph.initializer[2]
        values = numpy_helper.to_array(weight).copy()
        values.flat[7] = value
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))

    return change


def _custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain = "acme"
    model.opset_import.append(helper.make_opsetid("acme", 1))


def _opset(version: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = version

    return change


def _unknown_tensor(model: onnx.ModelProto) -> None:
    model.graph.node[3].input[0] = "nowhere"


def test_a_good_model_passes_and_its_size_is_known(tmp_path: Path) -> None:
    path = _save(tmp_path, _set_shape("N", 3, 32, 48))
    assert size_of(path, load_backbone(path), "nchw") == (32, 48)


def test_weights_listed_as_inputs_are_not_inputs(tmp_path: Path) -> None:
    def list_weights(model: onnx.ModelProto) -> None:
        for weight in model.graph.initializer:
            model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))

    path = _save(tmp_path, list_weights)
    assert size_of(path, load_backbone(path), "nchw") == (32, 32)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_second_input, r"2 inputs \(x, mask\), expected one"),
        (_set_shape(1, 3, 32, 32), r"fixed batch of 1, expected a free first axis; export with dynamic_axes=.*'x'"),
        (_set_shape("N", 3, 32), r"expected rank 4"),
        (_as_uint8, "input x is uint8, expected float"),
        (_poison(np.nan), r"weight conv1\.w of Conv node_conv1 holds NaN"),
        (_poison(np.inf), r"weight conv1\.w of Conv node_conv1 holds NaN or infinity"),
        (_custom_operator, r"operators outside standard ONNX \(acme\.Relu node_conv0_relu\)"),
        (_opset(9), "opset 9, expected 11 to 21"),
        (_opset(99), "opset 99, expected 11 to 21"),
        (_unknown_tensor, "not a valid ONNX graph"),
    ],
    ids=["two inputs", "fixed batch", "rank 3", "uint8", "nan", "inf", "own operator", "old", "new", "unknown tensor"],
)
def test_a_model_that_cannot_be_built_from_is_refused(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], expected: str
) -> None:
    with pytest.raises(ModelError, match=expected) as refused:
        load_backbone(_save(tmp_path, change))
    assert "m.onnx: " in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("sizes", "layout", "expected"),
    [
        (("N", 3, 32, 32), "nhwc", "layout nhwc has 32 channels, expected 3"),
        (("N", 3, "H", "W"), "nchw", "leaves height or width free"),
        (("N", 3, 32, -1), "nchw", r"\(free, 3, 32, free\) leaves height or width free"),
    ],
)
def test_an_input_that_is_not_a_picture_of_known_size_is_refused(
    tmp_path: Path, sizes: tuple[object, ...], layout: str, expected: str
) -> None:
    path = _save(tmp_path, _set_shape(*sizes))
    with pytest.raises(ModelError, match=expected):
        size_of(path, load_backbone(path), layout)


@pytest.mark.parametrize("batch", ["batch_size", -1, None], ids=["named", "minus one", "not stated"])
def test_every_way_to_leave_the_batch_free_is_understood(tmp_path: Path, batch: object) -> None:
    load_backbone(_save(tmp_path, _set_shape(batch, 3, 32, 32)))


def test_an_older_opset_is_converted(tmp_path: Path) -> None:
    net = Net()
    model = net.model(net.relu(net.conv("x", 4, "c")), 8, opset=11)
    path = _save(tmp_path, lambda _: None, model)
    assert load_backbone(path).opset_import[0].version == 17


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7 something else", b"\x00" * 64, None])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = _save(tmp_path, lambda _: None)
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ModelError, match=r"m\.onnx: (not an ONNX model|holds no network|not a valid)"):
        load_backbone(path)


@pytest.mark.parametrize("name", ["absent.onnx", "."])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="give the path of an ONNX model"):
        load_backbone(tmp_path / name)


def _external(model: onnx.ModelProto, location: str) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    model = plain()
    values = numpy_helper.to_array(model.graph.initializer[0])
    (tmp_path / "w.bin").write_bytes(values.tobytes())
    loaded = load_backbone(_save(tmp_path, lambda m: _external(m, "w.bin"), model))
    np.testing.assert_array_equal(numpy_helper.to_array(loaded.graph.initializer[0]), values)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "link/w.bin", ""])
def test_external_data_outside_the_models_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(4 * 8 * 27))
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(ModelError, match="outside the model's folder"):
        load_backbone(_save(folder, lambda m: _external(m, location)))


@pytest.mark.parametrize("size", [None, 10], ids=["absent", "cut short"])
def test_external_data_that_cannot_be_read_is_refused(tmp_path: Path, size: int | None) -> None:
    if size is not None:
        (tmp_path / "w.bin").write_bytes(bytes(size))
    with pytest.raises(ModelError, match=r"w\.bin|conv0\.w|not a valid"):
        load_backbone(_save(tmp_path, lambda m: _external(m, "w.bin")))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_a_damaged_file_never_ends_in_anything_but_a_model_error(
    tmp_path: Path, place: int, value: int, cut: int
) -> None:
    net = Net()
    data = bytearray(net.model(net.relu(net.conv("x", 4, "c")), 8).SerializeToString())
    data[place % len(data)] = value
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(data[: len(data) - cut % len(data)]))
    try:
        size_of(path, load_backbone(path), "nchw")
    except ModelError as error:
        assert "m.onnx: " in str(error)
