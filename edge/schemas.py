"""Write the JSON schemas that editors and subscribers use: `python -m edge.schemas DIR`. A test keeps them current."""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from edge import config, messages

__all__ = ["SCHEMAS", "main", "text"]

SCHEMAS = {"daemon.schema.json": config.json_schema, "messages.schema.json": messages.json_schema}


def text(schema: dict[str, Any]) -> str:
    """Return the schema as it is stored: indented, with the draft named; the same under every version of Python."""
    named = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_flush(schema)}
    return msgspec.json.format(msgspec.json.encode(named), indent=2).decode() + "\n"


def _flush(part: Any) -> Any:
    """Return the schema with its descriptions flush left: before Python 3.13 docstrings keep the indent of the code."""
    if isinstance(part, dict):
        return {
            key: cleandoc(value) if key == "description" and isinstance(value, str) else _flush(value)
            for key, value in part.items()
        }
    return [_flush(one) for one in part] if isinstance(part, list) else part


def main(argv: list[str]) -> int:
    """Write every schema into the folder `argv[0]`."""
    folder = Path(argv[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in SCHEMAS.items():
        (folder / name).write_text(text(make()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
