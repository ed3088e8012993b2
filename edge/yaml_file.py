"""Read a YAML file into a frozen typed struct, or refuse with file, line and key.

Follows the YAML 1.2 core schema, not the 1.1 guesses of PyYAML: only `true` and `false` are booleans, `012` and `1:30`
are text, dates are text; a block of several lines is one text without its last line break. Refused: unknown and
duplicate keys, NaN and infinity, control characters, anchors and aliases, tags, several documents, more than 1 MiB.
What the struct declares (types, ranges, patterns) is checked by msgspec.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import msgspec
import yaml

from edge.errors import ConfigError

__all__ = ["Fault", "load", "parse"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 32

T = TypeVar("T")
_Lines = dict[str, int]
Fault: TypeAlias = tuple[str, str]


def load(path: Path, struct: type[T], faults: Callable[[T], Iterable[Fault]] | None = None) -> T:
    """Read `path` into `struct`; raise ConfigError `file:line: key: found, expected, what to do`.

    `faults` yields what no type can say (two values that do not go together) as (key such as `cameras[0].id`, message);
    the first one is raised.
    """
    return parse(path, _text(path), struct, faults)


def parse(path: Path, text: str, struct: type[T], faults: Callable[[T], Iterable[Fault]] | None = None) -> T:
    """Read `text` as `load` would read it from `path`."""
    lines: _Lines = {}
    try:
        data = _plain(path, _document(path, text), "$", lines, 0)
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply, expected at most {MAX_DEPTH} levels") from None
    try:
        read = msgspec.convert(data, struct)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(path, str(error), lines)) from None
    for key, message in () if faults is None else faults(read):
        raise ConfigError(f"{path}:{_line_of(f'$.{key}', lines)}: {key}: {message}")
    return read


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes, expected a small YAML file")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); expected a YAML file in UTF-8") from None


def _document(path: Path, text: str) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{path}:{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if node is None:
        raise ConfigError(f"{path}: empty, expected keys and values")
    return node


def _plain(path: Path, node: yaml.Node, key: str, lines: _Lines, depth: int) -> Any:
    """Turn a node tree into plain Python values and note the line of every key."""
    line = node.start_mark.line + 1
    lines.setdefault(key, line)
    if depth > MAX_DEPTH:
        raise ConfigError(f"{path}:{line}: {_dotted(key)}: nested too deeply, expected at most {MAX_DEPTH} levels")
    if isinstance(node, yaml.MappingNode):
        return _mapping(path, node, key, lines, depth)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(path, item, f"{key}[{i}]", lines, depth + 1) for i, item in enumerate(node.value)]
    return _scalar(path, node, key)


def _mapping(path: Path, node: yaml.MappingNode, key: str, lines: _Lines, depth: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name_node, value_node in node.value:
        line = name_node.start_mark.line + 1
        if not isinstance(name_node, yaml.ScalarNode):
            raise ConfigError(f"{path}:{line}: {_dotted(key)}: a key that is not text")
        name = str(name_node.value)
        child = f"{key}.{name}"
        if name in values:
            raise ConfigError(f"{path}:{line}: {_dotted(child)}: stands twice; keep one of the two")
        lines[child] = line
        values[name] = _plain(path, value_node, child, lines, depth + 1)
    return values


def _scalar(path: Path, node: yaml.Node, key: str) -> Any:
    text, tag = str(node.value), node.tag
    if tag == "tag:yaml.org,2002:null":
        return None
    if tag == "tag:yaml.org,2002:bool":
        return text == "true"
    if tag == "tag:yaml.org,2002:int":
        return int(text, 0) if text.lower().startswith(("0x", "0o")) else int(text)
    if tag == "tag:yaml.org,2002:float":
        number = float(text.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf").replace(".NaN", "nan"))
        if not math.isfinite(number):
            line = node.start_mark.line + 1
            raise ConfigError(f"{path}:{line}: {_dotted(key)}: {text}, expected a finite number")
        return number
    if tag == "tag:yaml.org,2002:str":
        plain = text.rstrip("\n") if node.style in ("|", ">") else text  # type: ignore[attr-defined]  # scalars have it
        if any(ord(sign) < 32 for sign in plain):
            line = node.start_mark.line + 1
            raise ConfigError(f"{path}:{line}: {_dotted(key)}: holds a control character, expected plain text")
        return plain
    raise ConfigError(f"{path}:{node.start_mark.line + 1}: {_dotted(key)}: tag {tag}, expected plain YAML without tags")


def _dotted(key: str) -> str:
    return key[2:] if key.startswith("$.") else "the file"


def _explain(path: Path, message: str, lines: _Lines) -> str:
    """Turn msgspec's `Expected `int`, got `str` - at `$.cameras[0].id`` into file:line: key: message."""
    what, _, where = message.partition(" - at `")
    key = where.rstrip("`") or "$"
    unknown = re.search(r"unknown field `([^`]*)`", what)
    if unknown:
        key, what = f"{key}.{unknown.group(1)}", "unknown key; see the example files under configs/"
    missing = re.search(r"missing required field `([^`]*)`", what)
    if missing:
        what = f"the key `{missing.group(1)}` is missing"
    return f"{path}:{_line_of(key, lines)}: {_dotted(key)}: {what[0].lower()}{what[1:]}"


def _line_of(key: str, lines: _Lines) -> int:
    """Return the line of a key, or of the closest one around it."""
    while key not in lines and ("." in key or "[" in key):
        key = key[: max(key.rfind("."), key.rfind("["))]
    return lines.get(key, 1)


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the scalar rules of the YAML 1.2 core schema, and without anchors."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]  # the stubs call it an instance's

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="an anchor or alias, expected plain values", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("int", r"^(?:[-+]?(?:0|[1-9][0-9]{0,18})|0x[0-9a-fA-F]{1,16}|0o[0-7]{1,21})$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)\.[0-9]*(?:[eE][-+]?[0-9]+)?|(?:0|[1-9][0-9]*)[eE][-+]?[0-9]+)"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+0123456789.",
    ),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
