"""The loop: read -> locate -> decide -> publish -> heartbeat. It reads as the dataflow and names no adapter.

Invariants
- No call in the loop blocks longer than TICK_MS, except the wait for the engine.
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
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from edge.capture.backoff import Backoff
from edge.capture.camera import Camera, CameraState
from edge.capture.failure import CaptureFailure, CaptureReason
from edge.capture.waiting import wait_any
from edge.config import CameraConfig
from edge.degrade.ladder import Measures
from edge.degrade.still import StillGate
from edge.errors import CaptureError
from edge.outgoing import Outgoing
from edge.pipeline import Batch, Pipeline
from edge.ports import Locator
from edge.preprocess import cut
from edge.stages import Stage, Stopwatch
from edge.track import Tracker
from edge.types import EngineRows, Frame, Image, Region

__all__ = ["TICK_MS", "Daemon", "Duty", "Stream", "stream_of"]

TICK_MS = 100
IN_FLIGHT = 2  # one in the engine, one ready for it
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
    return Stream(camera, locator[0], tracker, gate, Backoff(seed=seed), config.priority, config.max_age_ms, locator[1])


class Duty(Protocol):
    """Something that is done between two frames; short, for the cameras wait meanwhile."""

    def turn(self, daemon: Daemon, now_ns: int) -> None:
        """Do what is due. Raises ShelfedgeError to end the daemon."""


@dataclass(frozen=True, slots=True, eq=False)
class _InFlight:
    """A batch that the engine is working on."""

    frame: Frame
    place: tuple[Tracker, int]  # of the camera, and the number it gave the frame
    regions: Sequence[Region]
    strict: bool
    batch: Batch
    rows: Future[EngineRows]


class Daemon:
    """Decides on everything that the cameras deliver until they end or `stop` is set. All parts come opened.

    `measures` is how much of the work is done.

    When there is work beside it, the engine runs in a thread of its own: while it works on one batch, this thread
    locates, fits and publishes for its neighbours. At most IN_FLIGHT batches wait for the engine; when no camera has a
    frame, this thread waits for the engine, so a decision never waits for the next frame.
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
        self._in_flight: deque[_InFlight] = deque()
        self._next_heartbeat_ns = 0
        self.measures = Measures()
        self._queue: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set or every camera has ended.

        Raises CaptureError at the end when a file could not be read: everything else was decided on, and the failure is
        not silent. Raises EngineError and PublishError at once.
        """
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine") as executor:
            while not stop.is_set() and not all(stream.ended for stream in self._streams.values()):
                self._outgoing.health.turn_ns = self._clock_ns()
                open_cameras = [c for c, s in self._streams.items() if not s.ended and c.state != CameraState.SHED]
                ready = wait_any(open_cameras, 0 if self._in_flight else TICK_MS)
                for camera in ready:
                    if stop.is_set():
                        break  # the frame in hand is done, the next one is not begun
                    frame = self._read(self._streams[camera])
                    if frame is not None:
                        self._begin(self._streams[camera], frame, executor)
                self._finish(0 if ready else 1)
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
        self._finish(len(self._in_flight))

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

    def _begin(self, stream: Stream, frame: Frame, executor: Executor) -> None:
        """Locate, fit and hand to the engine."""
        watch = Stopwatch(self._stages, self._clock_ns, frame.captured_ns)
        watch.lap(Stage.CAPTURE)
        strict, measures = self._outgoing.health.is_strict, self.measures
        if stream.camera.is_live:
            age = (self._clock_ns() - frame.captured_ns) / (stream.max_age_ms * 1e6)
            self._queue = age if self._queue is None else min(age, self._queue)
        regions = stream.gate.open_for(frame.image, stream.locator.locate(frame), measures.still_every)
        watch.lap(Stage.LOCATE)
        place, first = (stream.tracker, stream.tracker.next_frame()), 0
        for batch in self._pipeline.prepare([cut(frame.image, region) for region in regions], measures.batch):
            watch.lap(Stage.PREPARE)
            own = regions[first : first + len(batch.crops)]
            first += len(own)
            rows = self._embed(batch, stream, executor)
            self._in_flight.append(_InFlight(replace(frame, image=NO_IMAGE), place, own, strict, batch, rows))
            self._finish(len(self._in_flight) - IN_FLIGHT)
            watch.skip()
        if self._outgoing.records:  # a picture takes long to write: what is decided goes out first
            self._finish(len(self._in_flight))
        self._outgoing.frame(frame, strict, measures.still_every)
        stream.camera.release(frame)

    def _embed(self, batch: Batch, stream: Stream, executor: Executor) -> Future[EngineRows]:
        """Start the engine: in its thread when there is work beside it, else here, which spares two thread switches.

        A file always has work beside it: its next frame is wanted at once.
        """
        if self._in_flight or not stream.camera.is_live or stream.camera.ready():
            return executor.submit(self._timed_embed, batch)
        done: Future[EngineRows] = Future()
        done.set_result(self._timed_embed(batch))
        return done

    def _timed_embed(self, batch: Batch) -> EngineRows:
        watch = Stopwatch(self._stages, self._clock_ns)
        rows = self._pipeline.embed(batch)
        watch.lap(Stage.ENGINE)
        return rows

    def _finish(self, count: int) -> None:
        """Wait for the oldest `count` batches, judge and publish them; a failure of the engine is raised here."""
        for _ in range(min(count, len(self._in_flight))):
            done = self._in_flight.popleft()
            rows, (tracker, number) = done.rows.result(), done.place
            watch = Stopwatch(self._stages, self._clock_ns)
            decisions = self._pipeline.judge(done.batch, rows, done.strict)
            tracks = tracker.follow(number, done.regions, rows, done.frame.opening)
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
            if frame is not None:
                stream.backoff.succeeded()
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
