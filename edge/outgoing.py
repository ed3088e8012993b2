"""What leaves the daemon: decisions and heartbeats become messages, are sent, kept, recorded and counted.

A full disk ends the recording, never the deciding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from edge import messages
from edge.bundle import Bundle
from edge.errors import PublishError
from edge.feedback.audit import Auditor
from edge.feedback.clerk import Clerk
from edge.feedback.state import Decided, Told
from edge.health import Health
from edge.outbox.courier import Courier
from edge.ports import FrameSource, Publisher
from edge.replay.record import Recorder
from edge.track import Track
from edge.types import Decision, Frame, Region, Route

__all__ = ["Feedback", "Outgoing", "Sender"]

EPOCH_1970 = datetime(1970, 1, 1, tzinfo=timezone.utc)

log = logging.getLogger("edge.daemon")


@dataclass(frozen=True, slots=True)
class Feedback:
    """Which accepted things are audited, and the clerk who takes the truth about all of them."""

    auditor: Auditor
    clerk: Clerk


@dataclass(frozen=True, slots=True)
class Sender:
    """Where messages go and in which form (json or msgpack).

    `courier` keeps the decisions until they have arrived; `feedback` remembers them for what is learned later.
    """

    publisher: Publisher
    form: str
    courier: Courier | None = None
    feedback: Feedback | None = None


class Outgoing:
    """Turns decisions into messages, sends, records and counts them."""

    def __init__(
        self, bundle: Bundle, origin: messages.Origin, health: Health, sender: Sender, recorder: Recorder | None
    ) -> None:
        self._classes = {info.sku: info for info in bundle.classes}
        self._origin = origin
        self._health = health
        self._sender = sender
        self._recorder = recorder

    @property
    def health(self) -> Health:
        """What is counted."""
        return self._health

    @property
    def records(self) -> bool:
        """Whether frames are being recorded."""
        return self._recorder is not None

    def frame(self, frame: Frame) -> None:
        """Count a frame and record it."""
        self._health.frames += 1
        self._record(lambda recorder: recorder.frame(frame))

    def decision(self, frame: Frame, place: tuple[Region, Track], decision: Decision, now_ns: int) -> None:
        """Send one decision; `now_ns` is CLOCK_MONOTONIC, like the capture time of the frame."""
        latency_ms = (now_ns - frame.captured_ns) / 1e6
        message = self._message(frame, place, decision, latency_ms)
        tier = self._classes[decision.sku].tier if decision.sku else "none"
        if self._sender.feedback is not None:  # before anybody can know the decision
            self._sender.feedback.clerk.put(_decided(message, decision.route, tier))
        payload = self._send(f"decision.{frame.camera_id}", message)
        if self._sender.courier is not None:
            self._sender.courier.put(decision.route, payload)
        self._health.note(decision, tier, latency_ms, now_ns)
        self._record(lambda recorder: recorder.decision(message))

    def heartbeat(self, cameras: Sequence[FrameSource], now_ns: int) -> None:
        """Send the heartbeat, and the events that wait."""
        self._send("health", self._health.message(self._origin, cameras, now_ns))
        clerk = self._sender.feedback.clerk if self._sender.feedback else None
        while clerk is not None and (told := clerk.next_event()) is not None and self._event(told):
            clerk.published(told)

    def _event(self, told: Told) -> bool:
        origin, finding = self._origin, told.finding
        message = messages.EventMessage(
            schema=messages.SCHEMA,
            event_id=f"{origin.device_id}:{told.event_id}",
            device_id=origin.device_id,
            epoch=origin.epoch,
            seq=origin.take_seq(),
            bundle_id=origin.bundle_id,
            event=finding.event,
            summary=finding.summary,
            evidence=finding.evidence,
            low=finding.low,
        )
        return self._sender.publisher.send("event", messages.encode(message, self._sender.form))

    def _send(self, topic: str, message: messages.Message) -> bytes:
        payload = messages.encode(message, self._sender.form)
        if not self._sender.publisher.send(topic, payload):
            self._health.publish_dropped += 1
        return payload

    def _record(self, write: Callable[[Recorder], None]) -> None:
        if self._recorder is None:
            return
        try:
            write(self._recorder)
        except PublishError as error:
            log.error("recording ends here, deciding goes on: %s", error)
            self._recorder = None
            self._health.record_dropped += 1

    def _message(
        self, frame: Frame, place: tuple[Region, Track], decision: Decision, latency_ms: float
    ) -> messages.DecisionMessage:
        region, track = place
        origin, seq = self._origin, self._origin.take_seq()
        info = self._classes[decision.sku] if decision.sku else None
        feedback = self._sender.feedback if decision.route is Route.ACCEPT else None
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
            degraded=bool(self._health.degraded),
            track=track.number,
            looks=track.looks,
            audit=feedback is not None and feedback.auditor.draws(frame.camera_id, track.number, seq),
        )


def _decided(message: messages.DecisionMessage, route: Route, tier: str) -> Decided:
    return Decided(
        epoch=message.epoch,
        seq=message.seq,
        camera_id=message.camera_id,
        track=message.track,
        route=route,
        sku=message.sku,
        tier=tier,
        confidence=message.confidence,
        audited=message.audit,
    )
