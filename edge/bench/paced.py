"""Latency at a set load: frames come on a schedule, whether the daemon is ready or not (open loop).

The daemon's own loop, pipeline and publisher run in this process on frames held in memory; a thread makes the camera
readable when a frame is due. A latency counts from that moment to the end of the last send of the frame, so waiting
for an earlier frame counts too. The engine is timed within the same run. A subscriber is connected and is not read from
until the end, so that sending costs what it costs, and reading costs nothing.

What is timed is what goes in and out of the ports, whatever the loop does between them; the one thing taken for
granted is that crops go to the engine in the order of the frames. A run that frames share counts for each of them.
"""

from __future__ import annotations

import os
import select
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import zmq

from edge import messages
from edge.bundle import Bundle
from edge.capture.backoff import Backoff
from edge.capture.camera import Camera, CameraState
from edge.config import LOOKS, PublishConfig
from edge.daemon import Daemon, Stream
from edge.degrade.still import StillGate
from edge.errors import InputError, RuntimeFault
from edge.health import Health
from edge.outgoing import Outgoing, Sender
from edge.pipeline import Pipeline
from edge.ports import Engine, Locator, Publisher
from edge.publish.zmq_pub import ZmqPublisher
from edge.track import Tracker
from edge.types import Crops, Embeddings, Frame, Image

__all__ = ["FrameTime", "Pace", "Paced", "Parts", "run_paced"]

