"""Read the pickles inside a PyTorch checkpoint without running anything that they name.

A pickle is a program for a small stack machine. Python's own machine imports and calls what the program asks for;
this one knows only the opcodes that a dictionary of tensors needs, and has no way to call anything: a name in the
pickle stays a name, and the few that PyTorch writes for tensors are answered by plain records of this module.

Promises:
- whatever the bytes, the outcome is a value or a `ModelError`; a foreign name is refused where it is read, and named;
- no import, no call, no attribute access takes place on behalf of the file;
- time and memory are bounded by the length of the data and by MAX_STEPS.

Left to `checkpoint`: the file around the pickle, and the check of sizes, strides and offsets against the stored bytes.
Not supported: pickle protocols 0 and 1, and tensor subclasses. The opcodes follow the standard library's `pickletools`.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass

from edge.errors import ModelError

__all__ = ["MAX_STEPS", "STORAGE_DTYPES", "Pickled", "Storage", "Tensor", "load"]

#: Opcodes that one pickle may hold. EfficientNet-Lite2, 386 tensors, needs 14 thousand.
MAX_STEPS = 1_000_000
#: Bytes of one module or attribute name; PyTorch's longest here has 18.
MAX_NAME_BYTES = 256
#: Bytes of one integer. PyTorch's magic number has 10; sizes and strides have at most 8.
MAX_INTEGER_BYTES = 16

#: PyTorch's storage types that can be read, and how their elements are stored (little endian).
STORAGE_DTYPES = {
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "|i1",
    "torch.ByteStorage": "|u1",
}

_ORDERED_DICT = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor"
_TENSOR_V2 = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_KNOWN_NAMES = frozenset({_ORDERED_DICT, _TENSOR, _TENSOR_V2, _PARAMETER, *STORAGE_DTYPES})


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of `numel` elements of the numpy dtype `dtype`, kept in the file under `key`."""

    dtype: str
    key: str
    numel: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage; offset, size and stride count elements, and are what the file says: not checked yet."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pickled:
    """One pickle: its value, the storages that it mentions by key, and the position after its last byte."""

    value: object
    storages: dict[str, Storage]
    end: int


@dataclass(frozen=True, slots=True)
class _Name:
    """A name of _KNOWN_NAMES. It is a record; there is nothing behind it that could be called."""

    dotted: str


def load(data: memoryview, start: int, source: str) -> Pickled:
    """Read the pickle that begins at byte `start` of `data`; `source` names the file in error messages.

    Dictionaries (ordered ones too) come back as dict, tensors as `Tensor`, the rest as plain Python values.

    Raises:
        ModelError: the bytes are not a complete pickle, hold an opcode or a name that no tensor dictionary needs, or
            exceed a limit.

    """
    return _Machine(data, start, source).run()


class _Machine:
    """The stack machine. `pop_*` methods refuse a value of the wrong type, so handlers need no checks of their own."""

    def __init__(self, data: memoryview, start: int, source: str) -> None:
        self.data = data
        self.at = start
        self.source = source
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.storages: dict[str, Storage] = {}

    def run(self) -> Pickled:
        for _ in range(MAX_STEPS):
            code = self.take(1)[0]
            if code == _STOP:
                return Pickled(self.pop(), self.storages, self.at)
            handler = _HANDLERS.get(code)
            if handler is None:
                raise self.error(f"opcode {_OPCODE_NAMES.get(code, hex(code))}, which no tensor checkpoint needs")
            handler(self)
        raise self.error(f"more than {MAX_STEPS} opcodes")

    def error(self, found: str) -> ModelError:
        message = f"{self.source}: its pickle holds {found} (near byte {self.at}); nothing of it was run"
        return ModelError(f"{message}; expected torch.save(model.state_dict(), path)")

    def take(self, count: int) -> bytes:
        chunk = bytes(self.data[self.at : self.at + count])
        if len(chunk) != count:
            raise self.error(f"{len(chunk)} bytes where {count} are announced: the file is cut short")
        self.at += count
        return chunk

    def take_text(self, count: int) -> str:
        try:
            return self.take(count).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error("text that is not UTF-8") from error

    def take_line(self) -> str:
        window = bytes(self.data[self.at : self.at + MAX_NAME_BYTES + 1])
        length = window.find(b"\n")
        if length < 0:
            raise self.error(f"a name without an end within {MAX_NAME_BYTES} bytes")
        line = self.take_text(length)
        self.at += 1
        return line

    def push(self, value: object) -> None:
        self.stack.append(value)

    def top(self) -> object:
        # A value below the latest mark belongs to whatever is being built there.
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.error("an opcode that takes more values than there are")
        return self.stack[-1]

    def pop(self) -> object:
        value = self.top()
        self.stack.pop()
        return value

    def pop_tuple(self) -> tuple[object, ...]:
        value = self.pop()
        if not isinstance(value, tuple):
            raise self.error(f"{type(value).__name__} where a tuple belongs")
        return value

    def pop_to_mark(self) -> list[object]:
        if not self.marks:
            raise self.error("the end of a sequence without its beginning")
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise self.error("a reference to a value that was not remembered")
        self.push(self.memo[index])


