"""What the daemon counts about itself, and the heartbeat made of it. Time is an argument everywhere.

One place counts; the heartbeat on ZeroMQ and the page for Prometheus both read it, so they cannot differ.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge import messages
from edge.class_counts import ClassCounts
from edge.degrade.ladder import Turn
from edge.feedback.state import FeedbackState
from edge.feedback.tally import Checked
from edge.outbox.state import KINDS, OutboxState
from edge.ports import FrameSource
from edge.stages import Stages, percentile
from edge.types import Decision, Route

__all__ = ["LATENCY_BUCKETS_MS", "STALLED_NS", "Health", "percentile"]

WINDOW = 1000  # decisions that the latency percentiles look back on
RATE_WINDOW_NS = 10_000_000_000  # the rate is that of the last ten seconds
STALLED_NS = 10_000_000_000  # without a turn of the loop; it turns every 100 ms, an engine may take its time
LATENCY_BUCKETS_MS = (5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 1000.0)


@dataclass(slots=True)
class Health:
    """Counters since the start. All numbers only grow, except the windows.

    `degraded` says why another engine than the bundle's decides; empty where it is the bundle's. `smaller`: the
    smaller bundle decides. `turn` is where the ladder stands. `outbox` and `feedback` ask these. None where there is
    none. `reload`, `self_test`: see `edge.messages.HealthMessage`. `engine_ready`: it gave the bundle's golden rows.
    `turn_ns` is when the loop last began a turn, None before the first. `planned_mib` is what the daemon will take in
    the end (`edge.footprint`), 0 where the bundle does not say. `classes` counts by product where somebody may ask.
    `refused` asks the doors of the sockets (`edge.keys`).
    """

    started_ns: int
    bundle_id: str = ""
    planned_mib: float = 0.0
    engine_ready: bool = False
    turn_ns: int | None = None
    classes: ClassCounts | None = None
    stages: Stages = field(default_factory=Stages)
    degraded: str = ""
    smaller: bool = False
    turn: Turn | None = None
    outbox: Callable[[], OutboxState] | None = None
    feedback: Callable[[], FeedbackState] | None = None
    reload: str = ""
    self_test: messages.SelfTestHealth | None = None
    refused: Callable[[], dict[str, dict[str, int]]] = dict
    frames: int = 0
    decisions: int = 0
    publish_dropped: int = 0
    record_dropped: int = 0
    routes: Counter[str] = field(default_factory=Counter)
    tiers: Counter[tuple[str, str]] = field(default_factory=Counter)  # (route, tier of the best candidate)
    latency_buckets: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_MS) + 1))
    latency_sum_ms: float = 0.0
    _latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _moments_ns: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def note(self, decision: Decision, tier: str, latency_ms: float, now_ns: int) -> None:
        """Count one decision that was published `latency_ms` after its frame was captured."""
        self.decisions += 1
        self.routes[decision.route.value] += 1
        self.tiers[decision.route.value, tier] += 1
        if self.classes is not None:
            self.classes.decided(decision.sku, decision.route)
        self.latency_sum_ms += latency_ms
        self.latency_buckets[sum(latency_ms > bound for bound in LATENCY_BUCKETS_MS)] += 1
        self._latencies_ms.append(latency_ms)
        self._moments_ns.append(now_ns)

    @property
    def is_strict(self) -> bool:
        """Whether the device is degraded, by its engine or by the ladder, and accepts at the stricter cut points."""
        return bool(self.degraded) or self.smaller or (self.turn is not None and self.turn.step > 0)

    def checked(self, one: Checked) -> None:
        """Count the truth about a thing by product; told by the clerk of feedback, in its thread."""
        if self.classes is None or (one.accepted and not one.audited):  # no fair sample: see `edge.feedback.tally`
            return
        if one.accepted:
            self.classes.checked(one.sku, "charged", one.right)
        else:
            self.classes.checked(one.truth, "asked", one.right)

    def is_stalled(self, now_ns: int) -> bool:
        """Whether the loop has begun and made no turn for STALLED_NS: what a watchdog asks."""
        return self.turn_ns is not None and now_ns - self.turn_ns > STALLED_NS

    def rate_per_s(self, now_ns: int) -> float:
        """Return the decisions per second over the last ten seconds, or over the last 1,000 if they are fewer."""
        recent = [moment for moment in self._moments_ns if now_ns - moment <= RATE_WINDOW_NS]
        span_ns = now_ns - max(recent[0], self.started_ns) if recent else 0
        return len(recent) / (span_ns / 1e9) if span_ns > 0 else 0.0

    def latency_ms(self, share: float) -> float:
        """Return a percentile of the last 1,000 latencies in ms; 0 before the first decision."""
        return percentile(self._latencies_ms, share)

    def message(self, origin: messages.Origin, cameras: Sequence[FrameSource], now_ns: int) -> messages.HealthMessage:
        """Return the heartbeat."""
        return messages.HealthMessage(
            schema=messages.SCHEMA,
            device_id=origin.device_id,
            epoch=origin.epoch,
            seq=origin.take_seq(),
            bundle_id=origin.bundle_id,
            uptime_s=(now_ns - self.started_ns) / 1e9,
            decisions=self.decisions,
            routes={route.value: self.routes[route.value] for route in Route},
            decisions_per_s=self.rate_per_s(now_ns),
            latency_p50_ms=self.latency_ms(0.50),
            latency_p99_ms=self.latency_ms(0.99),
            resident_mib=resident_mib(),
            publish_dropped=self.publish_dropped,
            cameras=tuple(
                messages.CameraHealth(
                    id=camera.camera_id,
                    state=camera.state,
                    frames=camera.delivered,
                    dropped=sum(drops.values()),
                    reopened=camera.reopened,
                    drops=drops,
                    failures=dict(camera.failures),
                    fault=camera.fault,
                )
                for camera, drops in ((camera, dict(camera.drops)) for camera in cameras)
            ),
            degraded=self.degraded or ("the smaller bundle decides" if self.smaller else ""),
            ladder=self._ladder(),
            outbox=self._outbox(),
            feedback=self._feedback(),
            reload=self.reload,
            self_test=self.self_test,
            stages_p99_ms=self.stages.p99_ms(),
            refused=self.refused(),
        )

    def _ladder(self) -> messages.LadderHealth | None:
        if self.turn is None:
            return None
        stress = {axis.value: round(value, 3) for axis, value in self.turn.stress.items()}
        return messages.LadderHealth(step=self.turn.step, name=self.turn.name, cause=self.turn.cause, stress=stress)

    def _outbox(self) -> messages.OutboxHealth | None:
        if self.outbox is None:
            return None
        state = self.outbox()
        lost = {name: state.lost.get(kind, 0) for name, kind in KINDS.items()}
        return messages.OutboxHealth(
            waiting=state.waiting,
            waiting_bytes=state.waiting_bytes,
            delivered=state.delivered,
            lost=lost,
            oldest_s=state.oldest_s,
            refusing=state.refusing,
            refused=state.refused,
        )

    def _feedback(self) -> messages.FeedbackHealth | None:
        if self.feedback is None:
            return None
        state = self.feedback()
        return messages.FeedbackHealth(
            remembered=state.remembered,
            dropped=state.dropped,
            verdicts=dict(state.verdicts),
            audits_waiting=state.audits_waiting,
            window=state.window,
            window_of=state.window_of,
            events=dict(state.events),
            accuracy=state.accuracy,
        )


def resident_mib() -> float:
    """Return the resident memory of this process in MiB, from /proc (no library, no allocation to speak of)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / (1 << 20)
