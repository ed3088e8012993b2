"""A sealed folder: files plus a manifest that holds the size and sha256 of each, written whole or not at all.

Promise
- Written beside its destination, synced to disk, then moved there by one rename: a power cut leaves the old folder or
  the new one, never a mixture (every file, the folder and its parent are fsynced).
- Read only after everything was verified: a changed, missing or truncated file, and any changed byte of the manifest
  itself, is refused with the name of the file before anything is parsed.
- A symbolic link at the destination stays a link: the folder that it points to is written.
- What a writer left behind that was killed outright is removed by the next writer of the same folder.
- The id is the hash of the manifest's content, so equal content has an equal id, and one id pins every file.

Limits: a seal is not a signature. It tells damage and mixing, not malice.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import BundleError, InputError
from edge.writing import cannot_write, real_path

__all__ = ["MANIFEST", "Sealed", "open_sealed", "refuse_foreign", "refuse_replaced", "write_sealed"]

MANIFEST = "manifest.json"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sealed:
    """A verified folder. `content` is what the writer put into the manifest; `id` is 16 hex digits."""

    path: Path
    id: str
    kind: str
    schema: int
    content: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    def file(self, name: str) -> Path:
        """Return the path of a sealed file; raises BundleError when the manifest does not list it."""
        if name not in self.files:
            raise BundleError(
                f"{self.path}: the manifest lists no {name}; the {self.kind} is of another version or incomplete"
            )
        return self.path / name


@contextmanager
def write_sealed(path: Path, kind: str, schema: int, content: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a new empty folder to fill; on success seal it and move it to `path` in one step.

    An existing folder at `path` is replaced only when it is a sealed folder of the same kind and holds nothing else.
    `content` is read when the block ends, so it may still be filled inside it. Raises InputError when `path` holds
    something else or cannot be written, PublishError when the disk is full; what stood there before is then untouched.
    """
    refuse_foreign(path, kind)
    target = real_path(path)
    staging = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        staging.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        staging.mkdir()
        with _held(staging):
            yield staging
            _seal(staging, kind, schema, content)
            _move(staging, target)
    except OSError as error:
        raise cannot_write(path, error, "nothing there was changed") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def open_sealed(path: Path, kind: str, schema: int) -> Sealed:
    """Verify every byte of a sealed folder and return what its manifest says; raises BundleError naming the file."""
    manifest = path / MANIFEST
    try:
        raw = manifest.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        found = getattr(error, "strerror", None) or error
        raise BundleError(f"{manifest}: {found}; expected the folder of a {kind}") from None
    parsed = _parse(manifest, raw)
    if parsed.get("kind") != kind or parsed.get("schema") != schema:
        found = f"kind {parsed.get('kind')} schema {parsed.get('schema')}"
        raise BundleError(f"{manifest}: {found}, expected kind {kind} schema {schema}; make it again with this version")
    identity = parsed.pop("id", None)
    if identity != _identity(parsed) or raw != _canonical({**parsed, "id": identity}):
        raise BundleError(f"{manifest}: changed since it was written; copy or make the {kind} again")
    for name, entry in parsed["files"].items():
        _verify(path, name, entry, kind)
    return Sealed(path, identity, kind, schema, parsed["content"], parsed["files"])


def refuse_replaced(path: Path, identity: str) -> None:
    """Raise BundleError where another folder stands at `path` by now than that of this id.

    To be asked after a file was read there once more: a folder is replaced whole, so its manifest tells of all of it.
    """
    try:
        found = json.loads((path / MANIFEST).read_bytes())["id"]
    except (OSError, ValueError, KeyError, TypeError):
        found = "gone"
    if found != identity:
        raise BundleError(f"{path}: is {found} by now, {identity} was verified; start, or reload, once more")


def _parse(manifest: Path, raw: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{manifest}: not JSON ({error}); copy or make it again") from None
    if not isinstance(parsed, dict) or not all(isinstance(parsed.get(k), dict) for k in ("files", "content")):
        raise BundleError(f"{manifest}: not a manifest (no files or no content); copy or make it again")
    return parsed


def _verify(folder: Path, name: str, entry: Any, kind: str) -> None:
    path = folder / name
    is_plain = re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name) is not None
    if not is_plain or not isinstance(entry, dict) or not {"size", "sha256"} <= entry.keys():
        raise BundleError(f"{folder / MANIFEST}: bad file entry {name!r}; copy or make the {kind} again")
    try:
        size = path.stat().st_size
        if size != entry["size"]:
            raise BundleError(f"{path}: {size} bytes, expected {entry['size']}; copy or make the {kind} again")
        if _sha256(path) != entry["sha256"]:
            raise BundleError(f"{path}: changed since it was written (sha256 differs); copy or make the {kind} again")
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}; copy or make the {kind} again") from None


def refuse_foreign(path: Path, kind: str) -> None:
    """Raise InputError when `path` holds something that a sealed folder of this kind must not replace."""
    try:
        held = {entry.name for entry in real_path(path).iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.ENOTDIR and path.exists():
            raise InputError(f"{path}: exists and is not a {kind}; give a new folder") from None
        raise cannot_write(path, error, "choose another --out") from None
    if not held:
        return
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        found, own = manifest.get("kind"), {MANIFEST, *manifest["files"]}
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        found, own = None, set()
    if found != kind:
        raise InputError(f"{path}: exists and is not a {kind}; give a new folder, or the folder of a {kind} to replace")
    if held - own:
        foreign = ", ".join(sorted(held - own)[:3])
        raise InputError(f"{path}: holds {foreign} beside the {kind}, which would be lost; move that away first")


def _sweep(path: Path) -> None:
    """Remove the staging folders of writers of `path` that were killed: nobody holds their lock."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"[0-9]+\.tmp")
    for entry in path.parent.iterdir():
        if pattern.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink():
            with suppress(OSError), _held(entry):
                shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; the kernel lets go when the process ends. Raises OSError when it is held."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _seal(staging: Path, kind: str, schema: int, content: Mapping[str, Any]) -> None:
    files = {}
    for path in sorted(staging.iterdir()):
        files[path.name] = {"sha256": _sha256(path), "size": path.stat().st_size}
        _fsync(path)
    manifest = {"kind": kind, "schema": schema, "content": dict(content), "files": files}
    manifest["id"] = _identity(manifest)
    with (staging / MANIFEST).open("wb") as file:
        file.write(_canonical(manifest))
        file.flush()
        os.fsync(file.fileno())
    _fsync(staging)


def _move(staging: Path, path: Path) -> None:
    """Put `staging` at `path` atomically; an old folder at `path` is swapped out in the same step and then removed."""
    if path.exists():
        _exchange(staging, path)
    else:
        staging.rename(path)
    _fsync(path.parent)


def _exchange(first: Path, second: Path) -> None:
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, "no renameat2 in the C library; remove the old folder first")
    result = renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _identity(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(manifest)).hexdigest()[:16]


def _canonical(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
