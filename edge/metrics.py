"""The page for Prometheus: `/metrics`, a bounded number of series read from `edge.health`, which alone counts.

Rendered in the thread of the scrape; the frame loop only adds integers. Names follow the Prometheus conventions: base
units, `_total` on counters. Specification: Prometheus text format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.errors import PublishError
from edge.health import LATENCY_BUCKETS_MS, Health, resident_mib
from edge.ports import FrameSource
from edge.types import Route

__all__ = ["MetricsServer"]


class MetricsServer:
    """Serves /metrics on `listen` (HOST:PORT) inside `with`; raises PublishError when the port is taken."""

    def __init__(self, listen: str, health: Health, cameras: Sequence[FrameSource], bundle_id: str) -> None:
        self._host, _, port = listen.rpartition(":")
        self._port = int(port)
        self._collector = _HealthCollector(health, cameras, bundle_id)

    def __enter__(self) -> MetricsServer:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self._collector)
        try:
            self._server, self._thread = start_http_server(self._port, self._host, registry)
        except OSError as error:
            where = f"{self._host}:{self._port}"
            message = (
                f"cannot serve metrics on {where}: {error.strerror or error}; free the port or change metrics.listen"
            )
            raise PublishError(message) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class _HealthCollector(Collector):
    """Reads the counters when asked. Routes and tiers come from fixed tables, cameras from the configuration."""

    def __init__(self, health: Health, cameras: Sequence[FrameSource], bundle_id: str) -> None:
        self._health = health
        self._cameras = cameras
        self._bundle_id = bundle_id

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by the scrape."""
        yield from self._decisions()
        yield from self._per_camera()
        yield from self._outbox()
        yield from self._feedback()
        health = self._health
        info = GaugeMetricFamily("edge_bundle_info", "The bundle in use", labels=["bundle"])
        info.add_metric([self._bundle_id], 1)
        yield info
        yield GaugeMetricFamily(
            "edge_degraded", "1 while another engine than the bundle's decides", float(bool(health.degraded))
        )
        yield GaugeMetricFamily(
            "edge_resident_bytes", "Resident memory of the main process", resident_mib() * (1 << 20)
        )
        dropped = CounterMetricFamily("edge_messages_dropped", "Messages or recordings dropped", labels=["kind"])
        dropped.add_metric(["publish"], health.publish_dropped)
        dropped.add_metric(["record"], health.record_dropped)
        yield dropped
        refused = CounterMetricFamily("edge_connections_refused", "Connections not let in", labels=["socket", "reason"])
        for socket, reasons in health.refused().items():
            for reason, count in reasons.items():
                refused.add_metric([socket, reason], count)
        yield refused

    def _decisions(self) -> Iterator[Metric]:
        decisions = CounterMetricFamily("edge_decisions", "Decisions by route and tier", labels=["route", "tier"])
        for (route, tier), count in sorted(self._health.tiers.items()):
            decisions.add_metric([route, tier], count)
        yield decisions
        total, buckets = 0, []
        bounds = [str(bound / 1000) for bound in LATENCY_BUCKETS_MS] + ["+Inf"]
        for bound, count in zip(bounds, list(self._health.latency_buckets), strict=True):
            total += count
            buckets.append((bound, total))
        latency = HistogramMetricFamily("edge_decision_latency_seconds", "From frame captured to message sent")
        latency.add_metric([], buckets, self._health.latency_sum_ms / 1000)
        yield latency

    def _outbox(self) -> Iterator[Metric]:
        if self._health.outbox is None:
            return
        state = self._health.outbox()
        yield GaugeMetricFamily("edge_outbox_waiting", "Decisions that wait for the collector", state.waiting)
        yield GaugeMetricFamily("edge_outbox_waiting_bytes", "Payload that waits for it", state.waiting_bytes)
        yield CounterMetricFamily("edge_outbox_delivered", "Decisions that it acknowledged", state.delivered)
        lost = CounterMetricFamily("edge_outbox_lost", "Decisions given up or not taken", labels=["route"])
        for route in Route:
            lost.add_metric([route.value], state.lost.get(route, 0))
        yield lost

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
            verdicts.add_metric([result], count)
        events = GaugeMetricFamily("edge_feedback_events", "Events that are kept, by kind", labels=["event"])
        for event, count in sorted(state.events.items()):
            events.add_metric([event], count)
        measured = GaugeMetricFamily("edge_accuracy", "Of the last window, by truth", labels=["tier", "question"])
        estimated = GaugeMetricFamily("edge_accuracy_estimated", "The same without truth (CBPE)", labels=["tier"])
        for row in state.accuracy:
            tier = row.name or "all"
            for question, share in (("charged", row.charged), ("asked", row.asked), ("weighted", row.weighted)):
                if share is not None:
                    measured.add_metric([tier, question], share.value)
            if row.estimated is not None:
                estimated.add_metric([tier], row.estimated)
        yield from (verdicts, events, measured, estimated)

    def _per_camera(self) -> Iterator[Metric]:
        frames = CounterMetricFamily("edge_frames", "Frames delivered by the camera", labels=["camera"])
        why = ["camera", "reason"]
        drops = CounterMetricFamily("edge_frames_dropped", "Frames dropped before the decision", labels=why)
        failures = CounterMetricFamily("edge_camera_failures", "Times the camera failed", labels=why)
        reopened = CounterMetricFamily("edge_camera_reopened", "Times the camera was reopened", labels=["camera"])
        warnings = CounterMetricFamily("edge_camera_warnings", "Pictures or files found damaged", labels=["camera"])
        running = GaugeMetricFamily("edge_camera_running", "1 while the camera delivers", labels=["camera"])
        for camera in self._cameras:
            frames.add_metric([camera.camera_id], camera.delivered)
            for reason, count in camera.drops.items():
                drops.add_metric([camera.camera_id, reason], count)
            for reason, count in camera.failures.items():
                failures.add_metric([camera.camera_id, reason], count)
            reopened.add_metric([camera.camera_id], camera.reopened)
            warnings.add_metric([camera.camera_id], camera.warnings)
            running.add_metric([camera.camera_id], float(camera.state == "running"))
        yield from (frames, drops, failures, reopened, warnings, running)
