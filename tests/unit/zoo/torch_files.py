"""Checkpoints made by hand, opcode by opcode: honest ones, and ones that PyTorch would never write."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


@dataclass(frozen=True)
class Name:
    module: str
    name: str


@dataclass(frozen=True)
class Call:
    function: Any
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Reference:
    fields: tuple[Any, ...]


@dataclass(frozen=True)
class Raw:
    opcodes: bytes


REBUILD = Name("torch._utils", "_rebuild_tensor_v2")
ORDERED = Call(Name("collections", "OrderedDict"), ())


def emit(value: Any) -> bytes:  # noqa: PLR0911  # one return per kind of value
    """The opcodes that leave `value` on the stack."""
    match value:
        case Raw(opcodes):
            return opcodes
        case Name(module, name):
            return b"c" + f"{module}\n{name}\n".encode()
        case Call(function, arguments):
            return emit(function) + emit(arguments) + b"R"
        case Reference(fields):
            return emit(fields) + b"Q"
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            return b"\x8a\x0b" + value.to_bytes(11, "little", signed=True)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(emit, value)) + b"t"
        case list():
            return b"](" + b"".join(map(emit, value)) + b"e"
        case dict():
            return b"}(" + b"".join(emit(key) + emit(item) for key, item in value.items()) + b"u"
    raise TypeError(value)


def dump(value: Any) -> bytes:
    return b"\x80\x02" + emit(value) + b"."


def storage(key: str, numel: int, kind: str = "FloatStorage") -> Reference:
    return Reference(("storage", Name("torch", kind), key, "cpu", numel))


def tensor(where: Reference, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Call:
    return Call(REBUILD, (where, offset, size, stride, False, ORDERED))


def stream_file(value: Any, storages: dict[str, tuple[int, bytes]]) -> bytes:
    """The format before PyTorch 1.6; `storages` gives the announced number of elements and the bytes by key."""
    parts = [dump(MAGIC), dump(1001), dump(SYSTEM), dump(value), dump(list(storages))]
    parts += [struct.pack("<q", numel) + data for numel, data in storages.values()]
    return b"".join(parts)


def zip_file(value: Any, storages: dict[str, tuple[int, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The format since PyTorch 1.6."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("weights/data.pkl", dump(value))
        archive.writestr("weights/byteorder", "little")
        for key, (_, data) in storages.items():
            archive.writestr(f"weights/data/{key}", data)
        archive.writestr("weights/version", "3\n")
    return buffer.getvalue()
