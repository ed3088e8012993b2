"""Checkpoints: both formats are read exactly, and no bytes whatever do anything but end in a ModelError."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_files import (
    MAGIC,
    ORDERED,
    REBUILD,
    SYSTEM,
    Call,
    Name,
    Raw,
    Reference,
    dump,
    emit,
    storage,
    stream_file,
    tensor,
    zip_file,
)

from builder.zoo import checkpoint, pickles
from builder.zoo.checkpoint import read_checkpoint, tensors_from_bytes
from edge.errors import ModelError

HERE = Path(__file__).parent
Writer = Callable[[Any, dict[str, tuple[int, bytes]]], bytes]
both_formats = pytest.mark.parametrize("write", [stream_file, zip_file])

FLOATS = np.arange(24, dtype="<f4") / 8
SHARED = storage("a", 24)
STORED = {
    "a": (24, FLOATS.tobytes()),
    "b": (1, struct.pack("<q", 2**40)),
    "c": (2, np.array([0.5, -2], "<f2").tobytes()),
}
VALUE = {
    "straight": tensor(SHARED, 0, (4, 6), (6, 1)),
    "turned": tensor(SHARED, 0, (6, 4), (1, 6)),
    "part": tensor(SHARED, 3, (2, 2), (6, 2)),
    "last": tensor(SHARED, 23, (1, 1), (999, 1)),
    "counter": tensor(storage("b", 1, "LongStorage"), 0, (), ()),
    "half": Call(
        Name("torch._utils", "_rebuild_parameter"),
        (tensor(storage("c", 2, "HalfStorage"), 0, (2,), (1,)), True, ORDERED),
    ),
    "old": Call(Name("torch._utils", "_rebuild_tensor"), (SHARED, 1, (2,), (2,))),
}


@both_formats
def test_every_view_is_read_exactly(write: Writer) -> None:
    tensors = tensors_from_bytes(write(VALUE, STORED), "x.pth")
    table = FLOATS.reshape(4, 6)
    expected = {
        "straight": table,
        "turned": table.T,
        "part": FLOATS[[[3, 5], [9, 11]]],
        "last": FLOATS[[[23]]],
        "counter": np.int64(2**40),
        "half": np.array([0.5, -2], np.float32),
        "old": FLOATS[[1, 3]],
    }
    assert list(tensors) == list(expected)
    for name, array in expected.items():
        assert tensors[name].dtype == (np.int64 if name == "counter" else np.float32)
        assert tensors[name].flags.c_contiguous
        np.testing.assert_array_equal(tensors[name], array)
        assert tensors[name].shape == np.shape(array)


@both_formats
def test_attributes_of_the_dictionary_are_ignored(write: Writer) -> None:
    ordered = emit(ORDERED) + b"(" + emit("w") + emit(tensor(SHARED, 0, (2,), (1,))) + b"u"
    value = Raw(ordered + emit({"_metadata": {"": {"version": 1}}}) + b"b")
    assert list(tensors_from_bytes(write(value, {"a": STORED["a"]}), "x.pth")) == ["w"]


@pytest.mark.parametrize("name", ["tiny-stream.pth", "tiny-zip.pth"])
def test_files_written_by_pytorch(name: str) -> None:
    """Written by PyTorch 2.13.0, `_use_new_zipfile_serialization` off and on; both stay readable for good."""
    tensors = tensors_from_bytes(read_checkpoint(HERE / name), name)
    assert set(tensors) == {"weight", "turned", "count", "parameter"}
    np.testing.assert_array_equal(tensors["weight"], np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(tensors["turned"], np.arange(6, dtype=np.float32).reshape(2, 3).T)
    assert tensors["count"] == 7
    assert tensors["count"].shape == ()
    np.testing.assert_array_equal(tensors["parameter"], np.ones(4, np.float32))


class Evil:
    """Pickles as a call of `function`: what an attacker would publish."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@both_formats
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_command_is_named_and_not_run(write: Writer, protocol: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil = pickle.dumps({"w": Evil(os.system, f"touch {canary}")}, protocol)
    opcodes = evil[2 if protocol >= 2 else 0 : -1]
    with pytest.raises(ModelError) as caught:
        tensors_from_bytes(write(Raw(opcodes), {}), "x.pth")
    if protocol >= 2:
        assert "'posix.system'" in str(caught.value)
    assert not canary.exists()
    pickle.loads(evil)  # the same bytes do run elsewhere: this test can fail
    assert canary.exists()


def _stack_name(module: str, name: str) -> Raw:
    return Raw(emit(module) + emit(name) + b"\x93")


@both_formats
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Call(Name("builtins", "eval"), ("1+1",)), "'builtins.eval'"),
        (Call(Name("builtins", "getattr"), (Name("collections", "OrderedDict"), "__init__")), "'builtins.getattr'"),
        (
            Call(Name("builtins", "getattr"), (Call(Name("builtins", "__import__"), ("os",)), "system")),
            "builtins.getattr",
        ),
        (Name("numpy", "array"), "'numpy.array'"),
        (Name("numpy.core.multiarray", "_reconstruct"), "_reconstruct'"),
        (Name("torch", "load"), "'torch.load'"),
        (Name("torch.serialization", "load"), "'torch.serialization.load'"),
        (Name("torch._utils", "_rebuild_tensor_v2.__globals__"), "__globals__'"),
        (Name("torch", "DoubleStorage"), "'torch.DoubleStorage'"),
        (Name("__builtin__", "execfile"), "'__builtin__.execfile'"),
        (Name("os\x1b[2J", "system"), r"'os\x1b[2J.system'"),
        (_stack_name("subprocess", "Popen"), "'subprocess.Popen'"),
        (Raw(b"(" + emit("true") + b"ios\nsystem\n"), "'os.system'"),
        (Raw(b"\x82\x01"), "EXT1"),
        (Raw(emit(Name("collections", "OrderedDict")) + b")\x81"), "NEWOBJ"),
        (Raw(b"(" + emit(Name("collections", "OrderedDict")) + b"o"), "OBJ"),
        (Raw(b"P42\n"), "PERSID"),
        (Raw(b"I1\n"), "opcode INT"),
        (Raw(b"\xff"), "0xff"),
    ],
)
def test_foreign_names_and_opcodes_are_named(write: Writer, value: Any, named: str) -> None:
    with pytest.raises(ModelError) as caught:
        tensors_from_bytes(write({"w": value}, {}), "x.pth")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def _nested(depth: int) -> Raw:
    return Raw(b"}" + b")" + b"\x85" * depth + b"Ns")


