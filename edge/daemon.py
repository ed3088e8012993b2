"""The loop: read -> locate -> decide -> publish -> heartbeat. It reads as the dataflow and names no adapter.

Invariants
- No call in the loop blocks longer than TICK_MS, except the wait for the engine.
- Crops of different frames share a run of the engine where that pays (`edge.batching`); which, shows in no decision as
  far as the engine's rows do not depend on it.
- A file is decided on to its last frame; a live camera that fails is reopened with backoff while the others go on.
- Of each camera that has a frame one is taken in turn, so a busy camera takes none from the others.
- Every decision takes a number (`seq`); one that could not be sent is counted and leaves a gap that everybody sees.
- Whatever else is to be done in this thread (a `Duty`) is done between two frames, once a turn.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from edge.batching import Arrivals, Coming, window_ns
from edge.capture.backoff import Backoff
from edge.capture.camera import Camera, CameraState
from edge.capture.failure import CaptureFailure, CaptureReason
from edge.capture.waiting import wait_any
from edge.config import CameraConfig
from edge.degrade.ladder import Measures
from edge.degrade.still import StillGate
from edge.engine_queue import EngineQueue, Ticket
from edge.errors import CaptureError, InputError
from edge.outgoing import Outgoing
from edge.pipeline import Batch, Pipeline
from edge.ports import Locator
from edge.preprocess import cut
from edge.stages import Stage, Stopwatch
from edge.track import Tracker
from edge.types import EngineRows, Frame, Image, Region

__all__ = ["TICK_MS", "Daemon", "Duty", "Stream", "stream_of"]

TICK_MS = 100
PATIENCE_NS = 1_000_000_000  # with the engine; then the loop stands still with it, and the watchdog sees it
NO_IMAGE: Image = np.empty((0, 0, 3), np.uint8)
HEARTBEAT_NS = 1_000_000_000
MOST_WARNINGS = 100  # of one camera in the log; edge_camera_warnings_total goes on counting
FROZEN_CAP_MS = 4_000  # a covered lens may give one black picture: it must not stay blind for long once it is free

log = logging.getLogger("edge.daemon")


@dataclass(slots=True, eq=False)
class Stream:
    """A camera, what finds regions in its frames and follows them, and when it may be opened again.

    `held` is what the locator has open.
    """

    camera: Camera
    locator: Locator
    tracker: Tracker
    gate: StillGate
    backoff: Backoff
    priority: int = 0
    max_age_ms: int = 1_000
    arrivals: Arrivals = field(default_factory=Arrivals)
    held: ExitStack = field(default_factory=ExitStack)
    ended: bool = False
    error: CaptureError | None = None
    told: set[str] = field(default_factory=set)  # warnings that stand in the log

    def part(self) -> Callable[[], None]:
        """Leave the camera's source, whatever became of it; what is returned waits until it is free (`Camera.part`)."""
        self.ended, self.error = False, None
        return self.camera.part()

    def follow(self, config: CameraConfig) -> None:
        """Do with the camera's frames as this configuration says."""
        self.tracker.require(config.looks)
        self.gate = StillGate(config.looks)
        self.priority, self.max_age_ms = config.priority, config.max_age_ms

    def change(self, config: CameraConfig) -> None:
        """Read the camera as this configuration says from now on; after `part`."""
        self.backoff.succeeded()
        self.camera.change(config)

    def tell_warnings(self) -> None:
        """Log what was wrong with the source and survived, each text once: a looping file would repeat itself."""
        for text in self.camera.recent_warnings:
            if text not in self.told and len(self.told) < MOST_WARNINGS:
                self.told.add(text)
                log.warning("camera %s: %s", self.camera.camera_id, text)


def stream_of(config: CameraConfig, camera: Camera, locator: tuple[Locator, ExitStack], seed: int) -> Stream:
    """Return the stream of a camera, with its locator and what that has open."""
    tracker, gate = Tracker(config.looks), StillGate(config.looks)
    stream = Stream(camera, locator[0], tracker, gate, Backoff(seed=seed), held=locator[1])
    stream.priority, stream.max_age_ms = config.priority, config.max_age_ms
    return stream


