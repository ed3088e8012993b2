"""Read the tensors of a PyTorch checkpoint (`torch.save(model.state_dict(), path)`) without PyTorch.

Two formats exist, and both are read; the first bytes tell them apart:
- since PyTorch 1.6 a zip archive: `NAME/data.pkl` beside one uncompressed entry `NAME/data/KEY` per storage;
- before, a stream: four pickles (magic number, protocol 1001, system facts, the object), a fifth with the storage
  keys, then per key the number of elements as int64 and the raw elements. The published Lite weights are of this kind.

Promises:
- nothing in the file is imported or called; see `pickles`;
- every size, stride and offset is checked against the stored elements before it is used;
- whatever the bytes, the outcome is a dictionary of arrays or a `ModelError`;
- a file of more than MAX_FILE_BYTES, or one whose tensors could need more than twice that, is refused.

Left to others: whether these are the tensors of a given network (`efficientnet_lite`), and where the file came from
(`download`). Big-endian files, sparse and quantised tensors, float64 and bfloat16 are refused.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from builder.zoo import pickles
from builder.zoo.pickles import Storage, Tensor
from edge.errors import ModelError

__all__ = ["MAX_FILE_BYTES", "MAX_TENSORS", "Tensors", "read_checkpoint", "tensors_from_bytes"]

#: Name to float32 or int64 array of the tensor's shape, C order, own memory.
Tensors: TypeAlias = dict[str, NDArray[Any]]

#: Lite4, the largest member of the family, has 13 million parameters: 52 MB.
MAX_FILE_BYTES = 512 * 2**20
#: Tensors in one file. Lite4 has about 550.
MAX_TENSORS = 20_000
#: Dimensions of one tensor; a convolution weight has 4.
MAX_DIMENSIONS = 8
#: Zip entries: one per storage and a handful of small ones.
MAX_ENTRIES = MAX_TENSORS + 100

_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_ZIP_START = b"PK\x03\x04"
#: What zipfile raises on damaged input.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """What either format holds: the pickled object, and the bytes of each storage by its key."""

    value: object
    storages: dict[str, memoryview]


def read_checkpoint(path: Path) -> bytes:
    """Return the bytes of a checkpoint file.

    Raises:
        ModelError: it cannot be read, is not a regular file, or is larger than MAX_FILE_BYTES.

    """
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such file; expected a PyTorch checkpoint (.pth)")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}; expected a PyTorch checkpoint") from error
    if len(data) > MAX_FILE_BYTES:
        raise ModelError(f"{path}: larger than {MAX_FILE_BYTES} bytes; expected the weights of one network")
    return data


def tensors_from_bytes(data: bytes, source: str) -> Tensors:
    """Return the tensors of the checkpoint `data`; `source` names the file in error messages.

    Floating point becomes float32, integers become int64; values are exact (16-bit floats and small integers widen).

    Raises:
        ModelError: damaged, of another kind, or holding anything but a flat dictionary of tensors.

    """
    view = memoryview(data)
    content = _from_zip(view, source) if data.startswith(_ZIP_START) else _from_stream(view, source)
    if not isinstance(content.value, dict):
        raise ModelError(f"{source}: holds {type(content.value).__name__}, expected a dictionary of tensors")
    if len(content.value) > MAX_TENSORS:
        raise ModelError(f"{source}: holds {len(content.value)} entries, expected at most {MAX_TENSORS}")
    tensors: Tensors = {}
    unfolded_bytes = 0
    for name, value in content.value.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            found = f"entry {ascii(name)[:80]} of kind {type(value).__name__}"
            raise ModelError(f"{source}: {found}, expected tensors only; save model.state_dict() itself")
        place = f"{source}: tensor {ascii(name)[:80]}"
        _check_bounds(value, place)
        unfolded_bytes += math.prod(value.size) * 8
        if unfolded_bytes > 2 * MAX_FILE_BYTES:
            raise ModelError(f"{source}: its tensors unfold to more than {2 * MAX_FILE_BYTES} bytes")
        tensors[name] = _array(value, content.storages, place)
    return tensors


def _from_stream(data: memoryview, source: str) -> _Content:
    magic = pickles.load(data, 0, source)
    if magic.value != _MAGIC:
        raise ModelError(f"{source}: does not begin as a PyTorch checkpoint; expected a .pth file from torch.save")
    protocol = pickles.load(data, magic.end, source)
    if protocol.value != _LEGACY_PROTOCOL:
        raise ModelError(f"{source}: a stream of another protocol, expected {_LEGACY_PROTOCOL}; save it again")
    system = pickles.load(data, protocol.end, source)
    if not isinstance(system.value, dict) or system.value.get("little_endian") is not True:
        raise ModelError(f"{source}: not written on a little-endian machine; save it again on one")
    pickled = pickles.load(data, system.end, source)
    keys = pickles.load(data, pickled.end, source)
    if not isinstance(keys.value, list):
        raise ModelError(f"{source}: {type(keys.value).__name__} where the list of storage keys belongs")
    return _Content(pickled.value, _stream_storages(data[keys.end :], keys.value, pickled.storages, source))


def _stream_storages(
    data: memoryview, keys: list[object], expected: dict[str, Storage], source: str
) -> dict[str, memoryview]:
    found: dict[str, memoryview] = {}
    at = 0
    for key in keys:
        storage = expected.get(key) if isinstance(key, str) else None
        if storage is None or storage.key in found:
            raise ModelError(f"{source}: storage {ascii(key)[:80]} is listed twice or belongs to no tensor")
        size = storage.numel * np.dtype(storage.dtype).itemsize
        if int.from_bytes(data[at : at + 8], "little") != storage.numel or len(data) < at + 8 + size:
            message = f"storage {ascii(key)[:80]} is cut short or not of {storage.numel} elements as announced"
            raise ModelError(f"{source}: {message}; get the file again")
        found[storage.key] = data[at + 8 : at + 8 + size]
        at += 8 + size
    if at != len(data):
        raise ModelError(f"{source}: {len(data) - at} bytes follow the last storage; get the file again")
    return found


def _from_zip(data: memoryview, source: str) -> _Content:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _zip_entries(archive, len(data), source)
            pickled = pickles.load(_zip_entry(archive, entries, "data.pkl", source), 0, source)
            if "byteorder" in entries and bytes(_zip_entry(archive, entries, "byteorder", source)) != b"little":
                raise ModelError(f"{source}: not in little-endian byte order; save it again on such a machine")
            storages = {key: _zip_entry(archive, entries, f"data/{key}", source) for key in pickled.storages}
    except _ZIP_ERRORS as error:
        raise ModelError(f"{source}: a damaged zip archive ({ascii(error)[:120]}); get the file again") from error
    return _Content(pickled.value, storages)


def _zip_entries(archive: zipfile.ZipFile, archive_bytes: int, source: str) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise ModelError(f"{source}: a zip archive with {len(infos)} entries, expected at most {MAX_ENTRIES}")
    # PyTorch never compresses, so an honest archive cannot hold more than its own size.
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise ModelError(f"{source}: a zip archive with compressed entries, expected a PyTorch checkpoint")
    if sum(max(info.file_size, info.compress_size) for info in infos) > archive_bytes:
        raise ModelError(f"{source}: a zip archive whose entries claim more than its {archive_bytes} bytes")
    # The first folder is named after the file that torch.save wrote.
    return {info.filename.partition("/")[2]: info for info in infos}


def _zip_entry(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str, source: str) -> memoryview:
    if name not in entries:
        raise ModelError(f"{source}: a zip archive without {ascii(name)[:80]}, expected a PyTorch checkpoint")
    return memoryview(archive.read(entries[name]))


def _array(tensor: Tensor, storages: dict[str, memoryview], source: str) -> NDArray[Any]:
    storage = tensor.storage
    dtype = np.dtype(storage.dtype)
    stored = storages.get(storage.key)
    if stored is None or len(stored) != storage.numel * dtype.itemsize:
        found = "nothing" if stored is None else f"{len(stored)} bytes"
        raise ModelError(f"{source}: {found} stored for its {storage.numel} elements of {dtype}; get the file again")
    elements = np.frombuffer(stored, dtype=dtype)[tensor.offset :]
    # A dimension of size 1 is never stepped over, whatever its stride.
    steps = [0 if size == 1 else step for size, step in zip(tensor.size, tensor.stride, strict=True)]
    strides = [step * dtype.itemsize for step in steps]
    view = np.lib.stride_tricks.as_strided(elements, tensor.size, strides, writeable=False)
    return np.array(view, dtype=np.float32 if dtype.kind == "f" else np.int64, order="C")


def _check_bounds(tensor: Tensor, source: str) -> None:
    """Refuse a view that is empty, leaves its storage, or has more elements than it (an expanded one)."""
    numel = tensor.storage.numel
    shown = f"offset {tensor.offset}, size {list(tensor.size)[:10]}, stride {list(tensor.stride)[:10]}"
    if len(tensor.size) != len(tensor.stride) or len(tensor.size) > MAX_DIMENSIONS:
        raise ModelError(f"{source}: {shown}: expected as many strides as sizes, at most {MAX_DIMENSIONS}")
    if min((tensor.offset, *tensor.stride)) < 0 or min(tensor.size, default=1) < 1:
        raise ModelError(f"{source}: {shown}: expected sizes of at least 1 and nothing negative")
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.size, tensor.stride, strict=True))
    if last >= numel or math.prod(tensor.size) > numel:
        raise ModelError(f"{source}: {shown}: reaches outside its storage of {numel} elements")
