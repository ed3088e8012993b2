"""What leaves the daemon: decisions and heartbeats become messages, are sent, kept, recorded and counted.

A full disk ends the recording, never the deciding. An event is under way once it was handed to the outbox, or where
there is none to the socket; until then it is tried again with every heartbeat.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial

from edge import messages
from edge.bundle import Bundle
from edge.errors import PublishError
from edge.feedback.audit import is_drawn
from edge.feedback.clerk import Clerk
from edge.feedback.state import Decided, Finding
from edge.health import Health
from edge.outbox.courier import Courier
from edge.outbox.state import EVENT
from edge.ports import FrameSource, Publisher
from edge.replay.record import Recorder
from edge.track import Track
from edge.types import Decision, Frame, Region, Route

__all__ = ["Feedback", "Outgoing", "Sender"]

EPOCH_1970 = datetime(1970, 1, 1, tzinfo=timezone.utc)
OWN_EVENTS = 100  # of the daemon itself, that wait for room; the oldest goes first

log = logging.getLogger("edge.daemon")


@dataclass(frozen=True, slots=True)
class Feedback:
    """Which share of the accepted things is audited, and the clerk who takes the truth about all of them."""

    audit_share: float
    clerk: Clerk


@dataclass(frozen=True, slots=True)
class Sender:
    """Where messages go and in which form (json or msgpack).

    `courier` keeps decisions and events until they have arrived; `feedback` remembers them for what is learned later.
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
        self._events = 0
        self._own: deque[tuple[str, Finding]] = deque(maxlen=OWN_EVENTS)

    def follow(self, bundle: Bundle, feedback: Feedback | None, form: str) -> None:
        """Speak for another bundle or in another form from the next message on; `seq` goes on."""
        self._classes = {info.sku: info for info in bundle.classes}
        self._origin.bundle_id = bundle.id
        self._sender = replace(self._sender, feedback=feedback, form=form)

    def end_recording(self, why: str) -> None:
        """End the recording in order, where there is one: what comes next could not be replayed with what it says."""
        if self._recorder is not None:
            log.warning("the recording ends here, complete: %s", why)
            self._recorder.finish()
            self._recorder = None

    def event(self, finding: Finding) -> None:
        """Send an event of the daemon itself."""
        self._events += 1
        self._own.append((f"{self._origin.epoch}:event-{self._events}", finding))
        self._tell()

    @property
    def health(self) -> Health:
        """What is counted."""
        return self._health

    @property
    def records(self) -> bool:
        """Whether frames are being recorded."""
        return self._recorder is not None

    def frame(self, frame: Frame, strict: bool, still_every: int) -> None:
        """Count a frame and record it, with how it was decided on."""
        self._health.frames += 1
        self._record(lambda recorder: recorder.frame(frame, strict, still_every))

    def decision(
        self, frame: Frame, place: tuple[Region, Track], decision: Decision, strict: bool, now_ns: int
    ) -> None:
        """Send one decision; `now_ns` is CLOCK_MONOTONIC, like the capture time of the frame."""
        latency_ms = (now_ns - frame.captured_ns) / 1e6
        message = self._message(frame, place, decision, strict, latency_ms)
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
        self._tell()

    def _tell(self) -> None:
        """Send the events that wait: the daemon's own, and those that feedback found."""
        while self._own and self._event(*self._own[0]):
            self._own.popleft()
        clerk = self._sender.feedback.clerk if self._sender.feedback else None
        while clerk is not None and (told := clerk.next_event()) is not None:
            if not self._event(told.event_id, told.finding, partial(clerk.published, told.row)):
                return
            clerk.sent()

    def _event(self, event_id: str, finding: Finding, kept: Callable[[], None] | None = None) -> bool:
        """Send one event; `kept` is told when it is on the disk, or with the socket where there is no outbox."""
        origin, courier = self._origin, self._sender.courier
        message = messages.EventMessage(
            schema=messages.SCHEMA,
            event_id=f"{origin.device_id}:{event_id}",
            device_id=origin.device_id,
            epoch=origin.epoch,
            seq=origin.take_seq(),
            bundle_id=origin.bundle_id,
            event=finding.event,
            summary=finding.summary,
            evidence=finding.evidence,
            low=finding.low,
        )
        payload = messages.encode(message, self._sender.form)
        if courier is not None:
            kept_there = courier.put(EVENT, payload, kept)
            if kept_there and not self._sender.publisher.send("event", payload):
                self._health.publish_dropped += 1
            return kept_there
        sent = self._sender.publisher.send("event", payload)
        if sent and kept is not None:
            kept()
        return sent

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
        self, frame: Frame, place: tuple[Region, Track], decision: Decision, strict: bool, latency_ms: float
    ) -> messages.DecisionMessage:
        region, track = place
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
            degraded=strict,
            track=track.number,
            looks=track.looks,
            audit=self._is_audited(decision, track, seq),
        )

    def _is_audited(self, decision: Decision, track: Track, seq: int) -> bool:
        """Say whether a person looks at it all the same; only the first `accept` of a track can be drawn."""
        if self._sender.feedback is None or decision.route is not Route.ACCEPT or track.accepts != 1:
            return False
        return is_drawn(self._origin.epoch, seq, self._sender.feedback.audit_share)


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