@both_formats
@pytest.mark.parametrize(
    "value",
    [
        Call(Name("collections", "OrderedDict"), ([("a", 1)],)),
        Call("text", ()),
        Call(REBUILD, (SHARED, 0)),
        Call(REBUILD, ("text", 0, (1,), (1,), False, ORDERED)),
        Call(REBUILD, (SHARED, True, (1,), (1,), False, ORDERED)),
        Call(REBUILD, (SHARED, 0, ("1",), (1,), False, ORDERED)),
        Call(REBUILD, (SHARED, 0, [1], (1,), False, ORDERED)),
        Call(Name("torch._utils", "_rebuild_parameter"), (1, True, ORDERED)),
        Call(Name("torch", "FloatStorage"), (4,)),
        Raw(emit(SHARED) + b"Nb"),
        Raw(emit(REBUILD) + b"NR"),
        Reference(("module", Name("torch", "FloatStorage"), "source", "text")),
        Reference(("storage", "torch.FloatStorage", "a", "cpu", 24)),
        Reference(("storage", Name("torch._utils", "_rebuild_tensor"), "a", "cpu", 24)),
        Reference(("storage", Name("torch", "FloatStorage"), "a", "cpu", -1)),
        Reference(("storage", Name("torch", "FloatStorage"), "a", "cpu", 24, ("view", 0, 4))),
        Raw(b"R"),
        Raw(b"0"),
        Raw(b"t"),
        Raw(b"(s"),
        Raw(b"]Na)Ns"),
        Raw(b"}(Nu"),
        Raw(b"h\x07"),
        Raw(b"\x80\x01"),
        Raw(b"X\xff\xff\xff\xffabc"),
        Raw(b"X\x02\x00\x00\x00\xff\xfe"),
        Raw(b"\x8a\xff" + b"\x7f" * 255),
        Raw(b"\x8e" + b"\xff" * 8),
        Raw(b"c" + b"a" * 1000 + b"\n"),
        _nested(200_000),
    ],
)
def test_malformed_pickles_are_refused(write: Writer, value: Any) -> None:
    with pytest.raises(ModelError, match=r"x\.pth: its pickle holds"):
        tensors_from_bytes(write({"w": value}, {"a": STORED["a"]}), "x.pth")


