"""The clerk: one thread that commits what the frame loop hands over, takes verdicts and answers after the commit.

The frame loop never waits: `put` is a bounded queue, and what finds it full is counted. It shares the interpreter with
this thread, which therefore rests REST_S after each BATCH where more verdicts wait already, or a flood of them, of
yesterday's reviews say, would hold frames up. Decisions are committed once
every COMMIT_MS, or with the next verdict; a power cut takes at most those, and a verdict about one of them is answered
`unknown_decision`. A disk that refuses stops nothing: verdicts are answered `not_kept` meanwhile.

A ROUTER socket without ZMTP heartbeats (they can abort a receiving process, libzmq 4.3.5); a sender that is gone when
its answer is ready gets none, sends again, and is answered `again`.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec
import zmq

from edge.durable import wait_for_writer
from edge.errors import InputError, PublishError
from edge.feedback.judge import Catalogue, Judge
from edge.feedback.ledger import Ledger
from edge.feedback.state import Decided, FeedbackState, Told
from edge.feedback.store import Store
from edge.feedback.wire import MAX_BYTES, Answer, Ask, Verdict, decode
from edge.keys.door import Door
from edge.listening import refuse_old_protocols, refuse_taken, remove

__all__ = ["QUEUE", "Bounds", "Clerk", "Parts"]

TICK_MS = 200
COMMIT_MS = 1_000
QUEUE = 10_000  # decisions that wait for the disk
BATCH = 20  # verdicts in one commit
REST_S = 0.01
WAITING = 200  # messages that libzmq keeps for us; 16 KiB each at most

log = logging.getLogger("edge.feedback")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a clerk works with: an opened store, the rules, and the ledger over both."""

    store: Store
    judge: Judge
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many verdicts close a window, and how many decisions are remembered."""

    window_verdicts: int
    max_decisions: int


@dataclass(frozen=True, slots=True)
class _Change:
    """What to go on with once the first `after` decisions are committed; without `bounds` with those before."""

    after: int
    judge: Judge
    catalogue: Catalogue
    bounds: Bounds | None


class Clerk:
    """Works inside `with`; raises PublishError where `endpoint` is taken. `window` is what the heartbeat says it is.

    Behind `door` come verdicts of those on its list alone.
    """

    def __init__(
        self, parts: Parts, endpoint: str, window: int, clock_ns: Callable[[], int], door: Door | None = None
    ) -> None:
        self._parts = parts
        self._endpoint = endpoint
        self._door = door
        self._window = window
        self._clock_ns = clock_ns
        self._queue: queue.Queue[Decided] = queue.Queue(QUEUE)
        self._pending: list[Decided] = []  # taken from the queue, refused by the disk
        self._put = 0  # into the queue, by the frame loop
        self._got = 0  # out of it
        self._changes: deque[_Change] = deque()
        self._told: deque[Told] = deque()  # to be published by the frame loop
        self._published: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._to_note: list[int] = []
        self._dropped = 0
        self._malformed = 0
        self._not_kept = 0
        self._committed_ns = 0
        self._refusing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feedback", daemon=True)
        self._state = FeedbackState(0, 0, {}, 0, 0, window, {}, ())

    def __enter__(self) -> Clerk:
        try:
            self._told.extend(self._parts.ledger.open())
        except sqlite3.Error as error:
            raise PublishError(f"the feedback file refuses: {error}; free its disk or change feedback.path") from None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.ROUTER)
        try:
            self._listen(self._socket)
        except BaseException:
            self._hang_up()
            raise
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Commit what is queued and stop."""
        self._stop.set()
        wait_for_writer(self._thread, "feedback")

    def put(self, decided: Decided) -> bool:
        """Hand one decision over; False where the disk has refused for so long that there is no room for it, or where
        the clerk's thread has ended: its traceback is in the log, and every decision counts as dropped.
        """
        if self._thread.ident is not None and not self._thread.is_alive():
            self._dropped += 1
            return False
        try:
            self._queue.put_nowait(decided)
        except queue.Full:
            self._dropped += 1
            return False
        self._put += 1
        return True

    def follow(self, judge: Judge, catalogue: Catalogue, bounds: Bounds | None = None) -> None:
        """Go on with another bundle or other rules, from the next decision that is put; for the frame loop."""
        self._changes.append(_Change(self._put, judge, catalogue, bounds))

    def next_event(self) -> Told | None:
        """Return the oldest event that is not published, for the frame loop."""
        return self._told[0] if self._told else None

    def sent(self) -> None:
        """Let go of the oldest event: it is under way; for the frame loop."""
        self._told.popleft()

    def published(self, row: int) -> None:
        """Note that an event went out for good, where it is kept until it has arrived or nothing keeps it; from any
        thread. One that was not noted comes again at the next start.
        """
        self._published.put(row)

    def state(self) -> FeedbackState:
        """Return the figures, for the heartbeat and the metrics."""
        return self._state

    def _listen(self, socket: zmq.Socket[bytes]) -> None:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, 4 * MAX_BYTES)
        socket.setsockopt(zmq.RCVHWM, WAITING)
        socket.setsockopt(zmq.SNDHWM, WAITING)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        refuse_taken(self._endpoint, "feedback.listen")
        if self._door is not None:
            self._door.guard(self._context, socket)
        else:
            refuse_old_protocols(socket)
        try:
            socket.bind(self._endpoint)
        except zmq.ZMQError as error:
            told = f"cannot listen on {self._endpoint}: {error.strerror}"
            raise PublishError(f"{told}; free it or change feedback.listen") from None

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._socket.poll(TICK_MS, zmq.POLLIN)
                self._step()
                if self._socket.poll(0, zmq.POLLIN):
                    time.sleep(REST_S)
            self._step(last=True)
            if self._pending:
                log.error("%d decisions are forgotten: the disk refused them to the end", len(self._pending))
        except Exception:
            log.exception("feedback ends here, deciding goes on; a bug")
        finally:
            self._hang_up()
            remove(self._endpoint)

    def _hang_up(self) -> None:
        if self._door is not None:
            self._door.close()
        self._socket.close()
        self._context.term()

    def _step(self, last: bool = False) -> None:
        requests = self._requests()
        now_ns = self._clock_ns()
        due = last or now_ns - self._committed_ns >= COMMIT_MS * 1_000_000
        if not requests and not due:
            return
        self._committed_ns = now_ns
        self._take_queued()
        while not self._published.empty():
            self._to_note.append(self._published.get_nowait())
        verdicts = [request for _, request in requests]
        for (envelope, _), answer in zip(requests, self._commit(verdicts), strict=True):
            self._answer(envelope, msgspec.json.encode(answer))
        with suppress(sqlite3.Error):  # said by _commit, which comes again
            if last:
                self._parts.ledger.finish()
            self._look()

    def _take_queued(self) -> None:
        """Take what is queued; where a change stands between, commit what was before it, make it, and go on."""
        self._take_up_to_change()
        while self._changes and self._changes[0].after == self._got and self._make_change(self._changes[0]):
            self._changes.popleft()
            self._take_up_to_change()

    def _take_up_to_change(self) -> None:
        waiting = self._queue.qsize()  # first: a change that comes from here on stands behind all of these
        after = self._changes[0].after if self._changes else None
        for _ in range(waiting):
            if self._got == after or len(self._pending) >= QUEUE:
                return
            self._pending.append(self._queue.get_nowait())
            self._got += 1

    def _make_change(self, change: _Change) -> bool:
        """Go on with another bundle or other rules; False where the disk refuses, and then it comes again."""
        self._commit([])
        if self._pending:
            return False
        try:
            told = self._parts.ledger.follow(change.judge, change.catalogue)
        except sqlite3.Error as error:
            log.error("the feedback file refuses: %s; it goes on with the bundle before for now", error)
            return False
        self._parts = replace(self._parts, judge=change.judge)
        if change.bounds is not None:
            self._window = self._parts.ledger.window = change.bounds.window_verdicts
            self._parts.store.max_decisions = change.bounds.max_decisions
        self._tell(told)
        return True

    def _tell(self, told: Sequence[Told]) -> None:
        for one in told:
            log.warning("%s: %s", one.finding.event, one.finding.summary)
        self._told.extend(told)

    def _commit(self, verdicts: Sequence[Verdict]) -> list[Answer]:
        try:
            answers, told = self._parts.ledger.take(self._pending, verdicts, self._to_note)
        except sqlite3.Error as error:
            if not self._refusing:
                log.error("the feedback file refuses: %s; deciding goes on, %d wait", error, len(self._pending))
            self._refusing = True
            self._not_kept += len(verdicts)
            why = f"the disk refuses: {error}"
            return [Answer(decision_id=one.decision_id, result="not_kept", why=why) for one in verdicts]
        self._refusing = False
        self._pending, self._to_note = [], []
        self._tell(told)
        return answers

    def _requests(self) -> list[tuple[list[bytes], Verdict]]:
        """Return the verdicts that are there, with the frames that lead back; answer everything else."""
        found: list[tuple[list[bytes], Verdict]] = []
        for _ in range(BATCH):
            if not self._socket.poll(0, zmq.POLLIN):
                break
            *envelope, payload = self._socket.recv_multipart()
            try:
                if envelope[1:] not in ([], [b""]):
                    raise InputError(f"message of {len(envelope)} frames, expected one")
                request = decode(payload)
            except InputError as error:
                self._malformed += 1
                refusal = Answer(decision_id="", result="malformed", why=str(error)[:300])
                self._answer(envelope[:2], msgspec.json.encode(refusal))
                continue
            if isinstance(request, Ask):
                self._answer(envelope, msgspec.json.encode(self._parts.judge.closed.rows))
            else:
                found.append((envelope, request))
        return found

    def _answer(self, envelope: Sequence[bytes], payload: bytes) -> None:
        try:
            self._socket.send_multipart([*envelope, payload], flags=zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.debug("an answer was not taken: %s", error)

    def _look(self) -> None:
        """Take the figures anew; only here, in the thread that has the store."""
        parts, results = self._parts, dict(self._parts.ledger.results)
        results["malformed"] += self._malformed
        results["not_kept"] += self._not_kept
        rows = tuple(row for row in parts.judge.closed.rows if row.scale != "product")
        self._state = FeedbackState(
            remembered=parts.store.remembered(),
            dropped=self._dropped,
            verdicts=results,
            audits_waiting=parts.store.audits_waiting(),
            window=parts.ledger.in_window,
            window_of=self._window,
            events=parts.store.events(),
            accuracy=rows,
        )
