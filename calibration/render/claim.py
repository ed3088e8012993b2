"""Own an output folder: tell ours from foreign, complete from interrupted, equal from different.

While a render is under way its folder holds `render.part.json`; when everything is written `render.json` takes its
place, last. So a folder with `render.json` is complete, one with `render.part.json` was interrupted, and any other
folder that holds something is not ours and is left alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.errors import InputError, PublishError

__all__ = ["VERSION", "claim", "claim_file", "complete", "make_folder", "manifest", "write_bytes", "write_text"]

VERSION = 1  # of the pictures: raised whenever equal arguments give other pixels
_DONE, _PART = "render.json", "render.part.json"


def manifest(command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies a render: two renders with equal manifests are equal."""
    return {"renderer": VERSION, "command": command, "arguments": dict(arguments)}


def claim(out: Path, wanted: Mapping[str, Any]) -> bool:
    """Make `out` ours for this render; return False where it is complete already and nothing is left to do.

    An interrupted render with equal arguments is taken up again (its files are written anew). Raise InputError where
    the folder is foreign, or ours with other arguments.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out wants a folder")
    done, part = out / _DONE, out / _PART
    if done.is_file():
        _same(done, wanted, "a finished render")
        return False
    if part.is_file():
        _same(part, wanted, "an interrupted render")
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} is not empty and holds no {_DONE}; choose a new folder, this one is left as it is")
    write_text(part, json.dumps(wanted, indent=1) + "\n")
    return True


def claim_file(out: Path, truth: Path, wanted: Mapping[str, Any]) -> bool:
    """Do what `claim` does for a render that is one file with its truth beside it; the manifest is in the truth."""
    if truth.is_file():
        _same(truth, wanted, "the truth of a render")
        return not out.is_file()
    if out.exists():
        raise InputError(
            f"{out} exists and {truth.name} is not beside it; choose another --out, this one is left as it is"
        )
    return True


def complete(out: Path, wanted: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    """Say that everything is written: put `render.json` in the place of the mark of an unfinished render."""
    part = out / _PART
    write_text(part, json.dumps({**wanted, "counts": dict(counts)}, indent=1) + "\n")
    os.replace(part, out / _DONE)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; raise PublishError where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PublishError(f"cannot make the folder {path}: {error.strerror}; choose another --out") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file and the folders above it; raise PublishError where that fails."""
    make_folder(path.parent)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise PublishError(f"cannot write {path}: {error.strerror}; free space or choose another --out") from error


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file; raise PublishError where that fails."""
    write_bytes(path, text.encode())


def _same(path: Path, wanted: Mapping[str, Any], what: str) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found = {key: found[key] for key in ("renderer", "command", "arguments")}
        held = dict(found["arguments"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as {what}; remove the folder or choose another --out") from error
    if found == dict(wanted):
        return
    changed = [
        f"{key} {held.get(key)!r}, not {value!r}"
        for key, value in wanted["arguments"].items()
        if held.get(key) != value
    ]
    rest = [
        f"{key} {found[key]!r}, not {wanted[key]!r}" for key in ("renderer", "command") if found[key] != wanted[key]
    ]
    raise InputError(
        f"{path.parent} holds {what} with {', '.join(rest + changed) or 'other arguments'}; "
        "remove the folder or choose another --out"
    )
