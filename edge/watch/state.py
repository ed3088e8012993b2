"""What a watcher knows: payloads in, a view out. Pure: no socket, no terminal, no clock (time is an argument).

Invariants
- Memory is bounded whatever comes: KEPT_DECISIONS rows, KEPT_DEVICES devices, KEPT_EVENTS events, texts of at most
  MAX_TEXT characters.
- A payload that cannot be read is counted and its reason kept; it never raises.
- `seq` counts every message of one start of one device, on all topics. A jump is that many messages missed; what was
  missed before the first message, or after the last one of a start, cannot be known and is not counted.
- Nothing that a message says reaches the terminal as a control character.

The counts per route are those of the daemon since its start: the last heartbeat, plus the decisions seen after it.
Left to others: receiving (`edge.watch.feed`), drawing (`edge.watch.screen`, `edge.watch.lines`).
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge.errors import InputError
from edge.messages import CameraHealth, DecisionMessage, EventMessage, HealthMessage, OutboxHealth, decode
from edge.types import Route

__all__ = [
    "KEPT_DECISIONS",
    "KEPT_DEVICES",
    "KEPT_EVENTS",
    "OTHER",
    "CameraRow",
    "EventRow",
    "OutboxView",
    "Row",
    "RouteShare",
    "View",
    "WatchState",
]

KEPT_DECISIONS = 200  # more than any terminal shows
KEPT_DEVICES = 16  # one publisher is one device; a relay may carry several
KEPT_CAMERAS = 64
KEPT_EVENTS = 64
KEPT_STAGES = 16
MAX_TEXT = 200
MAX_COUNT = 2**63
OTHER = "other"  # routes that this version does not know


@dataclass(frozen=True, slots=True)
class Row:
    """One decision, ready to be shown. `missed_before` are the messages that were lost just before it."""

    seq: int
    captured_utc: str
    camera: str
    route: str
    sku: str | None
    name: str | None
    confidence: float
    reasons: tuple[str, ...]
    latency_ms: float
    missed_before: int


@dataclass(frozen=True, slots=True)
class RouteShare:
    """How often a route was taken since the start of the daemon; the shares of all routes sum to 1, or are all 0."""

    route: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class CameraRow:
    """A camera as the last heartbeat told it; `state` is what is wrong with it where something is."""

    id: str
    state: str
    frames: int
    dropped: int
    reopened: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something that a rule of feedback found."""

    event: str
    summary: str


