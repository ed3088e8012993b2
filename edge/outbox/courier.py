"""The courier: one thread that commits what the frame loop hands over, and delivers it until it is acknowledged.

Every TICK_MS, or when something arrives: what is queued goes into one commit, acknowledged rows are deleted, and rows
are sent while fewer than WINDOW of them are on their way. Where the oldest of these is not acknowledged for RESEND_MS,
everything not acknowledged is sent again, whatever else was: it was lost with a line.

The frame loop never waits: `put` is a bounded queue, and what finds it full is counted. It shares the interpreter with
this thread, which therefore sends ROWS at a time and rests REST_S after each, or a backlog would hold frames up for as
long as it lasts. Where much comes, AHEAD rows go for each of it, so that a backlog shrinks at any rate.

What the collector refuses is told on log and heartbeat in its own words, waits, and holds up nothing behind it. All
that waits is sent again RESEND_MS after the first refusal, later by as much for each WINDOW of refused rows: trying
costs the network no more than a window in RESEND_MS.

A disk that refuses stops nothing: the queue fills meanwhile, the next tick tries again. No ZMTP heartbeats (they can
abort a receiving process, libzmq 4.3.5); TCP keepalive and the acknowledgements serve. With a caller the line is
encrypted and the collector has to be the one whose public key the caller has (`edge.keys`).
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime

import zmq

from edge import messages
from edge.durable import wait_for_writer
from edge.errors import InputError, PublishError
from edge.keys.line import Caller, Line
from edge.outbox.state import EVENT, KINDS, Kind, OutboxState
from edge.outbox.store import Entry, Limits, Store
from edge.outbox.wire import Refusal, acknowledged, refused, row_frame
from edge.telling import Telling

__all__ = ["QUEUE", "Courier"]

TICK_MS = 50
RESEND_MS = 5_000
WINDOW = 512
ROWS = 16  # sent at a time, each in memory until it is
REST_S = 0.01
AHEAD = 5
QUEUE = 10_000  # messages that wait for the disk
BATCH = 1_000  # messages in one commit
LAST_MS = 500

log = logging.getLogger("edge.outbox")


class Courier:
    """Commits and delivers, inside `with`. `store` is open; `endpoint` is where a collector listens.

    `wall_ns` (UTC) tells the age of what an earlier start left, which no monotonic clock knows.
    """

    def __init__(
        self,
        store: Store,
        endpoint: str,
        clock_ns: Callable[[], int],
        caller: Caller | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._endpoint = endpoint
        self._caller = caller
        self._clock_ns = clock_ns
        self._wall_ns = wall_ns
        self._queue: queue.Queue[Entry] = queue.Queue(QUEUE)
        self._pending: list[Entry] = []  # taken from the queue, refused by the disk
        self._overrun: Counter[Kind] = Counter(dict.fromkeys(KINDS.values(), 0))  # the frame loop's own count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._sent = 0  # the last row that was sent in this round
        self._furthest = 0  # ... in any round
        self._on_their_way: set[int] = set()
        self._first = (0, 0)  # the oldest row on its way, 0 for none, and since when it is that
        self._committed = 0  # since rows were last sent
        self._delivered = 0
        self._refused: tuple[int, str] | None = None  # when the collector last refused something, and why
        self._refused_since: int | None = None  # when it refused the first row of this round, None where it did not
        self._refused_rows = 0  # ... and how many since
        self._telling = Telling(log, clock_ns)
        self._refusing = False
        self._earlier = 0  # rows up to this one were committed by an earlier start
        self._oldest: tuple[int, int] | None = None  # the first row that waits, and when it was captured, on our clock

    def __enter__(self) -> Courier:
        self._earlier = self._store.last_row()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Commit and stop; what is not acknowledged stays for the next start."""
        self._stop.set()
        wait_for_writer(self._thread, "outbox")

    def put(self, kind: Kind, payload: bytes, kept: Callable[[], None] | None = None) -> bool:
        """Hand one message over; False where the disk has refused for so long that there is no room for it.

        A decision is lost then, and counted; an event is put again. `kept` is called from the courier's thread once
        the message is on the disk. Raises PublishError where the courier is gone: nothing would be kept any more, and
        nobody would know.
        """
        if self._thread.ident is not None and not self._thread.is_alive():
            raise PublishError("the outbox's thread has ended, see the log before this; start the daemon again")
        try:
            self._queue.put_nowait(Entry(kind, payload, kept))
        except queue.Full:
            if kind != EVENT:
                self._overrun[kind] += 1
            return False
        return True

    def limit(self, limits: Limits) -> None:
        """Let as much wait as this from the next commit on; for the frame loop."""
        self._store.limits = limits

    def call(self, caller: Caller) -> None:
        """Deliver with other keys from now on; for the frame loop. What is on its way goes again over the new line."""
        self._caller = caller

    def state(self) -> OutboxState:
        """Return the figures, for the heartbeat and the metrics."""
        store, oldest = self._store, self._oldest
        return OutboxState(
            store.rows,
            store.bytes,
            self._delivered,
            store.lost + self._overrun,
            oldest_s=0.0 if oldest is None else max(self._clock_ns() - oldest[1], 0) / 1e9,
            refusing=self._refusing or (self._thread.ident is not None and not self._thread.is_alive()),
            refused=self._why_refused(),
        )

    def _why_refused(self) -> str:
        """Return why the collector refused something, until what it refused was sent again and was not refused."""
        refused, since = self._refused, self._refused_since
        if refused is None or (since is None and self._clock_ns() - refused[0] >= 3 * RESEND_MS * 1_000_000):
            return ""
        return refused[1]

    def _run(self) -> None:
        with (
            zmq.Context(io_threads=1) as context,
            closing(Line(context, self._endpoint, self._caller, _dealer, self._clock_ns)) as line,
        ):
            while not self._stop.is_set():
                line.socket.poll(TICK_MS, zmq.POLLIN)
                self._step(line.socket)
                line.call(self._caller)
                line.tend()
                time.sleep(REST_S)
            self._finish(line.socket)

    def _finish(self, socket: zmq.Socket[bytes]) -> None:
        """Commit what is queued, and give a collector that listens a moment to acknowledge."""
        self._step(socket)
        end_ns = self._clock_ns() + LAST_MS * 1_000_000
        while self._on_their_way and self._clock_ns() < end_ns:
            socket.poll(TICK_MS, zmq.POLLIN)
            self._step(socket)
        lost = len(self._pending) + self._queue.qsize()
        if lost:
            log.error("%d messages are lost: the outbox's disk refused them to the end", lost)

    def _step(self, socket: zmq.Socket[bytes]) -> None:
        """Commit, delete, send: each also where the disk refuses another, or a full one could never empty."""
        refused: sqlite3.Error | None = None
        for part in (self._settle, self._commit, self._deliver, lambda _: self._store.refuse_left()):
            try:
                part(socket)
            except sqlite3.Error as error:
                refused = error
        self._say_refusing(refused)
        with suppress(sqlite3.Error):  # said above
            self._look()

    def _look(self) -> None:
        """Find out since when the oldest row waits; its message says when it was captured."""
        first = self._store.waiting(0, 1)
        if not first or (self._oldest is not None and self._oldest[0] == first[0][0]):
            self._oldest = self._oldest if first else None
            return
        row, payload = first[0]
        now_ns = self._clock_ns()
        captured_ns = now_ns
        with suppress(InputError, ValueError):  # what an older version wrote, or another hand: it waits from now on
            message = messages.decode(payload)
            if isinstance(message, messages.DecisionMessage) and row > self._earlier:
                captured_ns = message.captured_monotonic_ns
            elif isinstance(message, messages.DecisionMessage):
                age_s = self._wall_ns() / 1e9 - datetime.fromisoformat(message.captured_utc).timestamp()
                captured_ns = now_ns - round(age_s * 1e9)
        self._oldest = row, captured_ns

    def _commit(self, _socket: zmq.Socket[bytes]) -> None:
        """Commit what is queued. A batch that the disk refused comes first, again and whole."""
        while True:
            while len(self._pending) < BATCH:
                try:
                    self._pending.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            if not self._pending:
                return
            kept = self._store.keep(self._pending)
            self._committed += len(kept)
            self._pending = []
            for entry in kept:
                if entry.kept is not None:
                    entry.kept()

    def _settle(self, socket: zmq.Socket[bytes]) -> None:
        rows: list[int] = []
        while socket.poll(0, zmq.POLLIN):
            frames = socket.recv_multipart()
            try:
                if (refusal := refused(frames)) is not None:
                    self._take_refusal(refusal)
                else:
                    rows += acknowledged(frames[-1])
            except InputError as error:
                log.warning("%s: %s", self._endpoint, error)
        if rows:
            self._delivered += self._store.settle([row for row in rows if row <= self._furthest])
            self._on_their_way.difference_update(rows)

    def _take_refusal(self, refusal: Refusal) -> None:
        now_ns = self._clock_ns()
        self._refused = now_ns, refusal.why
        self._telling.warning("refused", f"{self._endpoint}: the collector refuses: {refusal.why}. It waits meanwhile")
        if not refusal.rows:  # which, it does not say: what is not acknowledged is sent again
            return
        self._on_their_way.difference_update(refusal.rows)
        if self._refused_since is None:
            self._refused_since, self._refused_rows = now_ns, 0
        self._refused_rows += len(refusal.rows)

    def _begin_again(self, now_ns: int) -> None:
        """Send everything that waits once more, where it is time."""
        first = min(self._on_their_way, default=0)
        if first != self._first[0]:
            self._first = first, now_ns
        lost = bool(first) and now_ns - self._first[1] > RESEND_MS * 1_000_000
        refused = self._refused_since is not None and now_ns - self._refused_since >= self._patience_ns()
        if not lost and not refused:
            return
        self._sent, self._first = 0, (0, now_ns)
        self._on_their_way.clear()
        if self._refused is not None and refused:  # told until the collector had the time to refuse again
            self._refused, self._refused_since = (now_ns, self._refused[1]), None

    def _patience_ns(self) -> int:
        """Return how long what was refused waits: no more than what is here can be sent again."""
        rows = min(self._refused_rows, self._store.rows)
        return RESEND_MS * 1_000_000 * max(WINDOW, rows) // WINDOW

    def _deliver(self, socket: zmq.Socket[bytes]) -> None:
        self._begin_again(self._clock_ns())
        share, self._committed = max(ROWS, AHEAD * self._committed), 0
        while (room := min(ROWS, share, WINDOW - len(self._on_their_way))) > 0:
            rows = self._store.waiting(self._sent, room)
            share -= len(rows)
            for row, payload in rows:
                try:
                    socket.send_multipart([row_frame(row), payload], flags=zmq.NOBLOCK)
                except zmq.Again:  # nobody listens
                    return
                self._sent, self._furthest = row, max(row, self._furthest)
                self._on_their_way.add(row)
            if len(rows) < room:
                return

    def _say_refusing(self, refused: sqlite3.Error | None) -> None:
        if refused is not None and not self._refusing:
            log.error("the outbox's disk refuses: %s; deciding goes on, %d messages wait", refused, len(self._pending))
        self._refusing = refused is not None


def _dealer(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.SNDHWM, WINDOW)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RESEND_MS)
    return socket
