"""The outbox on the disk: an SQLite table that keeps what was committed through a power cut, within bounds.

- A commit is on the disk when it returns; one process has the file to itself; a damaged file is put aside
  (`edge.durable`).
- Bounded in rows and in bytes of payload. Where a new message has no room, the oldest `accept` makes it, then the
  oldest `verify`; `review`, `unknown` and events are never given up: with those alone in it, the outbox takes nothing
  more.
  Both losses are counted.
- A full disk takes nothing new, and what arrives still leaves: SQLite needs room to delete as well, so a file beside
  the database reserves some, which goes while the disk is full. Nothing is kept until it is there again.
- Row numbers are never used twice, so a late acknowledgement cannot hit another message.

Not for several threads at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge.durable import Form, Place, open_durable
from edge.errors import PublishError
from edge.outbox.state import EVENT, KINDS, Kind
from edge.types import Route

__all__ = ["Entry", "Limits", "Store"]

_FORM = Form(
    name="an outbox",
    application=0x5E1FED6E,
    schema=1,
    tables=(
        "CREATE TABLE outbox (row INTEGER PRIMARY KEY AUTOINCREMENT, keeps INTEGER NOT NULL, payload BLOB NOT NULL)",
        "CREATE INDEX by_keeps ON outbox (keeps, row)",
    ),
    key="outbox.path",
)
# the lowest makes room first
_KEEPS: dict[Kind, int] = {Route.ACCEPT: 0, Route.VERIFY: 1, Route.REVIEW: 2, Route.UNKNOWN: 2, EVENT: 2}
_GIVEN_UP = {0: Route.ACCEPT, 1: Route.VERIFY}
_CHUNK = 64  # rows that go at once
_THESE = f"FROM outbox WHERE row IN ({','.join('?' * _CHUNK)})"  # always as many: another text is compiled anew
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, and how much of the disk is reserved to let it go."""

    max_rows: int
    max_bytes: int
    reserve_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One message as it was published; `kept` is told once it is committed, in the thread that commits."""

    kind: Kind
    payload: bytes
    kept: Callable[[], None] | None = None


class Store:
    """Opened by `with`. `rows` and `bytes` are what waits; `lost` counts what was given up or not taken.

    `limits` may be replaced by any thread, but for the reserve, which is that of the beginning.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._reserve = path.with_name(path.name + ".reserve")
        self.limits = limits
        self._database: sqlite3.Connection | None = None
        self.rows = 0
        self.bytes = 0
        self.lost: Counter[Kind] = Counter(dict.fromkeys(KINDS.values(), 0))
        self._place: Place | None = None
        self.put_aside: Path | None = None  # where a damaged file went

    def __enter__(self) -> Store:
        database, self.put_aside = open_durable(self._path, _FORM)
        try:
            database.isolation_level = "IMMEDIATE"
            database.execute("PRAGMA secure_delete=OFF")  # some builds write zeros over what goes, which takes room
            pages = self.limits.reserve_bytes // (4 * _PAGE_BYTES)  # the log stays well under the reserve
            database.execute(f"PRAGMA wal_autocheckpoint={max(1, pages)}")
            count, size = database.execute("SELECT count(*), coalesce(sum(length(payload)), 0) FROM outbox").fetchone()
            self._place = Place.of(self._path)
        except (sqlite3.Error, OSError) as error:
            database.close()
            raise PublishError(f"{self._path}: {error}; free it, or give outbox.path another place") from None
        self._database, self.rows, self.bytes = database, int(count), int(size)
        return self

    def __exit__(self, *_: object) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def keep(self, entries: Sequence[Entry]) -> list[Entry]:
        """Commit entries, oldest first, and return those that had room; raises sqlite3.Error where the disk refuses,
        and then none of them is kept.
        """
        before = self.rows, self.bytes, self.lost.copy()
        self._take_reserve()
        try:
            with self._opened() as database:
                return [entry for entry in entries if self._insert(database, entry)]
        except sqlite3.Error:
            self.rows, self.bytes, self.lost = before
            self._give_reserve()
            raise

    def refuse_left(self) -> None:
        """Raise sqlite3.OperationalError where the file was moved or deleted: the next start will not find it."""
        if self._place is not None:
            self._place.refuse_left()

    def waiting(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Return at most `count` rows behind row number `after`, oldest first, with their payloads."""
        following = "SELECT row, payload FROM outbox WHERE row > ? ORDER BY row LIMIT ?"
        return [(int(row), bytes(payload)) for row, payload in self._opened().execute(following, (after, count))]

    def last_row(self) -> int:
        """Return the number of the youngest row that ever was here, 0 before the first."""
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'"
        found = self._opened().execute(query).fetchone()
        return int(found[0]) if found else 0

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
        """Delete 1 to _CHUNK rows with one statement: each gives the interpreter up, and has to get it back."""
        padded = [*rows, *[rows[0]] * (_CHUNK - len(rows))]
        with self._opened() as database:
            gone, freed = database.execute(
                f"SELECT count(*), coalesce(sum(length(payload)), 0) {_THESE}", padded
            ).fetchone()
            database.execute(f"DELETE {_THESE}", padded)
        self.rows, self.bytes = self.rows - int(gone), self.bytes - int(freed)
        return int(gone)

    def _take_reserve(self) -> None:
        """Make sure of the room to delete in; raises sqlite3.OperationalError where there is none."""
        with suppress(OSError):
            if self._reserve.stat().st_size >= self.limits.reserve_bytes:
                return  # a smaller one was cut short by a kill
        self._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.limits.reserve_bytes)
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

    def _insert(self, database: sqlite3.Connection, entry: Entry) -> bool:
        """Write one entry; False where it has no room."""
        size = len(entry.payload)
        while self.rows + 1 > self.limits.max_rows or self.bytes + size > self.limits.max_bytes:
            if not self._make_room(database):
                self.lost[entry.kind] += 1
                return False
        database.execute("INSERT INTO outbox (keeps, payload) VALUES (?, ?)", (_KEEPS[entry.kind], entry.payload))
        self.rows, self.bytes = self.rows + 1, self.bytes + size
        return True

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
        return min(_CHUNK, max(1, self.limits.max_rows // 16))

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise PublishError("outbox used outside `with`; a bug")
        return self._database