def _known_name(machine: _Machine, module: str, name: str) -> _Name:
    dotted = f"{module}.{name}"
    if dotted not in _KNOWN_NAMES:
        raise machine.error(f"the name {dotted!a}, not one of the few that are allowed")
    return _Name(dotted)


def _global(machine: _Machine) -> None:
    module = machine.take_line()
    machine.push(_known_name(machine, module, machine.take_line()))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise machine.error("a name that is not text")
    machine.push(_known_name(machine, module[:MAX_NAME_BYTES], name[:MAX_NAME_BYTES]))


def _instance(machine: _Machine) -> None:
    _global(machine)
    raise machine.error("opcode INST, which no tensor checkpoint needs")


def _reduce(machine: _Machine) -> None:
    arguments = machine.pop_tuple()
    function = machine.pop()
    dotted = function.dotted if isinstance(function, _Name) else type(function).__name__
    if dotted == _ORDERED_DICT and not arguments:
        machine.push({})
    elif dotted == _TENSOR and len(arguments) == 4:
        machine.push(_tensor(machine, arguments))
    elif dotted == _TENSOR_V2 and len(arguments) in {6, 7}:
        machine.push(_tensor(machine, arguments[:4]))  # the rest: requires_grad, backward hooks, metadata
    elif dotted == _PARAMETER and len(arguments) == 3 and isinstance(arguments[0], Tensor):
        machine.push(arguments[0])
    else:
        raise machine.error(f"a call of {dotted} with {len(arguments)} arguments of kinds that PyTorch does not write")


def _tensor(machine: _Machine, arguments: tuple[object, ...]) -> Tensor:
    storage, offset, size, stride = arguments
    if not isinstance(storage, Storage) or type(offset) is not int:
        raise machine.error("a tensor without a storage and an offset")
    return Tensor(storage, offset, _integers(machine, size), _integers(machine, stride))


