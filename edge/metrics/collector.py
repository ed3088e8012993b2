"""The page `/metrics`: a bounded number of series read from `edge.health`, which alone counts.

Rendered in the thread of the scrape; the frame loop only adds integers. Names follow the Prometheus conventions: base
units, `_total` on counters. Specification: Prometheus text format 0.0.4.

Bound: MAX_SERIES, and MAX_CAMERA_SERIES more for each camera, were everything to happen to it that can; a reason, a
route in a tier, a result is a series from its first event on. A device with two cameras in ordinary trouble has
99, all parts switched on. A fleet stores this number times its devices: what is asked seldom stands on the page of
products instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.degrade.ladder import Axis
from edge.health import LATENCY_BUCKETS_MS, Health
from edge.machine import hottest_celsius, used_bytes
from edge.metrics.readiness import unready
from edge.outbox.state import KINDS
from edge.ports import FrameSource
from edge.stages import BOUNDS_MS

__all__ = ["MAX_CAMERA_SERIES", "MAX_SERIES", "HealthCollector"]

MAX_SERIES = 108
MAX_CAMERA_SERIES = 23  # 4, 8 reasons to drop a frame, 11 to fail
MIB = 1 << 20
MEMORY_NS = 5_000_000_000  # between two looks at the processes' memory, which takes the kernel milliseconds


class HealthCollector(Collector):
    """Reads the counters when asked. Routes and tiers come from fixed tables, cameras from the configuration."""

    def __init__(self, health: Health, cameras: Sequence[FrameSource], clock_ns: Callable[[], int]) -> None:
        self._health = health
        self._cameras = cameras
        self._clock_ns = clock_ns
        self._used = (0, 0)  # bytes, and when they were looked at

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by the scrape."""
        yield from self._state()
        yield from self._decisions()
        yield from self._stages()
        yield from self._per_camera()
        yield from self._outbox()
        yield from self._feedback()
        yield from self._self_test()
        yield from self._machine()
        yield from self._ladder()

    def _state(self) -> Iterator[Metric]:
        health, now_ns = self._health, self._clock_ns()
        info = GaugeMetricFamily("edge_bundle_info", "The bundle in use", labels=["bundle"])
        info.add_metric([health.bundle_id], 1)
        yield info
        degraded = float(health.is_strict)
        yield GaugeMetricFamily("edge_degraded", "1 while only the stricter cut points accept", degraded)
        ready = float(not unready(health, self._cameras, now_ns))
        yield GaugeMetricFamily("edge_ready", "1 while /readyz says so", ready)
        yield GaugeMetricFamily("edge_uptime_seconds", "Since the start", (now_ns - health.started_ns) / 1e9)
        if health.turn_ns is not None:
            turn_age_s = (now_ns - health.turn_ns) / 1e9
            yield GaugeMetricFamily("edge_loop_turn_age_seconds", "Since the loop last began a turn", turn_age_s)
        dropped = CounterMetricFamily("edge_messages_dropped", "Messages or recordings dropped", labels=["kind"])
        dropped.add_metric(["publish"], health.publish_dropped)
        if health.record_dropped:  # few ever record
            dropped.add_metric(["record"], health.record_dropped)
        yield dropped
        refused = CounterMetricFamily("edge_connections_refused", "Connections not let in", labels=["socket", "reason"])
        for socket, reasons in health.refused().items():
            for reason in (reason for reason, count in reasons.items() if count):
                refused.add_metric([socket, reason], reasons[reason])
        yield refused

    def _ladder(self) -> Iterator[Metric]:
        turn = self._health.turn
        if turn is None:
            return
        yield GaugeMetricFamily("edge_ladder_step", "How much less the device does, 0 is the whole", turn.step)
        stress = GaugeMetricFamily(
            "edge_stress", "Of axes that are not relaxed: 1 takes a step down, 2 all of them", labels=["axis"]
        )
        for axis in Axis:
            if turn.stress.get(axis, 0.0) > 0:
                stress.add_metric([axis.value], turn.stress[axis])
        yield stress

    def _machine(self) -> Iterator[Metric]:
        used, planned = self._used_bytes(), self._health.planned_mib
        yield GaugeMetricFamily("edge_memory_used_bytes", "What all processes take, shared pages once", used)
        if planned > 0:
            yield GaugeMetricFamily("edge_memory_planned_bytes", "What was planned for them", planned * MIB)
        hottest = hottest_celsius()
        if hottest is not None:
            yield GaugeMetricFamily("edge_temperature_celsius", "Of the hottest thermal zone", hottest)

    def _used_bytes(self) -> int:
        used, looked_ns = self._used
        now_ns = self._clock_ns()
        if not used or now_ns - looked_ns >= MEMORY_NS:
            used = used_bytes(["self", *(camera.pid for camera in self._cameras if camera.pid is not None)])
            self._used = used, now_ns
        return used

    def _stages(self) -> Iterator[Metric]:
        family = HistogramMetricFamily("edge_stage_seconds", "Where the time of a frame goes", labels=["stage"])
        for stage, histogram in self._health.stages.histograms.items():
            buckets = _cumulated(BOUNDS_MS[stage], histogram.buckets)
            family.add_metric([stage.value], buckets, histogram.sum_ns / 1e9)
        yield family

    def _decisions(self) -> Iterator[Metric]:
        decisions = CounterMetricFamily("edge_decisions", "Decisions by route and tier", labels=["route", "tier"])
        for (route, tier), count in sorted(self._health.tiers.items()):
            decisions.add_metric([route, tier], count)
        yield decisions
        buckets = _cumulated(LATENCY_BUCKETS_MS, self._health.latency_buckets)
        latency = HistogramMetricFamily("edge_decision_latency_seconds", "From frame captured to message sent")
        latency.add_metric([], buckets, self._health.latency_sum_ms / 1000)
        yield latency

    def _outbox(self) -> Iterator[Metric]:
        if self._health.outbox is None:
            return
        state = self._health.outbox()
        yield GaugeMetricFamily("edge_outbox_waiting", "Messages that wait for the collector", state.waiting)
        yield GaugeMetricFamily("edge_outbox_oldest_seconds", "Age of the oldest that waits", state.oldest_s)
        yield GaugeMetricFamily("edge_outbox_refusing", "1 while its disk takes nothing", float(state.refusing))
        yield CounterMetricFamily("edge_outbox_delivered", "Messages that it acknowledged", state.delivered)
        lost = CounterMetricFamily("edge_outbox_lost", "Messages given up or not taken", labels=["route"])
        for name, kind in KINDS.items():
            lost.add_metric([name], state.lost.get(kind, 0))
        yield lost

    def _self_test(self) -> Iterator[Metric]:
        state = self._health.self_test
        if state is not None:
            yield CounterMetricFamily("edge_self_tests", "Golden self-tests that were passed", state.passed)

    def _feedback(self) -> Iterator[Metric]:
        if self._health.feedback is None:
            return
        state = self._health.feedback()
        yield GaugeMetricFamily("edge_feedback_remembered", "Decisions that a verdict can name", state.remembered)
        yield GaugeMetricFamily(
            "edge_feedback_audits_waiting", "Audited things without a verdict", state.audits_waiting
        )
        yield CounterMetricFamily("edge_feedback_dropped", "Decisions that could not be remembered", state.dropped)
        verdicts = CounterMetricFamily("edge_feedback_verdicts", "Verdicts by what became of them", labels=["result"])
        for result, count in sorted(state.verdicts.items()):
            if count:
                verdicts.add_metric([result], count)
        events = GaugeMetricFamily("edge_feedback_events", "Events that are kept, by kind", labels=["event"])
        for event, count in sorted(state.events.items()):
            events.add_metric([event], count)
        yield from (verdicts, events)

    def _per_camera(self) -> Iterator[Metric]:
        frames = CounterMetricFamily("edge_frames", "Frames delivered by the camera", labels=["camera"])
        why = ["camera", "reason"]
        drops = CounterMetricFamily("edge_frames_dropped", "Frames dropped before the decision", labels=why)
        failures = CounterMetricFamily("edge_camera_failures", "Times the camera failed", labels=why)
        reopened = CounterMetricFamily("edge_camera_reopened", "Times the camera was reopened", labels=["camera"])
        warnings = CounterMetricFamily("edge_camera_warnings", "Pictures or files found damaged", labels=["camera"])
        running = GaugeMetricFamily("edge_camera_running", "1 while the camera delivers", labels=["camera"])
        for camera in tuple(self._cameras):
            frames.add_metric([camera.camera_id], camera.delivered)
            for reason, count in camera.drops.items():
                if count:
                    drops.add_metric([camera.camera_id, reason], count)
            for reason, count in camera.failures.items():
                failures.add_metric([camera.camera_id, reason], count)
            reopened.add_metric([camera.camera_id], camera.reopened)
            warnings.add_metric([camera.camera_id], camera.warnings)
            running.add_metric([camera.camera_id], float(camera.state == "running"))
        yield from (frames, drops, failures, reopened, warnings, running)


def _cumulated(bounds_ms: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return the buckets of a histogram as the format wants them: in seconds, each with all before it."""
    total, buckets = 0, []
    bounds = [str(bound / 1000) for bound in bounds_ms] + ["+Inf"]
    for bound, count in zip(bounds, list(counts), strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
