"""One file written whole or not at all, and what to say when a place cannot be written.

Promise: a regular file appears by one rename: after a Ctrl-C or a full disk the old content stands there, or the new.
A symbolic link stays a link: what it points to is replaced. A device or a pipe (/dev/stdout) is written to directly and
never replaced. A full disk is the machine's failure (PublishError); a folder, a missing parent or a name that no file
can have is the person's mistake (InputError).

Limits: a process that is killed outright leaves `.NAME.PID.tmp` beside the file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edge.errors import InputError, PublishError, ShelfedgeError

__all__ = ["cannot_write", "real_path", "whole_file"]

_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@contextmanager
def whole_file(path: Path, option: str = "--out") -> Iterator[BinaryIO]:
    """Yield a file to fill; at the end of the block it stands at `path`, after an exception nothing was changed.

    `option` is named in errors. Raises InputError and PublishError as the module says.
    """
    try:
        if _is_special(path):
            with path.open("wb") as device:
                yield device
            return
        target = real_path(path)
        if not target.name or path.name == ".." or target.is_dir():
            raise InputError(f"{path}: is a folder, expected a file to write; choose another {option}")
        staging = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with staging.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(staging, target)
        finally:
            with suppress(OSError):
                staging.unlink()
    except OSError as error:
        raise cannot_write(path, error, f"choose another {option}") from None


def cannot_write(path: Path, error: OSError, mend: str) -> ShelfedgeError:
    """Return the error to raise: PublishError where the machine is at its limits, InputError for a wrong place."""
    kind = PublishError if error.errno in _MACHINE else InputError
    return kind(f"{path}: cannot be written ({error.strerror or error}); {mend}")


def real_path(path: Path) -> Path:
    """Return `path` absolute and without symbolic links, whether it exists or not; raises InputError."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise InputError(f"{path}: cannot be a path ({error}); choose another") from None


def _is_special(path: Path) -> bool:
    """Tell whether a device, a pipe or a socket stands there."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
