"""The wire: one versioned schema, encoder and decoder in one file, and the table of topics.

A message is two ZeroMQ frames, [topic, payload]. The payload is JSON (UTF-8) or msgpack of the same structure; the
first byte tells which: JSON begins with `{`, a msgpack map never does. `(device_id, epoch, seq)` is unique for ever:
`epoch` is drawn at every start, `seq` counts every message of the publisher from 0 without a gap, so a subscriber that
takes every topic can count what it missed. Decoding ignores unknown fields, so a newer publisher can add some; `schema`
changes when a field changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from edge.errors import InputError

__all__ = [
    "SCHEMA",
    "TOPICS",
    "AccuracyRow",
    "Candidate",
    "DecisionMessage",
    "EventMessage",
    "FeedbackHealth",
    "HealthMessage",
    "LadderHealth",
    "LowAccuracy",
    "Origin",
    "OutboxHealth",
    "Region",
    "SelfTestHealth",
    "Share",
    "decode",
    "encode",
    "json_schema",
]

SCHEMA = 1

# topic prefix -> (what it carries, how often, what a subscriber may rely on)
TOPICS: dict[str, tuple[str, str, str]] = {
    "decision.": ("DecisionMessage of the camera named behind the dot", "every decision", "lossy: count gaps in seq"),
    "health": ("HealthMessage", "every second", "lossy: the next one replaces it"),
    "event": ("EventMessage", "when a rule fires or the daemon changes", "at least once where there is an outbox"),
}

MAX_PAYLOAD_BYTES = 1 << 20
Probability: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]


@dataclass(slots=True)
class Origin:
    """Who publishes: device, this start (`epoch`) and bundle, with the counter that numbers every message."""

    device_id: str
    epoch: str
    bundle_id: str
    next_seq: int = 0

    def take_seq(self) -> int:
        """Return the next number; taken even by a message that is then dropped, so that everybody sees the gap."""
        seq = self.next_seq
        self.next_seq += 1
        return seq


class _Message(Struct, frozen=True, kw_only=True):
    """Base of all structures on the wire."""


class Region(_Message, frozen=True):
    """Where in the frame, in pixels; `label` is the slot id, `motion`, `full_frame` or the detector's label."""

    x: int
    y: int
    width: int
    height: int
    label: str


class Candidate(_Message, frozen=True):
    """A product and the cosine of the crop to its nearest prototype."""

    sku: str
    similarity: float


class DecisionMessage(_Message, frozen=True, tag_field="type", tag="decision"):
    """One decision about one region of one frame. `confidence` in [0, 1]; `ood_score` higher is stranger.

    `track` numbers what lies in one place, per camera and epoch: a thing is charged for once, by its first `accept`.
    `looks` are the looks at it since its camera was last opened, this one counted.
    `degraded`: made by an engine that stands in for the bundle's, or by a device that does less, at the stricter cut
    points either way; the heartbeat says why.
    `audit`: accepted, and drawn for a person to look at all the same; the verdict goes to the feedback socket.
    """

    schema: int
    decision_id: str
    device_id: str
    epoch: str
    seq: int
    bundle_id: str
    camera_id: str
    frame: int
    captured_monotonic_ns: int
    captured_utc: str
    region: Region
    route: str
    sku: str | None
    name: str | None
    confidence: Probability
    ood_score: float
    candidates: tuple[Candidate, ...]
    verify_set: tuple[str, ...]
    reasons: tuple[str, ...]
    latency_ms: float
    degraded: bool = False
    track: int = 0
    looks: int = 1
    audit: bool = False


class CameraHealth(_Message, frozen=True):
    """One camera since the start: its state, what it delivered, what it dropped and how often it failed.

    `dropped` is the sum of `drops`, which says why: newer_frame, no_slot, repeated, damaged, too_old,
    thinned, unasked, unread.
    `failures` counts by reason (stalled, frozen, process_died, timeout, not_found, permission, codec, auth, ended,
    unfit, memory); `fault` is the last of these until frames come again.
    """

    id: str
    state: str
    frames: int
    dropped: int
    reopened: int
    drops: dict[str, int] = {}
    failures: dict[str, int] = {}
    fault: str = ""


class LadderHealth(_Message, frozen=True):
    """Where a device in trouble stands: 0 is whole. `stress` by axis: 0 relaxed, 1 takes a step down, 2 all of them."""

    step: int
    name: str
    cause: str
    stress: dict[str, float]


class OutboxHealth(_Message, frozen=True):
    """The durable stream: what waits on the disk; since the start what arrived, and what was lost by kind.

    `oldest_s` is the age of the oldest message that waits, 0 where none does; `refusing`: the disk takes nothing.
    `refused` is why the collector refuses what it is sent, in its words; empty where it does not.
    """

    waiting: int
    waiting_bytes: int
    delivered: int
    lost: dict[str, int]
    oldest_s: float = 0.0
    refusing: bool = False
    refused: str = ""


