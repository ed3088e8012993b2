"""The public keys that may come in: a folder of NAME.pub, read again when it changes.

One look at the folder costs a `stat`; its files are looked at when that says so, and once a second at least, and only a
file that changed is read. So a key that is taken out is refused from then on, without a restart.

Where the folder cannot be read, nobody is let in. A damaged file lets nobody in and is named in the log; at the start
it is an error.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from pathlib import Path
from typing import TypeAlias

from zmq.utils import z85

from edge.errors import InputError
from edge.keys.pair import PUBLIC, read_public

__all__ = ["AllowList"]

MAX_KEYS = 10_000
LOOK_NS = 1_000_000_000

_Mark: TypeAlias = tuple[int, int, int]  # when changed, size, inode

log = logging.getLogger("edge.keys")


class AllowList:
    """The names of `folder` by key, for any thread. Raises InputError at once for a folder or a file that cannot be
    used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._marks: dict[str, _Mark] = {}
        self._keys: dict[str, bytes] = {}  # file name -> key
        self._names: dict[bytes, str] = {}  # key -> name
        self._folder_mark = 0
        self._looked_ns = 0
        bad = self._look()
        if bad:
            raise bad[0]

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, key: bytes, now_ns: int) -> str | None:
        """Return the name of whom a key of 32 bytes belongs to, None where it is not here; raises InputError where the
        folder cannot be read.
        """
        with self._lock:
            if now_ns - self._looked_ns >= LOOK_NS or self._mark() != self._folder_mark:
                self._looked_ns = now_ns
                for error in self._look():
                    log.error("%s; it lets nobody in", error)
            return self._names.get(key)

    def _mark(self) -> int:
        try:
            status = self.folder.stat()
        except OSError as error:
            raise InputError(f"{self.folder}: {error.strerror}; edge-keys allow makes such a folder") from None
        if not stat.S_ISDIR(status.st_mode):
            raise InputError(f"{self.folder}: is a file, expected a folder of NAME{PUBLIC}")
        if status.st_mode & stat.S_IWOTH:
            mend = f"run chmod o-w {self.folder}"
            raise InputError(f"{self.folder}: everybody may write to it, and so let anybody in; {mend}")
        return status.st_mtime_ns

    def _look(self) -> list[InputError]:
        """Read what changed; return what is wrong with files that were not so before."""
        self._names = {}  # so it stays where the folder cannot be read
        self._folder_mark = self._mark()
        marks = self._files()
        bad = []
        for name in marks.keys() | self._marks.keys():
            if marks.get(name) != self._marks.get(name):
                self._keys.pop(name, None)
                if name in marks:
                    try:
                        self._keys[name] = z85.decode(read_public(self.folder / name))
                    except InputError as error:
                        bad.append(error)
        self._marks = marks
        for name in sorted(self._keys):
            self._names.setdefault(self._keys[name], name.removesuffix(PUBLIC))
        return bad

    def _files(self) -> dict[str, _Mark]:
        marks: dict[str, _Mark] = {}
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if not entry.name.endswith(PUBLIC) or entry.name.startswith("."):
                        continue
                    try:
                        status = entry.stat()
                    except FileNotFoundError:  # gone meanwhile
                        continue
                    marks[entry.name] = (status.st_mtime_ns, status.st_size, status.st_ino)
                    if len(marks) > MAX_KEYS:
                        raise InputError(f"{self.folder}: more than {MAX_KEYS} keys; divide it")
        except OSError as error:
            raise InputError(f"{self.folder}: {error.strerror}; expected a folder of NAME{PUBLIC}") from None
        return marks