@both_formats
def test_a_huge_memo_index_costs_nothing(write: Writer) -> None:
    """Python's own machine would make room for four thousand million entries here."""
    value = Raw(b"Nr\xff\xff\xff\xff")
    with pytest.raises(ModelError, match="holds NoneType"):
        tensors_from_bytes(write(value, {}), "x.pth")


@both_formats
def test_too_many_opcodes_are_refused(write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_STEPS", 100)
    with pytest.raises(ModelError, match="more than 100 opcodes"):
        tensors_from_bytes(write([1] * 200, {}), "x.pth")


@both_formats
@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (25,), (1,)),
        (1, (24,), (1,)),
        (24, (), ()),
        (0, (4, 6), (6, 2)),
        (0, (2,), (24,)),
        (0, (2,), (2**62,)),
        (2**62, (1,), (1,)),
        (0, (2**62, 2**62), (0, 0)),
        (0, (25,), (0,)),
        (0, (0,), (1,)),
        (0, (0, 2**62), (1, 1)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (5, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (), (1,)),
        (0, (1,) * 9, (1,) * 9),
    ],
)
def test_views_that_leave_their_storage_are_refused(
    write: Writer, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    data = write({"w": tensor(SHARED, offset, size, stride)}, {"a": STORED["a"]})
    with pytest.raises(ModelError, match=r"tensor 'w': offset"):
        tensors_from_bytes(data, "x.pth")


@both_formats
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([1], "holds list"),
        ({"epoch": 3}, "entry 'epoch' of kind int"),
        ({"model": {"w": tensor(SHARED, 0, (1,), (1,))}}, "entry 'model' of kind dict"),
        ({7: tensor(SHARED, 0, (1,), (1,))}, "entry 7 of kind Tensor"),
    ],
)
def test_other_contents_are_refused(write: Writer, value: Any, found: str) -> None:
    with pytest.raises(ModelError, match=found):
        tensors_from_bytes(write(value, {"a": STORED["a"]} if "Tensor" in found or "dict" in found else {}), "x.pth")


def test_storages_of_the_wrong_length_are_refused() -> None:
    value = {"w": tensor(SHARED, 0, (24,), (1,))}
    for storages in (
        {"a": (24, FLOATS.tobytes()[:-4])},
        {"a": (23, FLOATS.tobytes()[:-4])},
        {"a": (24, FLOATS.tobytes() + b"\0")},
        {"a": (-1, b"")},
        {},
    ):
        for write in (stream_file, zip_file):
            with pytest.raises(ModelError):
                tensors_from_bytes(write(value, storages), "x.pth")


def test_stream_with_a_foreign_or_repeated_storage_is_refused() -> None:
    value = {"w": tensor(SHARED, 0, (24,), (1,))}
    good = stream_file(value, {"a": STORED["a"]})
    tensors_from_bytes(good, "x.pth")
    for keys in (["a", "a"], ["b"], [3], {"a": 1}):
        data = good.replace(dump(["a"]), dump(keys))
        assert data != good
        with pytest.raises(ModelError, match="storage"):
            tensors_from_bytes(data + good[-104:], "x.pth")


