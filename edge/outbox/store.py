"""The outbox on the disk: an SQLite table that keeps what was committed through a power cut, within bounds.

- WAL with `synchronous=FULL`: a commit is on the disk when it returns. (With NORMAL, the usual advice, a power cut took
  thousands of committed rows in tests.) One process has the file to itself.
- Bounded in rows and in bytes of payload. Where a new decision has no room, the oldest `accept` makes it, then the
  oldest `verify`; `review` and `unknown` are never given up: with those alone in it, the outbox takes nothing more.
  Both losses are counted.
- A full disk takes nothing new, and what arrives still leaves: SQLite needs room to delete as well, so a file beside
  the database reserves some, which goes while the disk is full. Nothing is kept until it is there again.
- A file that is damaged is put aside under another name, never deleted, and an empty one takes its place.
- Row numbers are never used twice, so a late acknowledgement cannot hit another decision.

Not for several threads at once.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge.errors import InputError, PublishError
from edge.types import Route

__all__ = ["Entry", "Limits", "Store"]

APPLICATION = 0x5E1FED6E
SCHEMA = 1
_KEEPS = {Route.ACCEPT: 0, Route.VERIFY: 1, Route.REVIEW: 2, Route.UNKNOWN: 2}  # the lowest makes room first
_GIVEN_UP = {0: Route.ACCEPT, 1: Route.VERIFY}
_CHUNK = 64  # rows that go at once
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, and how much of the disk is reserved to let it go."""

    max_rows: int
    max_bytes: int
    reserve_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision as it was published."""

    route: Route
    payload: bytes


class Store:
    """Opened by `with`. `rows` and `bytes` are what waits; `lost` counts by route what was given up or not taken."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._reserve = path.with_name(path.name + ".reserve")
        self._limits = limits
        self._database: sqlite3.Connection | None = None
        self.rows = 0
        self.bytes = 0
        self.lost = Counter(dict.fromkeys(Route, 0))
        self.put_aside: Path | None = None  # where a damaged file went

    def __enter__(self) -> Store:
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._cannot(error) from None
            self._put_aside()
            try:
                self._open()
            except sqlite3.Error as again:
                raise self._cannot(again) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def keep(self, entries: Sequence[Entry]) -> None:
        """Commit entries, oldest first; raises sqlite3.Error where the disk refuses, and then none of them is kept."""
        before = self.rows, self.bytes, self.lost.copy()
        self._take_reserve()
        try:
            with self._opened() as database:
                for entry in entries:
                    self._insert(database, entry)
        except sqlite3.Error:
            self.rows, self.bytes, self.lost = before
            self._give_reserve()
            raise

    def waiting(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Return at most `count` rows behind row number `after`, oldest first, with their payloads."""
        following = "SELECT row, payload FROM outbox WHERE row > ? ORDER BY row LIMIT ?"
        return [(int(row), bytes(payload)) for row, payload in self._opened().execute(following, (after, count))]

    def settle(self, rows: Sequence[int]) -> int:
        """Delete what has arrived; return how many rows there were. Rows that are gone already are no error."""
        gone = 0
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            try:
                gone += self._delete(some)
            except sqlite3.OperationalError:
                self._give_reserve()
                gone += self._delete(some)
        return gone

    def _delete(self, rows: Sequence[int]) -> int:
        gone, freed = 0, 0
        with self._opened() as database:
            for row in rows:
                found = database.execute("SELECT length(payload) FROM outbox WHERE row = ?", (row,)).fetchone()
                if found is not None:
                    database.execute("DELETE FROM outbox WHERE row = ?", (row,))
                    gone, freed = gone + 1, freed + int(found[0])
        self.rows, self.bytes = self.rows - gone, self.bytes - freed
        return gone

    def _take_reserve(self) -> None:
        """Make sure of the room to delete in; raises sqlite3.OperationalError where there is none."""
        if self._reserve.exists():
            return
        self._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._limits.reserve_bytes)
        except OSError as error:
            with suppress(OSError):
                self._reserve.unlink()
            raise sqlite3.OperationalError(f"no room for {self._reserve}: {error.strerror}") from None

    def _give_reserve(self) -> None:
        """Let the disk have the reserve, and move what waits in the log into the database with it."""
        with suppress(OSError):
            self._reserve.unlink()
        with suppress(sqlite3.Error):
            self._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _insert(self, database: sqlite3.Connection, entry: Entry) -> None:
        size = len(entry.payload)
        while self.rows + 1 > self._limits.max_rows or self.bytes + size > self._limits.max_bytes:
            if not self._make_room(database):
                self.lost[entry.route] += 1
                return
        database.execute("INSERT INTO outbox (keeps, payload) VALUES (?, ?)", (_KEEPS[entry.route], entry.payload))
        self.rows, self.bytes = self.rows + 1, self.bytes + size

    def _make_room(self, database: sqlite3.Connection) -> bool:
        """Give up some of the oldest rows that may be; False where there are none."""
        for keeps, route in _GIVEN_UP.items():
            oldest = "SELECT row, length(payload) FROM outbox WHERE keeps = ? ORDER BY row LIMIT ?"
            found = database.execute(oldest, (keeps, self._chunk())).fetchall()
            if found:
                database.executemany("DELETE FROM outbox WHERE row = ?", [(row,) for row, _ in found])
                self.rows, self.bytes = self.rows - len(found), self.bytes - sum(size for _, size in found)
                self.lost[route] += len(found)
                return True
        return False

    def _chunk(self) -> int:
        return min(_CHUNK, max(1, self._limits.max_rows // 16))

    def _open(self) -> None:
        """Open and check; raises sqlite3.DatabaseError for a damaged file, OperationalError for what is no damage."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=0.0, isolation_level="IMMEDIATE", check_same_thread=False)
        try:
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._refuse_foreign(database)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute("PRAGMA secure_delete=OFF")  # some builds write zeros over what goes, which takes room
            pages = self._limits.reserve_bytes // (4 * _PAGE_BYTES)  # the log stays well under the reserve
            database.execute(f"PRAGMA wal_autocheckpoint={max(1, pages)}")
            if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("quick_check found damage")
            with database:
                database.execute(f"PRAGMA application_id={APPLICATION}")
                database.execute(f"PRAGMA user_version={SCHEMA}")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS outbox"
                    " (row INTEGER PRIMARY KEY AUTOINCREMENT, keeps INTEGER NOT NULL, payload BLOB NOT NULL)"
                )
                database.execute("CREATE INDEX IF NOT EXISTS by_keeps ON outbox (keeps, row)")
            count, size = database.execute("SELECT count(*), coalesce(sum(length(payload)), 0) FROM outbox").fetchone()
        except BaseException:
            database.close()
            raise
        self._database, self.rows, self.bytes = database, int(count), int(size)

    def _refuse_foreign(self, database: sqlite3.Connection) -> None:
        application, version = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and (application, version) != (APPLICATION, SCHEMA):
            found = "is another program's database" if application != APPLICATION else f"has schema {version}"
            raise InputError(f"{self._path}: {found}, expected an outbox of schema {SCHEMA}; give another path")

    def _put_aside(self) -> None:
        """Rename the damaged file, and what belongs to it, to the first free name."""
        names = (self._path.with_name(f"{self._path.name}.damaged-{number}") for number in itertools.count(1))
        self.put_aside = next(path for path in names if not path.exists())
        self._path.rename(self.put_aside)
        for suffix in ("-wal", "-shm"):
            beside = self._path.with_name(self._path.name + suffix)
            if beside.exists():
                beside.rename(self.put_aside.with_name(self.put_aside.name + suffix))

    def _cannot(self, error: sqlite3.Error) -> PublishError:
        told = "another process uses it" if "locked" in str(error) else str(error)
        return PublishError(f"{self._path}: {told}; free it, or give outbox.path another place")

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise PublishError("outbox used outside `with`; a bug")
        return self._database