@dataclass(frozen=True, slots=True)
class OutboxView:
    """What waits for the collector, and what was given up; `refusing`: a disk takes nothing.

    `refused` is why a collector takes nothing, in its words.
    """

    waiting: int
    oldest_s: float
    lost: int
    refusing: bool
    refused: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything a screen shows. Figures that only a heartbeat tells are None before the first one.

    Of several devices rates, memory and counts are sums, and latencies and ages those of the slowest; `degraded` is
    what the first one says that is. `stages` are (name, 99th percentile in ms), in the order of a frame's way; `events`
    came to this watcher, the newest first.
    """

    devices: tuple[str, ...]
    bundle_id: str
    uptime_s: float | None
    heard_ago_s: float | None
    decisions: int
    routes: tuple[RouteShare, ...]
    decisions_per_s: float | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    resident_mib: float | None
    publish_dropped: int
    missed: int
    restarts: int
    malformed: int
    last_malformed: str
    degraded: str
    stages: tuple[tuple[str, float], ...]
    outbox: OutboxView | None
    events: tuple[EventRow, ...]
    cameras: tuple[CameraRow, ...]
    newest: tuple[Row, ...]


@dataclass(slots=True)
class _Device:
    """One device in its present start (`epoch`)."""

    epoch: str
    next_seq: int
    routes: Counter[str] = field(default_factory=Counter)
    health: HealthMessage | None = None


class WatchState:
    """Takes payloads one by one; `view` says what there is to show."""

    def __init__(self) -> None:
        self.received = 0  # decisions that this watcher itself got
        self.missed = 0
        self.restarts = 0
        self.malformed = 0
        self._last_malformed = ""
        self._heard_ns: int | None = None
        self._devices: OrderedDict[str, _Device] = OrderedDict()
        self._newest: deque[Row] = deque(maxlen=KEPT_DECISIONS)
        self._events: OrderedDict[str, EventRow] = OrderedDict()  # by event_id, for one may come twice
        self._untold: deque[EventRow] = deque(maxlen=KEPT_EVENTS)
        self._bundle_id = ""

    def take(self, payload: bytes, now_ns: int) -> Row | None:
        """Take one payload that came at `now_ns` (any monotonic clock); return its row when it is a decision."""
        try:
            message = decode(payload)
        except InputError as error:
            self.malformed += 1
            self._last_malformed = _plain(str(error))
            return None
        self._heard_ns = now_ns
        self._bundle_id = _plain(message.bundle_id)
        device, missed = self._arrived(_plain(message.device_id), _plain(message.epoch), _count(message.seq))
        if isinstance(message, HealthMessage):
            device.health = message
            device.routes = Counter({route: _count(message.routes.get(route, 0)) for route in _ROUTES})
            device.routes[OTHER] = sum(_count(count) for route, count in message.routes.items() if route not in _ROUTES)
            return None
        if isinstance(message, EventMessage):
            self._take_event(message)
            return None
        row = _row(message, missed)
        self.received += 1
        device.routes[row.route] += 1
        self._newest.append(row)
        return row

    def view(self, now_ns: int) -> View:
        """Return what there is to show at `now_ns`, the newest decision first."""
        beats = [device.health for device in self._devices.values() if device.health is not None]
        return View(
            devices=tuple(self._devices),
            bundle_id=self._bundle_id,
            uptime_s=max((beat.uptime_s for beat in beats), default=None),
            heard_ago_s=None if self._heard_ns is None else max(now_ns - self._heard_ns, 0) / 1e9,
            decisions=sum(device.routes.total() for device in self._devices.values()),
            routes=self._shares(),
            decisions_per_s=_sum(beat.decisions_per_s for beat in beats),
            latency_p50_ms=max((beat.latency_p50_ms for beat in beats), default=None),
            latency_p99_ms=max((beat.latency_p99_ms for beat in beats), default=None),
            resident_mib=_sum(beat.resident_mib for beat in beats),
            publish_dropped=sum(_count(beat.publish_dropped) for beat in beats),
            missed=self.missed,
            restarts=self.restarts,
            malformed=self.malformed,
            last_malformed=self._last_malformed,
            degraded=next((trouble for beat in beats if (trouble := _trouble(beat))), ""),
            stages=_stages(beats),
            outbox=_outbox([beat.outbox for beat in beats if beat.outbox is not None]),
            events=tuple(reversed(self._events.values())),
            cameras=tuple(_camera(camera) for beat in beats for camera in beat.cameras)[:KEPT_CAMERAS],
            newest=tuple(reversed(self._newest)),
        )

    def new_events(self) -> list[EventRow]:
        """Return the events that came since this was last asked, oldest first."""
        found = list(self._untold)
        self._untold.clear()
        return found

    def _take_event(self, message: EventMessage) -> None:
        name = _plain(message.event_id)
        if name in self._events:
            return
        self._events[name] = row = EventRow(_plain(message.event), _plain(message.summary))
        self._untold.append(row)
        if len(self._events) > KEPT_EVENTS:
            self._events.popitem(last=False)

    def _arrived(self, device_id: str, epoch: str, seq: int) -> tuple[_Device, int]:
        """Return the device that sent, and how many of its messages are missing just before this one."""
        device = self._devices.get(device_id)
        if device is None or device.epoch != epoch:
            self.restarts += device is not None
            self._devices[device_id] = device = _Device(epoch, seq)
        self._devices.move_to_end(device_id)
        if len(self._devices) > KEPT_DEVICES:
            self._devices.popitem(last=False)
        missed = max(seq - device.next_seq, 0)
        device.next_seq = max(device.next_seq, seq + 1)
        self.missed += missed
        return device, missed

    def _shares(self) -> tuple[RouteShare, ...]:
        counts: Counter[str] = sum((device.routes for device in self._devices.values()), Counter())
        shown = [*_ROUTES, OTHER] if counts[OTHER] else [*_ROUTES]
        total = max(counts.total(), 1)
        return tuple(RouteShare(route, counts[route], counts[route] / total) for route in shown)


_ROUTES = tuple(route.value for route in Route)


def _row(message: DecisionMessage, missed: int) -> Row:
    return Row(
        seq=_count(message.seq),
        captured_utc=_plain(message.captured_utc),
        camera=_plain(message.camera_id),
        route=message.route if message.route in _ROUTES else OTHER,
        sku=None if message.sku is None else _plain(message.sku),
        name=None if message.name is None else _plain(message.name),
        confidence=message.confidence,
        reasons=tuple(_plain(reason) for reason in message.reasons[:8]),
        latency_ms=message.latency_ms,
        missed_before=missed,
    )


def _camera(camera: CameraHealth) -> CameraRow:
    counts = (_count(camera.frames), _count(camera.dropped), _count(camera.reopened))
    return CameraRow(_plain(camera.id), _plain(camera.fault or camera.state), *counts)


def _trouble(beat: HealthMessage) -> str:
    """Return why a device is degraded, "" where it is not."""
    if beat.ladder is not None and beat.ladder.step > 0:
        cause = f" ({_plain(beat.ladder.cause)})" if beat.ladder.cause else ""
        return f"step {_count(beat.ladder.step)}, {_plain(beat.ladder.name)}{cause}"
    return _plain(beat.degraded)


def _stages(beats: Iterable[HealthMessage]) -> tuple[tuple[str, float], ...]:
    slowest: dict[str, float] = {}
    for beat in beats:
        for stage, p99_ms in list(beat.stages_p99_ms.items())[:KEPT_STAGES]:
            name = _plain(stage)
            slowest[name] = max(p99_ms, slowest.get(name, p99_ms))
    return tuple(slowest.items())[:KEPT_STAGES]


def _outbox(parts: Sequence[OutboxHealth]) -> OutboxView | None:
    if not parts:
        return None
    return OutboxView(
        waiting=sum(_count(part.waiting) for part in parts),
        oldest_s=max(part.oldest_s for part in parts),
        lost=sum(_count(lost) for part in parts for lost in part.lost.values()),
        refusing=any(part.refusing for part in parts),
        refused=next((_plain(part.refused) for part in parts if part.refused), ""),
    )


def _plain(text: str) -> str:
    """Return at most MAX_TEXT characters on one line, with everything that a terminal would obey replaced."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:MAX_TEXT]
    )


def _count(value: int) -> int:
    """Return a count that can be added, divided and printed, whatever number came."""
    return min(max(value, 0), MAX_COUNT)


def _sum(values: Iterable[float]) -> float | None:
    """Return the sum, or None of nothing."""
    found = list(values)
    return sum(found) if found else None
