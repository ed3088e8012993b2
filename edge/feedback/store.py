"""Decisions, verdicts and the state of the rules on the disk, within bounds.

    decisions   (epoch, seq) -> thing: what a verdict can still name; the oldest go first
    things      what each was taken for, and its truth once it is known
    verdicts    those of the open window
    sums        things that are over in the open window, by what they were taken for
    state       of the rules, by name
    events      found and, until it is published, waiting; the last KEPT_EVENTS

What was committed is there after a power cut, and a damaged file is put aside: `edge.durable`.

Changes are made inside `transaction` alone. Not for several threads at once.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.durable import Form, Place, open_durable
from edge.errors import PublishError
from edge.feedback.figures import Sum
from edge.feedback.state import Decided, Finding, Told
from edge.feedback.tally import Checked
from edge.types import Route

__all__ = ["Store", "Thing"]

KEPT_EVENTS = 1_000
_CHUNK = 256  # decisions that go at once
_TABLES = (
    "CREATE TABLE IF NOT EXISTS decisions (row INTEGER PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL,"
    " thing INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS by_id ON decisions (epoch, seq)",
    "CREATE INDEX IF NOT EXISTS by_thing ON decisions (thing)",
    "CREATE TABLE IF NOT EXISTS things (thing INTEGER PRIMARY KEY AUTOINCREMENT, open INTEGER NOT NULL,"
    " accepted INTEGER NOT NULL, sku TEXT, tier TEXT NOT NULL, confidence REAL NOT NULL, audited INTEGER NOT NULL,"
    " truth TEXT, source TEXT)",
    "CREATE INDEX IF NOT EXISTS still_open ON things (thing) WHERE open",
    "CREATE INDEX IF NOT EXISTS audits ON things (thing) WHERE audited AND truth IS NULL",
    "CREATE TABLE IF NOT EXISTS verdicts (thing INTEGER PRIMARY KEY, accepted INTEGER NOT NULL,"
    " audited INTEGER NOT NULL, sku TEXT, tier TEXT NOT NULL, truth TEXT, truth_tier TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sums (accepted INTEGER NOT NULL, sku TEXT NOT NULL, tier TEXT NOT NULL,"
    " things INTEGER NOT NULL, confidence REAL NOT NULL, PRIMARY KEY (accepted, sku, tier)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS events (row INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL,"
    " finding BLOB NOT NULL, published INTEGER NOT NULL)",
)
_DELETE_NAMELESS = (
    "DELETE FROM things WHERE thing = ? AND NOT open"
    " AND NOT EXISTS (SELECT 1 FROM decisions WHERE decisions.thing = things.thing)"
)
_FORM = Form("a feedback file", 0x5E1FEDFB, 1, _TABLES, "feedback.path")


@dataclass(slots=True)
class Thing:
    """What a track was taken for: by its first `accept` where there is one, else by its last look.

    `sku` is None where it was called unknown, and empty where there was no candidate.
    """

    row: int
    accepted: bool
    sku: str | None
    tier: str
    confidence: float
    audited: bool
    truth: str | None = None
    source: str | None = None

    @staticmethod
    def of(row: int, decided: Decided) -> Thing:
        """Return the thing as one decision shows it."""
        sku = None if decided.route is Route.UNKNOWN else decided.sku or ""
        accepted = decided.route is Route.ACCEPT
        return Thing(row, accepted, sku, decided.tier, decided.confidence, decided.audited)


class Store:
    """Opened by `with`; raises InputError for a file that is something else, PublishError where the disk refuses.

    The last `max_decisions` are remembered; it may be replaced.
    """

    def __init__(self, path: Path, max_decisions: int) -> None:
        self._path = path
        self.max_decisions = max_decisions
        self._database: sqlite3.Connection | None = None
        self._place: Place
        self._file = ""  # in event ids, so that those of a file that took its place are others
        self.put_aside: Path | None = None  # where a damaged file went

    def __enter__(self) -> Store:
        self._database, self.put_aside = open_durable(self._path, _FORM)
        try:
            self._place = Place.of(self._path)
        except OSError as error:
            self.__exit__()
            raise PublishError(f"{self._path}: {error.strerror}; give feedback.path another place") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, all of it or nothing; raises sqlite3.Error where the disk refuses, or the file is
        gone.
        """
        database = self._opened()
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._place.refuse_left()
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def name_file(self) -> None:
        """Give the file a name of its own where it has none; before events are asked for or added."""
        self._opened().execute("INSERT OR IGNORE INTO state VALUES ('file', ?)", (secrets.token_bytes(6),))
        self._file = (self.state("file") or b"").hex()

    def new_thing(self, decided: Decided) -> Thing:
        """Write a thing with its first decision."""
        thing = Thing.of(0, decided)
        done = self._opened().execute(
            "INSERT INTO things (open, accepted, sku, tier, confidence, audited) VALUES (1, ?, ?, ?, ?, ?)",
            (thing.accepted, thing.sku, thing.tier, thing.confidence, thing.audited),
        )
        thing.row = int(done.lastrowid or 0)
        return thing

    def last_thing(self) -> int:
        """Return the number of the newest thing that ever was, 0 before the first."""
        return self._one("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'things'")

    def change_thing(self, thing: Thing) -> None:
        """Write what a thing is taken for now; a verdict that came before counts it so as well."""
        database = self._opened()
        taken = (thing.accepted, thing.audited, thing.sku, thing.tier)
        database.execute(
            "UPDATE things SET accepted = ?, audited = ?, sku = ?, tier = ?, confidence = ? WHERE thing = ?",
            (*taken, thing.confidence, thing.row),
        )
        database.execute(
            "UPDATE verdicts SET accepted = ?, audited = ?, sku = ?, tier = ? WHERE thing = ?", (*taken, thing.row)
        )

    def add_decision(self, decided: Decided, thing: Thing) -> None:
        """Write which thing a decision was about."""
        values = (decided.epoch, decided.seq, thing.row)
        self._opened().execute("INSERT OR IGNORE INTO decisions (epoch, seq, thing) VALUES (?, ?, ?)", values)

    def end_thing(self, row: int) -> Thing | None:
        """Mark a thing as over and sum it up; return it, None where it is over or forgotten already."""
        database = self._opened()
        if not database.execute("UPDATE things SET open = 0 WHERE thing = ? AND open", (row,)).rowcount:
            return None
        thing = self._thing(row)
        if thing is not None:
            database.execute(
                "INSERT INTO sums VALUES (?, ?, ?, 1, ?) ON CONFLICT DO UPDATE"
                " SET things = things + 1, confidence = confidence + excluded.confidence",
                (thing.accepted, (thing.sku or "") if thing.accepted else "", thing.tier, thing.confidence),
            )
            database.execute(_DELETE_NAMELESS, (row,))
        return thing

    def still_open(self) -> list[int]:
        """Return the rows of things that are not over."""
        return [int(row) for (row,) in self._opened().execute("SELECT thing FROM things WHERE open ORDER BY thing")]

    def find(self, epoch: str, seq: int) -> Thing | None:
        """Return the thing that a decision was about, None where it is not remembered."""
        query = "SELECT thing FROM decisions WHERE epoch = ? AND seq = ?"
        found = self._opened().execute(query, (epoch, seq)).fetchone()
        return None if found is None else self._thing(int(found[0]))

    def set_truth(self, thing: Thing, truth: str, source: str, checked: Checked) -> None:
        """Write the truth about a thing, and that it counts in the open window."""
        database = self._opened()
        database.execute("UPDATE things SET truth = ?, source = ? WHERE thing = ?", (truth, source, thing.row))
        database.execute(
            "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                thing.row,
                checked.accepted,
                checked.audited,
                checked.sku,
                checked.tier,
                checked.truth,
                checked.truth_tier,
            ),
        )

    def counts_in_window(self, thing: Thing) -> bool:
        """Say whether the verdict about a thing is in the open window."""
        return self._one("SELECT count(*) FROM verdicts WHERE thing = ?", thing.row) > 0

    def in_window(self) -> int:
        """Return how many verdicts of the open window count for a figure: of audited things, or not accepted ones."""
        return self._one("SELECT count(*) FROM verdicts WHERE audited OR NOT accepted")

    def take_window(self) -> tuple[list[Checked], list[Sum]]:
        """Return what the open window holds and empty it."""
        database = self._opened()
        verdicts = database.execute("SELECT accepted, audited, sku, tier, truth, truth_tier FROM verdicts")
        checked = [Checked(bool(accepted), bool(audited), *rest) for accepted, audited, *rest in verdicts]
        sums = [Sum(bool(accepted), *rest) for accepted, *rest in database.execute("SELECT * FROM sums")]
        database.execute("DELETE FROM verdicts")
        database.execute("DELETE FROM sums")
        return checked, sums

    def forget_oldest(self) -> None:
        """Let the oldest decisions go beyond the bound, and the things that nobody can name any more."""
        database = self._opened()
        while (beyond := self.remembered() - self.max_decisions) > 0:
            oldest = "SELECT row, thing FROM decisions ORDER BY row LIMIT ?"
            gone = database.execute(oldest, (max(1, min(_CHUNK, beyond)),)).fetchall()
            database.executemany("DELETE FROM decisions WHERE row = ?", [(row,) for row, _ in gone])
            database.executemany(_DELETE_NAMELESS, {(thing,) for _, thing in gone})

    def remembered(self) -> int:
        """Return how many decisions a verdict can name."""
        return self._one("SELECT coalesce(max(row) - min(row) + 1, 0) FROM decisions")  # rows go from the oldest alone

    def audits_waiting(self) -> int:
        """Return how many audited things have no verdict yet."""
        return self._one("SELECT count(*) FROM things WHERE audited AND truth IS NULL")

    def put_state(self, name: str, value: bytes) -> None:
        """Keep the state of a rule."""
        self._opened().execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def state(self, name: str) -> bytes | None:
        """Return the state that was kept, None where there is none."""
        found = self._opened().execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if found is None else bytes(found[0])

    def add_event(self, finding: Finding) -> Told:
        """Keep a finding until it is published, and the last KEPT_EVENTS of them."""
        database = self._opened()
        values = (finding.event, msgspec.json.encode(finding))
        done = database.execute("INSERT INTO events (event, finding, published) VALUES (?, ?, 0)", values)
        row = int(done.lastrowid or 0)
        database.execute("DELETE FROM events WHERE row <= ?", (row - KEPT_EVENTS,))
        return self._told(row, finding)

    def unpublished(self) -> list[Told]:
        """Return the findings that wait, oldest first."""
        query = "SELECT row, finding FROM events WHERE NOT published ORDER BY row"
        found = self._opened().execute(query).fetchall()
        return [self._told(int(row), msgspec.json.decode(one, type=Finding)) for row, one in found]

    def published(self, row: int) -> None:
        """Note that a finding went out."""
        self._opened().execute("UPDATE events SET published = 1 WHERE row = ?", (row,))

    def events(self) -> dict[str, int]:
        """Return how many findings are kept, by kind."""
        found = self._opened().execute("SELECT event, count(*) FROM events GROUP BY event")
        return {str(event): int(count) for event, count in found}

    def _told(self, row: int, finding: Finding) -> Told:
        return Told(row, f"{self._file}:{row}", finding)

    def _thing(self, row: int) -> Thing | None:
        query = "SELECT thing, accepted, sku, tier, confidence, audited, truth, source FROM things WHERE thing = ?"
        found = self._opened().execute(query, (row,)).fetchone()
        if found is None:
            return None
        thing, accepted, sku, tier, confidence, audited, truth, source = found
        return Thing(thing, bool(accepted), sku, tier, confidence, bool(audited), truth, source)

    def _one(self, query: str, *values: object) -> int:
        return int(self._opened().execute(query, values).fetchone()[0])

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise PublishError("feedback file used outside `with`; a bug")
        return self._database
