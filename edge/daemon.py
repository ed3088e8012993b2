"""The loop: read -> locate -> decide -> publish -> heartbeat. It reads as the dataflow and names no adapter.

Invariants
- No call in the loop blocks longer than TICK_MS, except the engine.
- A file is decided on to its last frame; a live camera that fails is reopened with backoff while the others go on.
- Every decision takes a number (`seq`); one that could not be sent is counted and leaves a gap that everybody sees.
- A full disk ends the recording, never the deciding.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from edge import messages
from edge.bundle import Bundle
from edge.capture.waiting import Backoff, wait_any
from edge.errors import CaptureError, PublishError
from edge.health import Health
from edge.pipeline import Pipeline
from edge.ports import FrameSource, Locator, Publisher
from edge.preprocess import cut
from edge.replay.record import Recorder
from edge.types import Decision, Frame, Region

__all__ = ["TICK_MS", "Camera", "Daemon"]

TICK_MS = 100
HEARTBEAT_NS = 1_000_000_000
EPOCH_1970 = datetime(1970, 1, 1, tzinfo=timezone.utc)

log = logging.getLogger("edge.daemon")


@dataclass(slots=True)
class Camera:
    """A source, what finds regions in its frames, and when it may be opened again."""

    source: FrameSource
    locator: Locator
    backoff: Backoff
    ended: bool = False


class Daemon:
    """Decides on everything that the cameras deliver until they end or `stop` is set. All parts come opened."""

    def __init__(
        self,
        cameras: Sequence[Camera],
        pipeline: Pipeline,
        publisher: Publisher,
        outgoing: Outgoing,
        clock_ns: Callable[[], int],
    ) -> None:
        self._cameras = cameras
        self._by_source: Mapping[FrameSource, Camera] = {camera.source: camera for camera in cameras}
        self._pipeline = pipeline
        self._publisher = publisher
        self._outgoing = outgoing
        self._clock_ns = clock_ns
        self._next_heartbeat_ns = 0

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set or every camera has ended."""
        while not stop.is_set() and not all(camera.ended for camera in self._cameras):
            for source in wait_any([c.source for c in self._cameras if not c.ended], TICK_MS):
                frame = self._read(self._by_source[source])
                if frame is not None:
                    self._step(self._by_source[source], frame)
            self._reopen_due()
            self._heartbeat()
        self._heartbeat(last=True)

    def _step(self, camera: Camera, frame: Frame) -> None:
        """One frame through all stages."""
        regions = camera.locator.locate(frame)
        decisions = self._pipeline.decide([cut(frame.image, region) for region in regions])
        self._outgoing.frame(frame)
        for region, decision in zip(regions, decisions, strict=True):
            self._outgoing.decision(self._publisher, frame, region, decision, self._clock_ns())
        camera.source.release(frame)

    def _read(self, camera: Camera) -> Frame | None:
        try:
            return camera.source.read(timeout_ms=0)
        except EOFError:
            camera.ended = True
            log.info("camera %s: ended after %d frames", camera.source.camera_id, camera.source.delivered)
        except CaptureError as error:
            log.warning("%s", error)
            camera.ended = not camera.source.is_live
            camera.backoff.failed(self._clock_ns())
        return None

    def _reopen_due(self) -> None:
        now_ns = self._clock_ns()
        for camera in self._cameras:
            if camera.source.state == "failed" and not camera.ended and camera.backoff.is_due(now_ns):
                camera.source.reopen()
            elif camera.source.state == "running":
                camera.backoff.succeeded()

    def _heartbeat(self, last: bool = False) -> None:
        now_ns = self._clock_ns()
        if last or now_ns >= self._next_heartbeat_ns:
            self._next_heartbeat_ns = now_ns + HEARTBEAT_NS
            self._outgoing.health_message(self._publisher, [camera.source for camera in self._cameras], now_ns)


class Outgoing:
    """Turns decisions into messages, sends, records and counts them."""

    def __init__(
        self, bundle: Bundle, origin: messages.Origin, health: Health, form: str, recorder: Recorder | None
    ) -> None:
        self._classes = {info.sku: info for info in bundle.classes}
        self._origin = origin
        self._health = health
        self._form = form
        self._recorder = recorder

    def frame(self, frame: Frame) -> None:
        """Count a frame and record it."""
        self._health.frames += 1
        self._record(lambda recorder: recorder.frame(frame))

    def decision(self, publisher: Publisher, frame: Frame, region: Region, decision: Decision, now_ns: int) -> None:
        """Send one decision; `now_ns` is CLOCK_MONOTONIC, like the capture time of the frame."""
        latency_ms = (now_ns - frame.captured_ns) / 1e6
        message = self._message(frame, region, decision, latency_ms)
        if not publisher.send(f"decision.{frame.camera_id}", messages.encode(message, self._form)):
            self._health.publish_dropped += 1
        tier = self._classes[decision.sku].tier if decision.sku else "none"
        self._health.note(decision, tier, latency_ms, now_ns)
        self._record(lambda recorder: recorder.decision(message))

    def health_message(self, publisher: Publisher, cameras: Sequence[FrameSource], now_ns: int) -> None:
        """Send the heartbeat."""
        message = self._health.message(self._origin, cameras, now_ns)
        if not publisher.send("health", messages.encode(message, self._form)):
            self._health.publish_dropped += 1

    def _record(self, write: Callable[[Recorder], None]) -> None:
        if self._recorder is None:
            return
        try:
            write(self._recorder)
        except PublishError as error:
            log.error("recording ends: %s", error)
            self._recorder = None
        if self._recorder is None:
            self._health.record_dropped += 1

    def _message(self, frame: Frame, region: Region, decision: Decision, latency_ms: float) -> messages.DecisionMessage:
        origin, seq = self._origin, self._origin.take_seq()
        info = self._classes[decision.sku] if decision.sku else None
        captured = EPOCH_1970 + timedelta(microseconds=frame.captured_wall_ns // 1000)
        return messages.DecisionMessage(
            schema=messages.SCHEMA,
            decision_id=f"{origin.device_id}:{origin.epoch}:{seq}",
            device_id=origin.device_id,
            epoch=origin.epoch,
            seq=seq,
            bundle_id=origin.bundle_id,
            camera_id=frame.camera_id,
            frame=frame.number,
            captured_monotonic_ns=frame.captured_ns,
            captured_utc=captured.isoformat(timespec="microseconds"),
            region=messages.Region(
                x=region.x, y=region.y, width=region.width, height=region.height, label=region.label
            ),
            route=decision.route.value,
            sku=decision.sku,
            name=info.name if info else None,
            confidence=decision.confidence,
            ood_score=decision.ood_score,
            candidates=tuple(messages.Candidate(sku=c.sku, similarity=c.similarity) for c in decision.candidates),
            verify_set=decision.verify_set,
            reasons=tuple(reason.value for reason in decision.reasons),
            latency_ms=latency_ms,
        )