SUBSCRIBE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a daemon is made of, all of it open."""

    bundle: Bundle
    engine: Engine
    locator: Locator
    publish: PublishConfig


@dataclass(frozen=True, slots=True)
class Pace:
    """`frames` frames, one every `interval_ns`; 0 is as fast as they are taken."""

    frames: int
    interval_ns: int


@dataclass(frozen=True, slots=True)
class FrameTime:
    """One frame that had decisions: when it was due, and when the last of them was sent (CLOCK_MONOTONIC)."""

    number: int
    due_ns: int
    sent_ns: int
    engine_ms: float

    @property
    def latency_ms(self) -> float:
        """From due to sent."""
        return (self.sent_ns - self.due_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Paced:
    """The frames that had decisions, in order; at least one."""

    frames: tuple[FrameTime, ...]

    @property
    def latencies_ms(self) -> list[float]:
        """Of each frame."""
        return [frame.latency_ms for frame in self.frames]

    @property
    def engine_ms(self) -> list[float]:
        """Time inside the engine, of each frame."""
        return [frame.engine_ms for frame in self.frames]

    @property
    def frames_per_s(self) -> float:
        """From the end of the first frame to the end of the last, counting those without decisions between them."""
        first, last = self.frames[0], self.frames[-1]
        span_ns = last.sent_ns - first.sent_ns
        return (last.number - first.number) / (span_ns / 1e9) if span_ns > 0 else 0.0


def run_paced(parts: Parts, images: Sequence[Image], pace: Pace, health: Health | None = None) -> Paced:
    """Run the daemon's loop on `images` in turn; `health` counts, where somebody wants to look at it meanwhile.

    Raises InputError when no frame had a decision: there is no latency then.
    """
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        endpoint = f"ipc://{folder}/decisions"
        engine = _TimedEngine(parts.engine)
        with ZmqPublisher(endpoint, parts.publish.high_water_mark) as inner, _listener(endpoint):
            if not inner.wait_for_subscriptions(1, SUBSCRIBE_MS):
                raise RuntimeFault(f"no subscription within {SUBSCRIBE_MS} ms; is the machine overloaded?")
            publisher = _TimedPublisher(inner)
            origin = messages.Origin("edge-bench", "bench", parts.bundle.id)
            sender = Sender(publisher, parts.publish.format)
            counting = health or Health(started_ns=time.monotonic_ns())
            outgoing = Outgoing(parts.bundle, origin, counting, sender, None)
            with _Source(images, pace) as source:
                stream = Stream(source, parts.locator, Tracker(LOOKS), StillGate(LOOKS), Backoff(seed=0))
                pipeline = Pipeline(parts.bundle, engine)
                Daemon([stream], pipeline, outgoing, time.monotonic_ns).run(threading.Event())
    if not publisher.sent:
        raise InputError(f"no decision on {pace.frames} frames; expected a source that shows products to the locator")
    return Paced(_frame_times(publisher.sent, engine.calls))


def _frame_times(sent: Sequence[tuple[bytes, int]], calls: Sequence[tuple[int, float]]) -> tuple[FrameTime, ...]:
    """Put together what was sent and what the engine did: (payload, moment in ns), and (crops, ms) of each call."""
    decisions: dict[int, int] = {}
    times: dict[int, tuple[int, int]] = {}
    for payload, sent_ns in sent:
        message = messages.decode(payload)
        if isinstance(message, messages.DecisionMessage):
            decisions[message.frame] = decisions.get(message.frame, 0) + 1
            times[message.frame] = (message.captured_monotonic_ns, sent_ns)
    if sum(crops for crops, _ in calls) != sum(decisions.values()):
        raise RuntimeFault("the engine saw another number of crops than there are decisions; a bug")
    call_of = [call for call, (crops, _) in enumerate(calls) for _ in range(crops)]
    found, crop = [], 0
    for number, count in decisions.items():
        own = sorted(set(call_of[crop : crop + count]))
        crop += count
        found.append(FrameTime(number, *times[number], sum(calls[call][1] for call in own)))
    return tuple(found)


class _Source(Camera):
    """Gives the images in turn, each when it is due. Its descriptor counts what is due and not yet read."""

    is_live = True  # paced like a camera: the daemon treats a lone crop as it does on a cart

    def __init__(self, images: Sequence[Image], pace: Pace) -> None:
        self.camera_id = "bench"
        self._images = images
        self._pace = pace
        self._due: int = -1
        self._start_ns = 0
        self._feeder = threading.Thread(target=self._feed, daemon=True)

    def fileno(self) -> int:
        """Return the descriptor that is readable while a frame, or the end, is due."""
        return self._due

    def ready(self) -> bool:
        """Whether a frame or the end is due."""
        return self.state != CameraState.ENDED and bool(select.select([self._due], [], [], 0)[0])

    def _open(self) -> None:
        self._due = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        self._start_ns = time.monotonic_ns() + self._pace.interval_ns
        self._feeder.start()

    def _close(self) -> None:
        self._feeder.join()
        os.close(self._due)

    def _read(self, timeout_ms: int) -> Frame | None:
        if not select.select([self._due], [], [], timeout_ms / 1000)[0]:
            return None
        os.eventfd_read(self._due)
        if self.delivered == self._pace.frames:
            self.state = CameraState.ENDED
            raise EOFError("all frames were given")
        self.state = CameraState.RUNNING
        number, self.delivered = self.delivered, self.delivered + 1
        now_ns = self.last_taken_ns = time.monotonic_ns()
        due_ns = self._start_ns + number * self._pace.interval_ns if self._pace.interval_ns else now_ns
        return Frame(self.camera_id, number, self._images[number % len(self._images)], due_ns, time.time_ns())

    def _feed(self) -> None:
        for number in range(self._pace.frames + 1):  # the last one is the end
            late_ns = self._start_ns + number * self._pace.interval_ns - time.monotonic_ns()
            if late_ns > 0:
                time.sleep(late_ns / 1e9)
            os.eventfd_write(self._due, 1)


class _TimedEngine(Engine):
    """The engine under measurement, with a stopwatch around its public method: (crops, ms) of every call."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self.calls: list[tuple[int, float]] = []
        self.input_height_px, self.input_width_px = inner.input_height_px, inner.input_width_px
        self.dimension, self.max_batch = inner.dimension, inner.max_batch

    def _embed(self, crops: Crops) -> Embeddings:
        begin_ns = time.perf_counter_ns()
        rows = self._inner.embed(crops)
        self.calls.append((len(crops), (time.perf_counter_ns() - begin_ns) / 1e6))
        return rows


class _TimedPublisher(Publisher):
    """The publisher under measurement: every decision with the moment (CLOCK_MONOTONIC) at which it was handed on."""

    def __init__(self, inner: Publisher) -> None:
        self._inner = inner
        self.sent: list[tuple[bytes, int]] = []

    def _send(self, topic: str, payload: bytes) -> bool:
        sent = self._inner.send(topic, payload)
        if topic != "health":
            self.sent.append((payload, time.monotonic_ns()))
        return sent


@contextmanager
def _listener(endpoint: str) -> Iterator[None]:
    """Keep a subscriber connected; what it gets stays in its queue, without bound and for this run only."""
    context = zmq.Context(io_threads=1)
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(endpoint)
    try:
        yield
    finally:
        socket.close()
        context.term()
