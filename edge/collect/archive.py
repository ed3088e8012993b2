"""Decisions and events in an SQLite database, once each, whatever arrives how often.

    decisions   one row a decision: who, when, where, what; the message itself in `payload`
    events      one row an event of a device, by its `event_id`
    rejected    what could not be read, as it came: an outbox would deliver it for ever

WAL with `synchronous=FULL`: what `add` returned for is on the disk, so it may be acknowledged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.collect.delivered import Delivered
from edge.durable import Place
from edge.errors import InputError, PublishError
from edge.messages import DecisionMessage, EventMessage

__all__ = ["Added", "Archive"]

APPLICATION = 0x5E1FEDCC
SCHEMA = 1
_TABLES = (
    "CREATE TABLE IF NOT EXISTS decisions (device_id TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,"
    " camera_id TEXT NOT NULL, captured_utc TEXT NOT NULL, track INTEGER NOT NULL, looks INTEGER NOT NULL,"
    " route TEXT NOT NULL, sku TEXT, confidence REAL NOT NULL, payload BLOB NOT NULL,"
    " PRIMARY KEY (device_id, epoch, seq)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS events (event_id TEXT NOT NULL PRIMARY KEY, device_id TEXT NOT NULL,"
    " bundle_id TEXT NOT NULL, event TEXT NOT NULL, summary TEXT NOT NULL, payload BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS rejected (payload BLOB NOT NULL PRIMARY KEY, why TEXT NOT NULL) WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of some payloads: new decisions, new events, either of them again, and what is neither."""

    new: int = 0
    again: int = 0
    rejected: int = 0
    events: int = 0

    def __add__(self, other: Added) -> Added:
        counts = (self.new + other.new, self.again + other.again, self.rejected + other.rejected)
        return Added(*counts, self.events + other.events)


class Archive:
    """Opened by `with`; raises InputError for a file that is something else, PublishError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._place: Place

    def __enter__(self) -> Archive:
        try:
            database = sqlite3.connect(self._path, timeout=5.0, isolation_level="IMMEDIATE")
        except sqlite3.Error as error:
            raise PublishError(f"{self._path}: {error}; give --out a writable place") from None
        try:
            self._set_up(database)
        except sqlite3.Error as error:
            database.close()
            raise InputError(f"{self._path}: {error}, expected one of edge-collect; give another --out") from None
        except InputError:
            database.close()
            raise
        self._database, self._place = database, Place.of(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def add(self, delivered: Sequence[Delivered]) -> Added:
        """Commit what was delivered; what is here already stays as it is. Raises PublishError, and nothing is kept."""
        if self._database is None:
            raise PublishError("archive used outside `with`; a bug")
        added = Added()
        try:
            with self._database as database:
                for one in delivered:
                    added += _add(database, one)
                self._place.refuse_left()
        except sqlite3.Error as error:
            told = f"{self._path}: {error}; nothing was acknowledged, make room or put the file back, and start again"
            raise PublishError(told) from None
        return added

    def _set_up(self, database: sqlite3.Connection) -> None:
        application = database.execute("PRAGMA application_id").fetchone()[0]
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if tables and (application, version) != (APPLICATION, SCHEMA):
            found = "is another program's database" if application != APPLICATION else f"has schema {version}"
            raise InputError(f"{self._path}: {found}, expected one of edge-collect, {SCHEMA}; give another --out")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        with database:
            database.execute(f"PRAGMA application_id={APPLICATION}")
            database.execute(f"PRAGMA user_version={SCHEMA}")
            for table in _TABLES:
                database.execute(table)


def _add(database: sqlite3.Connection, delivered: Delivered) -> Added:
    payload, message, why = delivered.payload, delivered.message, delivered.why
    try:
        if message is not None:
            return _add_message(database, payload, message)
    except OverflowError as error:  # SQLite's integers have 64 bits, those of a message any number
        why = str(error)
    database.execute("INSERT OR IGNORE INTO rejected VALUES (?, ?)", (payload, why))
    return Added(rejected=1)


def _add_message(database: sqlite3.Connection, payload: bytes, message: DecisionMessage | EventMessage) -> Added:
    if isinstance(message, EventMessage):
        values = (message.event_id, message.device_id, message.bundle_id, message.event, message.summary, payload)
        done = database.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?)", values)
        return Added(events=1) if done.rowcount else Added(again=1)
    done = database.execute(
        "INSERT OR IGNORE INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(message.device_id, message.epoch, message.seq, message.camera_id, message.captured_utc),
            *(message.track, message.looks, message.route, message.sku, message.confidence, payload),
        ),
    )
    return Added(new=1) if done.rowcount else Added(again=1)