class Duty(Protocol):
    """Something that is done between two frames; short, for the cameras wait meanwhile."""

    def turn(self, daemon: Daemon, now_ns: int) -> None:
        """Do what is due. Raises ShelfedgeError to end the daemon."""


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """A frame whose crops are on their way through the engine."""

    frame: Frame
    place: tuple[Tracker, int]  # of the camera, and the number it gave the frame
    regions: Sequence[Region]
    strict: bool
    tickets: Sequence[Ticket]


class Daemon:
    """Decides on everything that the cameras deliver until they end or `stop` is set. All parts come opened.

    `measures` is how much of the work is done, `tick_ms` how long the loop waits where nothing comes.

    While the engine works on one run, this thread locates and fits for the next one and publishes the last one. It
    takes a frame only while the engine's queue has room, so what it takes is fresh; a crop waits for the frame of
    another camera only where measured times say that less time is lost so (`edge.batching`).
    """

    def __init__(
        self,
        streams: Iterable[Stream],
        pipeline: Pipeline,
        outgoing: Outgoing,
        clock_ns: Callable[[], int],
        duties: Sequence[Duty] = (),
    ) -> None:
        self._streams = {stream.camera: stream for stream in streams}
        self._pipeline = pipeline
        self._outgoing = outgoing
        self._stages = outgoing.health.stages
        self._clock_ns = clock_ns
        self._duties = duties
        self._engine = EngineQueue(self._embed, clock_ns)
        self._begun: deque[_Begun] = deque()
        self._wait_until_ns = 0  # for crops that could share the held run
        self._next_heartbeat_ns = 0
        self.measures = Measures()
        self.tick_ms = TICK_MS
        self._queue: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set or every camera has ended.

        Raises CaptureError at the end when a file could not be read: everything else was decided on, and the failure is
        not silent. Raises EngineError and PublishError at once.
        """
        with self._engine:
            while not stop.is_set() and not all(stream.ended for stream in self._streams.values()):
                self._outgoing.health.turn_ns = self._clock_ns()
                ready = self._await()
                for number, camera in enumerate(ready, 1):
                    if stop.is_set():
                        break  # the frame in hand is done, the next one is not begun
                    self._make_room(len(ready) - number)
                    frame = self._read(self._streams[camera])
                    if frame is not None:
                        self._begin(self._streams[camera], frame, ready[number:])
                self._go_on()
                self._reopen_due()
                self._heartbeat()
                for duty in self._duties:
                    duty.turn(self, self._clock_ns())
            self.settle()
        self._heartbeat(last=True)
        for stream in self._streams.values():
            if stream.error is not None:
                raise stream.error

    def take_queue(self) -> float | None:
        """Return how old the youngest live frame was when its turn came, since the last time that this was asked.

        In units of the camera's `max_age_ms`; None where no frame came. One that came late is no queue yet.
        """
        queue, self._queue = self._queue, None
        return queue

    def settle(self) -> None:
        """Finish everything that the engine works on; afterwards nobody uses it until the next frame."""
        self._engine.go()
        while self._begun:
            self._finish()

    def take_engine(self, pipeline: Pipeline) -> None:
        """Decide with another pipeline from the next frame on; what was begun is finished with the old one."""
        self.settle()
        self._pipeline = pipeline
        for stream in self._streams.values():
            stream.tracker.take_other_engine()

    def take_streams(self, streams: Iterable[Stream]) -> None:
        """Read these from now on, between frames; who leaves is closed by the caller."""
        self.settle()
        self._streams = {stream.camera: stream for stream in streams}

    @property
    def streams(self) -> Sequence[Stream]:
        """What is read."""
        return tuple(self._streams.values())

    def _await(self) -> list[Camera]:
        """Wait until something is to be done; return the cameras of which a frame can be taken on, or news."""
        open_cameras = [c for c, s in self._streams.items() if not s.ended and c.state != CameraState.SHED]
        wait_ns = self.tick_ms * 1_000_000
        if self._engine.held:
            wait_ns = min(wait_ns, self._wait_until_ns - self._clock_ns())
        elif not self._engine.has_room(self._limit, self._behind(0)):
            open_cameras = []
        return wait_any(open_cameras, max(0, -(-wait_ns // 1_000_000)), self._engine.fileno())

    @property
    def _limit(self) -> int:
        """How many crops go into the engine at once."""
        return min(self._pipeline.max_batch, self.measures.batch or self._pipeline.max_batch)

    def _behind(self, ready: int) -> float:
        """Return how many crops wait for the engine beside those in hand: of files there is always one more."""
        live = any(stream.camera.is_live for stream in self._streams.values() if not stream.ended)
        return ready if live else float("inf")

    def _make_room(self, ready: int) -> None:
        """Finish what is done, and wait for the engine where it has enough to do: meanwhile newer frames come."""
        self._finish_done()
        while self._begun and not self._engine.held and not self._engine.has_room(self._limit, self._behind(ready)):
            self._finish()

    def _begin(self, stream: Stream, frame: Frame, ready: Sequence[Camera]) -> None:
        """Locate, fit and hand to the engine; of the cameras `ready` one frame each comes next."""
        watch = Stopwatch(self._stages, self._clock_ns, frame.captured_ns)
        taken_ns = watch.lap(Stage.CAPTURE)
        strict, measures = self._outgoing.health.is_strict, self.measures
        if stream.camera.is_live:
            age = (taken_ns - frame.captured_ns) / (stream.max_age_ms * 1e6)
            self._queue = age if self._queue is None else min(age, self._queue)
        found = self._located(stream, frame)
        if found is None:
            return
        regions = stream.gate.open_for(frame.image, found, measures.still_every)
        ready_ns = watch.lap(Stage.LOCATE)
        number, tickets = stream.tracker.next_frame(), []
        for batch in self._pipeline.prepare([cut(frame.image, region) for region in regions], self._limit):
            ready_ns = watch.lap(Stage.PREPARE)
            tickets.append(self._engine.put(batch, self._limit, self._behind(len(ready))))
            watch.skip()
        stream.arrivals.note(frame.captured_ns, taken_ns, ready_ns, len(regions))
        if tickets:
            place = stream.tracker, number
            self._begun.append(_Begun(replace(frame, image=NO_IMAGE), place, regions, strict, tickets))
            self._let_go(stream, ready)
        if self._outgoing.records:  # a picture takes long to write: what is decided goes out first
            self.settle()
        self._outgoing.frame(frame, strict, measures.still_every)
        stream.camera.release(frame)

    def _located(self, stream: Stream, frame: Frame) -> Sequence[Region] | None:
        """Return where to look; None where the frames of a live camera are not what its locator was made for: then it
        fails like one that gives none, and the others go on. A file is a person's to mend, who hears of it at once.
        """
        try:
            found = stream.locator.locate(frame)
        except InputError as error:
            if not stream.camera.is_live:
                raise
            stream.camera.release(frame)
            stream.camera.refuse(str(error).removeprefix(f"camera {frame.camera_id}: "))
            return None
        stream.backoff.succeeded()
        return found

    def _let_go(self, stream: Stream, ready: Sequence[Camera]) -> None:
        """Let the engine begin with what is held, unless a wait for crops of other cameras pays.

        A lone live camera has nothing to do beside the engine, so that runs in this thread. A file always has work
        beside it: its next frame is wanted at once.
        """
        if not self._engine.held:
            return
        alone = sum(not other.ended for other in self._streams.values()) == 1
        if alone and stream.camera.is_live and not stream.camera.ready():
            self._engine.go_here()
        elif wait_ns := self._window_ns(stream, ready):
            self._wait_until_ns = self._clock_ns() + wait_ns
        else:
            self._engine.go()

    def _window_ns(self, stream: Stream, ready: Sequence[Camera]) -> int:
        """Return how long the held crops should wait for another camera's, 0 for files and recordings."""
        if not stream.camera.is_live or self._outgoing.records:
            return 0
        now_ns, coming = self._clock_ns(), list[Coming]()
        for camera, other in self._streams.items():
            if other is not stream and camera.is_live and camera.state == CameraState.RUNNING:
                next_one = other.arrivals.ready() if camera in ready else other.arrivals.next(now_ns)
                coming += [next_one] if next_one is not None else []
        oldest_ns = self._begun[0].frame.captured_ns
        budget_ns = oldest_ns + min(s.max_age_ms for s in self._streams.values()) * 1_000_000 - now_ns
        return window_ns(self._engine.times, self._engine.held, self._limit, coming, budget_ns)

    def _embed(self, batches: Sequence[Batch]) -> EngineRows:
        """Run the engine; in its own thread or in this one."""
        watch = Stopwatch(self._stages, self._clock_ns)
        rows = self._pipeline.embed(batches)
        watch.lap(Stage.ENGINE)
        return rows

    def _go_on(self) -> None:
        """Let go what has waited long enough, and finish what the engine is done with."""
        if self._clock_ns() >= self._wait_until_ns:
            self._engine.go()
        self._engine.reap()  # first: a run that ends from here on wakes us
        self._finish_done()
        if self._engine.waits_ns() > PATIENCE_NS and self._begun:
            self._finish()

    def _finish_done(self) -> None:
        while self._begun and all(ticket.is_done for ticket in self._begun[0].tickets):
            self._finish()

    def _finish(self) -> None:
        """Wait for the oldest frame, judge and publish it; a failure of the engine is raised here."""
        done = self._begun.popleft()
        rows = [ticket.rows() for ticket in done.tickets]
        self._engine.reap()
        watch = Stopwatch(self._stages, self._clock_ns)
        judged = zip(done.tickets, rows, strict=True)
        decisions = [d for ticket, own in judged for d in self._pipeline.judge(ticket.batch, own, done.strict)]
        tracker, number = done.place
        tracks = tracker.follow(number, done.regions, np.concatenate(rows), done.frame.opening)
        watch.lap(Stage.JUDGE)
        for region, track, decision in zip(done.regions, tracks, decisions, strict=True):
            agreed = track.agree(decision)
            self._outgoing.decision(done.frame, (region, track), agreed, done.strict, self._clock_ns())
        watch.lap(Stage.PUBLISH)

    def _read(self, stream: Stream) -> Frame | None:
        camera = stream.camera
        try:
            frame = camera.read(timeout_ms=0)
        except EOFError:
            stream.ended = True
            log.info("camera %s: ended after %d frames", camera.camera_id, camera.delivered)
        except CaptureError as error:
            stream.ended = not camera.is_live
            stream.error = error if stream.ended else None
            frozen = isinstance(error, CaptureFailure) and error.reason is CaptureReason.FROZEN
            wait_ms = stream.backoff.failed(self._clock_ns(), FROZEN_CAP_MS if frozen else None)
            log.warning("%s; %s", error, "given up" if stream.ended else f"opened again in {wait_ms} ms")
        else:
            return frame
        return None

    def _reopen_due(self) -> None:
        for camera, stream in self._streams.items():
            if camera.state == CameraState.FAILED and not stream.ended and stream.backoff.due(self._clock_ns()):
                camera.reopen()

    def _heartbeat(self, last: bool = False) -> None:
        now_ns = self._clock_ns()
        if last or now_ns >= self._next_heartbeat_ns:
            self._next_heartbeat_ns = now_ns + HEARTBEAT_NS
            for stream in self._streams.values():
                stream.tell_warnings()
            self._outgoing.heartbeat(list(self._streams), now_ns)
