"""What waits for the engine, in which runs: crops of different frames share one where `edge.batching` says so.

A run that waits for the one before it grows until the engine begins with it, so crops that come meanwhile share it
without a wait of their own. Runs begin in the order of their first crops, crops lie in a run in the order in which they
came. The engine works in a thread of its own, one run at a time; everything else here is called by one thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock

from edge.batching import EngineTimes, joins
from edge.pipeline import Batch
from edge.types import EngineRows

__all__ = ["IN_FLIGHT", "EngineQueue", "Ticket"]

IN_FLIGHT = 2  # runs: one in the engine, one ready for it


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    rows: EngineRows
    took_ns: int


@dataclass(slots=True, eq=False)
class _Run:
    """Batches that go into the engine together. It grows until it has begun."""

    batches: list[Batch] = field(default_factory=list)
    crops: int = 0
    sent_ns: int = 0
    done: Future[_Done] = field(default_factory=Future)
    _begun: bool = False
    _lock: Lock = field(default_factory=Lock)

    def add(self, batch: Batch) -> bool:
        """Take one more batch; False where the engine has begun."""
        with self._lock:
            if not self._begun:
                self.batches.append(batch)
                self.crops += len(batch.crops)
            return not self._begun

    def begin(self) -> Sequence[Batch]:
        """Close the run and return what it holds; in the engine's thread."""
        with self._lock:
            self._begun = True
            return self.batches


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A batch in the queue."""

    batch: Batch
    run: _Run
    first: int  # its first crop in the run

    @property
    def is_done(self) -> bool:
        """Whether `rows` does not wait."""
        return self.run.done.done()

    def rows(self) -> EngineRows:
        """Return the engine's rows for the batch, waiting for them; raises what the engine raised."""
        return self.run.done.result().rows[self.first : self.first + len(self.batch.crops)]


class EngineQueue:
    """Batches on their way through the engine, inside `with`. `embed` runs it on several batches at once.

    At most one run is `held`: nothing goes on with it before `go`, or `go_here` in the caller's thread.
    """

    def __init__(self, embed: Callable[[Sequence[Batch]], EngineRows], clock_ns: Callable[[], int]) -> None:
        self.times = EngineTimes()
        self._embed = embed
        self._clock_ns = clock_ns
        self._held: _Run | None = None
        self._sent: deque[_Run] = deque()
        self._wake = -1

    def __enter__(self) -> EngineQueue:
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the run in the engine; those that wait are given up."""
        self._thread.shutdown(cancel_futures=True)
        os.close(self._wake)
        self._wake = -1

    def fileno(self) -> int:
        """Return a descriptor that is readable once a run has ended; `reap` makes it quiet again."""
        return self._wake

    @property
    def held(self) -> int:
        """Crops of the run that was not let go yet."""
        return self._held.crops if self._held is not None else 0

    @property
    def is_idle(self) -> bool:
        """Whether the engine has nothing to do."""
        return not self._sent

    def waits_ns(self) -> int:
        """Return how long the oldest run that was let go has been on its way; 0 where none is."""
        return self._clock_ns() - self._sent[0].sent_ns if self._sent and self._sent[0].sent_ns else 0

    def has_room(self, limit: int, behind: float) -> bool:
        """Whether one more crop need not wait for the engine to end a run before it can be taken on."""
        if len(self._sent) < IN_FLIGHT:
            return True
        crops = self._sent[-1].crops
        return crops < limit and joins(self.times, crops, 1, behind)

    def put(self, batch: Batch, limit: int, behind: float) -> Ticket:
        """Take a batch on, of at most `limit` crops, into the last run where it fits and pays, else into a new one.

        `behind` crops wait for the engine beside it and the run. A new run is held where the engine is idle.
        """
        last = self._held or (self._sent[-1] if self._sent else None)
        if last is not None:
            crops, more = last.crops, len(batch.crops)
            if crops + more <= limit and joins(self.times, crops, more, behind) and last.add(batch):
                return Ticket(batch, last, crops)
            self.go()
        run = _Run()
        run.add(batch)
        self._held = run
        if self._sent:
            self.go()
        return Ticket(batch, run, 0)

    def go(self) -> None:
        """Let the held run wait for the engine no longer than for the runs before it."""
        if self._held is not None:
            run, self._held = self._held, None
            run.sent_ns = self._clock_ns()
            self._sent.append(run)
            self._thread.submit(self._work, run)

    def go_here(self) -> None:
        """Run the engine on the held run in this thread; it must be idle. Spares two switches between threads."""
        if self._held is not None:
            run, self._held = self._held, None
            self._sent.append(run)
            self._work(run)

    def reap(self) -> None:
        """Learn from the runs that have ended."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._sent and self._sent[0].done.done():
            run = self._sent.popleft()
            if run.done.exception() is None:
                self.times.note(run.crops, run.done.result().took_ns)

    def _work(self, run: _Run) -> None:
        batches, began_ns = run.begin(), self._clock_ns()
        try:
            rows = self._embed(batches)
        except BaseException as error:  # noqa: BLE001  # raised where the rows are asked for
            run.done.set_exception(error)
        else:
            run.done.set_result(_Done(rows, self._clock_ns() - began_ns))
        os.eventfd_write(self._wake, 1)