def _integers(machine: _Machine, value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(type(item) is int for item in value):
        raise machine.error("a size or stride that is not a tuple of integers")
    return value


def _persistent_id(machine: _Machine) -> None:
    match machine.pop_tuple():
        # The sixth field is how PyTorch before 0.4 wrote one storage inside another; None means it is a whole one.
        case ("storage", _Name(dotted), str(key), str(), int(numel)) | (
            "storage",
            _Name(dotted),
            str(key),
            str(),
            int(numel),
            None,
        ) if dotted in STORAGE_DTYPES and numel >= 0:
            storage = Storage(STORAGE_DTYPES[dotted], key, numel)
        case _:
            raise machine.error("a reference that is not to a whole storage")
    if machine.storages.setdefault(key, storage) != storage:
        raise machine.error(f"two descriptions of storage {key[:80]!a}")
    machine.push(storage)


def _set_items(machine: _Machine, items: list[object]) -> None:
    target = machine.top()
    if not isinstance(target, dict) or len(items) % 2:
        raise machine.error(f"dictionary items that go into {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Text and integers only: the hash of a deeply nested tuple would exhaust the C stack.
        if not isinstance(key, str | int):
            raise machine.error(f"a dictionary key that is {type(key).__name__}")
        target[key] = value


def _append_items(machine: _Machine, items: list[object]) -> None:
    target = machine.top()
    if not isinstance(target, list):
        raise machine.error(f"list items that go into {type(target).__name__}")
    target.extend(items)


def _build(machine: _Machine) -> None:
    machine.pop()  # attributes of the dictionary (`_metadata`): nothing here uses them
    if not isinstance(machine.top(), dict):
        raise machine.error(f"attributes for {type(machine.top()).__name__}")


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine, [key, value])


def _proto(machine: _Machine) -> None:
    version = machine.take(1)[0]
    if not 2 <= version <= 5:
        raise machine.error(f"protocol {version}, expected 2 to 5")


def _long1(machine: _Machine) -> None:
    count = machine.take(1)[0]
    if count > MAX_INTEGER_BYTES:
        raise machine.error(f"an integer of {count} bytes, more than {MAX_INTEGER_BYTES}")
    machine.push(int.from_bytes(machine.take(count), "little", signed=True))


def _tuple_of(machine: _Machine, count: int) -> None:
    values = [machine.pop() for _ in range(count)]
    machine.push(tuple(reversed(values)))


def _number(machine: _Machine, layout: str) -> int:
    (value,) = struct.unpack(layout, machine.take(struct.calcsize(layout)))
    assert isinstance(value, int)
    return value


_OPCODE_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
_CODES = {name: code for code, name in _OPCODE_NAMES.items()}
_STOP = _CODES["STOP"]

_HANDLERS: dict[int, Callable[[_Machine], None]] = {
    _CODES[name]: handler
    for name, handler in {
        "PROTO": _proto,
        "FRAME": lambda m: m.take(8),
        "MARK": lambda m: m.marks.append(len(m.stack)),
        "NONE": lambda m: m.push(None),
        "NEWTRUE": lambda m: m.push(True),
        "NEWFALSE": lambda m: m.push(False),
        "BININT": lambda m: m.push(_number(m, "<i")),
        "BININT1": lambda m: m.push(_number(m, "<B")),
        "BININT2": lambda m: m.push(_number(m, "<H")),
        "LONG1": _long1,
        "BINFLOAT": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        "BINUNICODE": lambda m: m.push(m.take_text(_number(m, "<I"))),
        "SHORT_BINUNICODE": lambda m: m.push(m.take_text(_number(m, "<B"))),
        "EMPTY_TUPLE": lambda m: m.push(()),
        "EMPTY_LIST": lambda m: m.push([]),
        "EMPTY_DICT": lambda m: m.push({}),
        "TUPLE": lambda m: m.push(tuple(m.pop_to_mark())),
        "TUPLE1": lambda m: _tuple_of(m, 1),
        "TUPLE2": lambda m: _tuple_of(m, 2),
        "TUPLE3": lambda m: _tuple_of(m, 3),
        "APPEND": lambda m: _append_items(m, [m.pop()]),
        "APPENDS": lambda m: _append_items(m, m.pop_to_mark()),
        "SETITEM": _set_item,
        "SETITEMS": lambda m: _set_items(m, m.pop_to_mark()),
        "BINPUT": lambda m: m.put(_number(m, "<B")),
        "LONG_BINPUT": lambda m: m.put(_number(m, "<I")),
        "MEMOIZE": lambda m: m.put(len(m.memo)),
        "BINGET": lambda m: m.get(_number(m, "<B")),
        "LONG_BINGET": lambda m: m.get(_number(m, "<I")),
        "GLOBAL": _global,
        "STACK_GLOBAL": _stack_global,
        "INST": _instance,
        "REDUCE": _reduce,
        "BINPERSID": _persistent_id,
        "BUILD": _build,
    }.items()
}