class SelfTestHealth(_Message, frozen=True):
    """The golden crops through the engine in use: how often it passed, and the smallest cosine of the last time."""

    passed: int
    cosine: float


class Share(_Message, frozen=True):
    """A share in [0, 1] with its 95 % interval, from `checked` verdicts of which `right` were right."""

    value: Probability
    low: Probability
    high: Probability
    right: int
    checked: int


class AccuracyRow(_Message, frozen=True):
    """How right one product, one tier or all were in a window; `scale` is product, tier or all.

    `charged`: of the audited things accepted as this, the share that was it (exact interval).
    `asked`: of the things that were this and were not accepted, the share whose best candidate was it (exact).
    `weighted`: of all things that were this, each by the inverse of its chance to be checked (approximate interval).
    `estimated`: no truth in it: the mean calibrated confidence of the `things` accepted as this (CBPE).
    """

    scale: str
    name: str
    charged: Share | None
    asked: Share | None
    weighted: Share | None
    estimated: float | None
    things: int


class FeedbackHealth(_Message, frozen=True):
    """What came back. `verdicts` by result since the start; `events` by kind since the file began; `accuracy` is that
    of tiers and all in the last window that closed, `window` of `window_of` verdicts are in the next one. `dropped` are
    decisions that could not be remembered.
    """

    remembered: int
    dropped: int
    verdicts: dict[str, int]
    audits_waiting: int
    window: int
    window_of: int
    events: dict[str, int]
    accuracy: tuple[AccuracyRow, ...]


class HealthMessage(_Message, frozen=True, tag_field="type", tag="health"):
    """The heartbeat. `routes` counts decisions since the start; latencies are of the last 1,000 decisions.

    `degraded` says why another engine than the bundle's, or the smaller bundle, decides; empty where the usual one
    does. `ladder`, `outbox` and `feedback` are there where they are configured. `reload` says how reading the
    configuration again ended the last time, empty before the first; `self_test` is there after the first one.
    `stages_p99_ms`: by stage (`edge.stages`), of its last 256 samples. `refused` counts connections that were not let
    in, by socket and reason (`edge.keys.door`), of sockets with keys.
    """

    schema: int
    device_id: str
    epoch: str
    seq: int
    bundle_id: str
    uptime_s: float
    decisions: int
    routes: dict[str, int]
    decisions_per_s: float
    latency_p50_ms: float
    latency_p99_ms: float
    resident_mib: float
    publish_dropped: int
    cameras: tuple[CameraHealth, ...]
    degraded: str = ""
    ladder: LadderHealth | None = None
    outbox: OutboxHealth | None = None
    feedback: FeedbackHealth | None = None
    reload: str = ""
    self_test: SelfTestHealth | None = None
    stages_p99_ms: dict[str, float] = {}
    refused: dict[str, dict[str, int]] = {}


class LowAccuracy(_Message, frozen=True):
    """One product or tier whose accuracy is low: the counts of two windows, and the larger of their p-values."""

    question: str  # charged or asked, as in AccuracyRow
    scale: str
    name: str
    right_before: int
    checked_before: int
    right: int
    checked: int
    threshold: float
    p_value: float


class EventMessage(_Message, frozen=True, tag_field="type", tag="event"):
    """A rule fired, or the daemon changed. `event` is low_accuracy, accept_error_in_doubt, unknown_rate_drifts,
    new_products, reloaded, reload_failed, self_test_failed, ladder_moved or axes_worsen_together.

    `summary` says it to a person; `evidence` are the figures, and `low` the products and tiers, the surest first. An
    event may come twice, with the same `event_id`.
    """

    schema: int
    event_id: str
    device_id: str
    epoch: str
    seq: int
    bundle_id: str
    event: str
    summary: str
    evidence: dict[str, float | str]
    low: tuple[LowAccuracy, ...] = ()


Message: TypeAlias = DecisionMessage | HealthMessage | EventMessage

_json_decoder = msgspec.json.Decoder(Message)
_msgpack_decoder = msgspec.msgpack.Decoder(Message)
_json_encoder = msgspec.json.Encoder()
_msgpack_encoder = msgspec.msgpack.Encoder()


def encode(message: Message, form: str) -> bytes:
    """Return the payload; `form` is `json` or `msgpack`. NaN and infinity must not get here: JSON cannot say them."""
    return _json_encoder.encode(message) if form == "json" else _msgpack_encoder.encode(message)


def decode(payload: bytes) -> Message:
    """Return the message of a payload in either form; raises InputError for anything else."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InputError(f"message of {len(payload)} bytes, expected at most {MAX_PAYLOAD_BYTES}")
    try:
        message: Message = _json_decoder.decode(payload) if payload[:1] == b"{" else _msgpack_decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"message cannot be read: {error}") from None
    if message.schema != SCHEMA:
        raise InputError(f"message of schema {message.schema}, expected {SCHEMA}; update the subscriber")
    return message


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of every message."""
    return msgspec.json.schema(Message)