def test_one_storage_described_twice_is_refused() -> None:
    value = {"v": tensor(SHARED, 0, (1,), (1,)), "w": tensor(storage("a", 12, "LongStorage"), 0, (1,), (1,))}
    with pytest.raises(ModelError, match="two descriptions"):
        tensors_from_bytes(stream_file(value, {"a": STORED["a"]}), "x.pth")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ([dump(MAGIC + 1)], "does not begin"),
        ([dump(MAGIC), dump(1000)], "another protocol"),
        ([dump(MAGIC), dump(1001), dump({**SYSTEM, "little_endian": False})], "little-endian"),
        ([dump(MAGIC), dump(1001), dump(3)], "little-endian"),
        ([b""], "cut short"),
        ([b"GIF89a"], "pickle"),
        ([b"PK\x03\x04"], "zip"),
    ],
)
def test_other_files_are_refused(header: list[bytes], found: str) -> None:
    with pytest.raises(ModelError, match=found):
        tensors_from_bytes(b"".join(header), "x.pth")


def test_zip_archives_that_pytorch_does_not_write_are_refused() -> None:
    value = {"w": tensor(SHARED, 0, (24,), (1,))}
    with pytest.raises(ModelError, match="compressed"):
        tensors_from_bytes(zip_file(value, {"a": STORED["a"]}, zipfile.ZIP_DEFLATED), "x.pth")
    big_endian = zip_file(value, {"a": STORED["a"]}).replace(b"little", b"bigbig")
    with pytest.raises(ModelError, match="damaged"):  # the checksum is of the old text
        tensors_from_bytes(big_endian, "x.pth")
    with pytest.raises(ModelError, match="without 'data/a'"):
        tensors_from_bytes(zip_file(value, {}), "x.pth")


def test_limits_on_files_and_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {name: tensor(SHARED, 0, (24,), (1,)) for name in "abc"}
    data = stream_file(value, {"a": STORED["a"]})
    path = tmp_path / "x.pth"
    path.write_bytes(data)
    assert read_checkpoint(path) == data
    monkeypatch.setattr(checkpoint, "MAX_FILE_BYTES", 250)
    with pytest.raises(ModelError, match="larger than 250 bytes"):
        read_checkpoint(path)
    with pytest.raises(ModelError, match="unfold to more than 500 bytes"):
        tensors_from_bytes(data, "x.pth")
    monkeypatch.setattr(checkpoint, "MAX_TENSORS", 2)
    with pytest.raises(ModelError, match="3 entries, expected at most 2"):
        tensors_from_bytes(data, "x.pth")


def test_paths_that_are_no_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.pth"):
        with pytest.raises(ModelError, match="no such file"):
            read_checkpoint(path)


@both_formats
def test_every_truncation_is_refused(write: Writer) -> None:
    data = write(VALUE, STORED)
    for length in range(len(data)):
        with pytest.raises(ModelError):
            tensors_from_bytes(data[:length], "x.pth")


WHOLE = {"stream": stream_file(VALUE, STORED), "zip": zip_file(VALUE, STORED)}


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=9), st.booleans()), min_size=1, max_size=4),
)
def test_random_mutations_end_in_tensors_or_a_model_error(kind: str, mutations: list[tuple[int, bytes, bool]]) -> None:
    data = bytearray(WHOLE[kind])
    for position, patch, insert in mutations:
        at = position % len(data)
        data[at : at if insert else at + len(patch)] = patch
    try:
        tensors = tensors_from_bytes(bytes(data), "x.pth")
    except ModelError as error:
        assert "\n" not in str(error)  # both outcomes are right
    else:
        assert all(tensor.dtype in (np.float32, np.int64) for tensor in tensors.values())


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from([*(bytes([code]) for code in pickles._HANDLERS), emit(SHARED), emit(REBUILD), emit((1,))]))
)
def test_random_programs_end_in_a_value_or_a_model_error(opcodes: list[bytes]) -> None:
    data = memoryview(b"\x80\x02" + b"".join(opcodes) + b"\x01" * 8 + b".")
    try:
        pickles.load(data, 0, "x.pth")
    except ModelError as error:
        assert "\n" not in str(error)  # both outcomes are right
