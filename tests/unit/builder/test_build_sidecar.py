from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import yaml
from small_nets import plain

from builder.sidecar import PREFIX, Preprocess, read_preprocess
from edge.errors import ConfigError, InputError, ModelError

GOOD = "color: rgb\nmean: [127, 127.5, 128]\nstd: [58.4, 57.1, 57.4]\nlayout: nchw\nresize: letterbox\n"


def _with_metadata(**values: str) -> onnx.ModelProto:
    model = plain()
    for key, value in values.items():
        model.metadata_props.add(key=PREFIX + key, value=value)
    return model


def test_the_file_beside_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(GOOD)
    found = read_preprocess(tmp_path / "m.onnx", plain(), None)
    assert found == Preprocess(
        color="rgb", mean=(127.0, 127.5, 128.0), std=(58.4, 57.1, 57.4), layout="nchw", resize="letterbox"
    )


def test_a_given_file_comes_before_the_one_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(GOOD)
    (tmp_path / "other.yaml").write_text(GOOD.replace("rgb", "bgr"))
    assert read_preprocess(tmp_path / "m.onnx", plain(), tmp_path / "other.yaml").color == "bgr"


def test_metadata_is_read_where_there_is_no_file(tmp_path: Path) -> None:
    model = _with_metadata(
        color="bgr", mean="[104, 117, 123]", std="[1, 1, 1.5]", layout="nchw", resize="stretch", note="anything"
    )
    found = read_preprocess(tmp_path / "m.onnx", model, None)
    assert (found.color, found.mean, found.std) == ("bgr", (104.0, 117.0, 123.0), (1.0, 1.0, 1.5))


def test_incomplete_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"shelfedge\.\*: .*missing required field"):
        read_preprocess(tmp_path / "m.onnx", _with_metadata(color="rgb", mean="[1, 2, 3]"), None)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_without_either_the_message_holds_a_template_that_works(tmp_path: Path, layout: str) -> None:
    model = plain(layout=layout)
    with pytest.raises(ModelError, match=r"write m\.yaml beside it") as refused:
        read_preprocess(tmp_path / "m.onnx", model, None)
    template = str(refused.value)[str(refused.value).index("{") :]
    assert yaml.safe_load(template)["layout"] == layout
    (tmp_path / "m.yaml").write_text(template)
    assert read_preprocess(tmp_path / "m.onnx", model, None).layout == layout


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("color: rgb", "color: gbr", "color"),
        ("57.1, 57.4]", "57.1]", "std"),
        ("[58.4,", "[0,", "std"),
        ("mean: [127,", "mean: [.nan,", "mean"),
        ("layout: nchw\n", "", "layout"),
        ("resize: letterbox", "resize: letterbox\nsize: 224", "size: unknown key"),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    (tmp_path / "m.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=rf"m\.yaml:\d+: .*{expected}"):
        read_preprocess(tmp_path / "m.onnx", plain(), None)


def test_a_given_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_preprocess(tmp_path / "m.onnx", plain(), tmp_path / "absent.yaml")
