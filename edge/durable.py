"""An SQLite file that keeps what was committed through a power cut: how it is opened, checked and put aside.

WAL with `synchronous=FULL`: a commit is on the disk when it returns. (With NORMAL, the usual advice, a power cut took
thousands of committed rows in tests.) One process has the file to itself. A file that is damaged is put aside under
another name, never deleted, and an empty one takes its place; another program's file is refused.

A file that is moved or deleted while it is open takes commits as before, and the next start finds none of them: whoever
acknowledges asks its `Place` first.
"""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge.errors import InputError, PublishError

__all__ = ["Form", "Place", "open_durable", "wait_for_writer"]

JOIN_S = 5.0  # before it is said that a disk is waited for

log = logging.getLogger("edge.durable")

CACHE_KIB = 256  # pages that SQLite holds in memory; it has them for as long as the file is open


@dataclass(frozen=True, slots=True)
class Form:
    """What a file must be: `name` for people, its application id and schema number, its tables, the key to mend."""

    name: str
    application: int
    schema: int
    tables: Sequence[str]
    key: str


@dataclass(frozen=True, slots=True)
class Place:
    """A file that was there, by its path, device and inode."""

    path: Path
    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Place:
        """Return the place of a file; raises OSError."""
        found = path.stat()
        return cls(path, found.st_dev, found.st_ino)

    def refuse_left(self) -> None:
        """Raise sqlite3.OperationalError where the file does not lie there any more."""
        with suppress(OSError):
            if Place.of(self.path) == self:
                return
        raise sqlite3.OperationalError("its file was moved or deleted while it was in use; start again")


def open_durable(path: Path, form: Form) -> tuple[sqlite3.Connection, Path | None]:
    """Return the database, without transactions of its own, and where a damaged file was put.

    Raises InputError for a file that is something else, PublishError where the disk refuses or another process has it.
    """
    try:
        return _open(path, form), None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise _cannot(path, form, error) from None
    try:
        aside = _put_aside(path)
    except OSError as error:
        told = f"{path}: is damaged and cannot be put aside ({error.strerror}); move it away"
        raise PublishError(f"{told}, or give {form.key} another place") from None
    try:
        return _open(path, form), aside
    except sqlite3.Error as error:
        raise _cannot(path, form, error) from None


def _open(path: Path, form: Form) -> sqlite3.Connection:
    """Open and check; raises sqlite3.DatabaseError for a damaged file, OperationalError for what is no damage."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PublishError(f"{path}: {error.strerror}; give {form.key} another place") from None
    database = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        new = _is_new(database, path, form)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check found damage")
        if new:  # a file that is there is not written to: a full disk keeps nobody from starting
            database.execute("BEGIN IMMEDIATE")
            database.execute(f"PRAGMA application_id={form.application}")
            database.execute(f"PRAGMA user_version={form.schema}")
            for table in form.tables:
                database.execute(table)
            database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def wait_for_writer(thread: threading.Thread, what: str) -> None:
    """Wait for the thread that writes a file before the file is closed, however long its disk takes.

    Closed under its hands, SQLite would take the process along.
    """
    thread.join(JOIN_S)
    if thread.is_alive():
        log.warning("waiting for the disk of %s", what)
        thread.join()


def _is_new(database: sqlite3.Connection, path: Path, form: Form) -> bool:
    """Say whether nothing is in the file yet; raises InputError for what is not of this form."""
    application, version = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and (application, version) != (form.application, form.schema):
        found = "is another program's database" if application != form.application else f"has schema {version}"
        expected = f"expected {form.name} of schema {form.schema}"
        raise InputError(f"{path}: {found}, {expected}; give {form.key} another path")
    return not tables


def _put_aside(path: Path) -> Path:
    """Rename the damaged file, and what belongs to it, to the first free name."""
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside


def _cannot(path: Path, form: Form, error: sqlite3.Error) -> PublishError:
    told = "another process uses it" if "locked" in str(error) else str(error)
    return PublishError(f"{path}: {told}; free it, or give {form.key} another place")
