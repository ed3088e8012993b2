"""A daemon that has everything and to which everything has happened: every family of every page has its series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from edge import messages
from edge.capture.drops import DropReason
from edge.capture.failure import CaptureReason
from edge.capture.memory import MemorySource
from edge.class_counts import ClassCounts
from edge.config import MetricsConfig
from edge.degrade.ladder import STEPS, Axis, Turn
from edge.feedback.state import FeedbackState
from edge.feedback.wire import RESULTS
from edge.health import Health
from edge.keys.door import REFUSALS
from edge.metrics import MetricsServer
from edge.outbox.state import OutboxState
from edge.stages import Stage
from edge.types import Decision, Reason, Route

SECOND_NS = 1_000_000_000
TIERS = ("tail", "mid", "head")
EVENTS = ("low_accuracy", "accept_error_in_doubt", "unknown_rate_drifts", "new_products")


def decision(route: Route, sku: str | None = "sku-1") -> Decision:
    return Decision(route, sku, 0.9, 0.1, (), (), (Reason.CERTIFIED,))


def full_health(
    now_ns: int = 100 * SECOND_NS, results: Iterable[str] = RESULTS, axes: Iterable[Axis] = Axis, trouble: bool = True
) -> Health:
    """Return what was counted by a daemon that started at 0 and is ready at `now_ns`, with verdicts of `results`."""
    health = Health(0, bundle_id="bundle-1", planned_mib=200.0, engine_ready=True, turn_ns=now_ns)
    health.classes = ClassCounts(["sku-0", "sku-1", "sku-2"])
    for number, route in enumerate(Route):
        for tier in TIERS:
            health.note(decision(route), tier, 3.0 + number, now_ns)
    for route in (Route.REVIEW, Route.UNKNOWN):
        health.note(decision(route, None), "none", 3.0, now_ns)
    for question in ("charged", "asked"):
        for right in (True, False):
            health.classes.checked("sku-1", question, right)
    for stage in Stage:
        health.stages.note(stage, 3_000_000)
    lost = Counter(dict.fromkeys(Route, 1))
    health.outbox = lambda: OutboxState(5, 1000, 7, lost, oldest_s=61.0)
    share = messages.Share(value=0.9, low=0.8, high=0.95, right=9, checked=10)
    rows = tuple(
        messages.AccuracyRow(
            scale=scale, name=name, charged=share, asked=share, weighted=share, estimated=0.97, things=4
        )
        for scale, name in (("all", ""), *(("tier", tier) for tier in TIERS))
    )
    state = FeedbackState(7, 1, dict.fromkeys(results, 2), 3, 4, 1000, dict.fromkeys(EVENTS, 1), rows)
    health.feedback = lambda: state
    if trouble:
        health.record_dropped = 1
        health.refused = lambda: {socket: dict.fromkeys(REFUSALS, 1) for socket in ("publish", "feedback")}
    health.self_test = messages.SelfTestHealth(passed=3, cosine=0.999)
    health.turn = Turn(1, 0, "temperature 87", (), dict.fromkeys(axes, 1.1), *STEPS[1])
    return health


def troubled_camera(name: str) -> MemorySource:
    """Return a camera that dropped and failed for every reason that there is, and runs."""
    camera = MemorySource(name, [])
    camera.state = "running"
    camera.delivered = 1_000
    camera.drops = {reason.value: 2 for reason in DropReason}
    camera.failures = {reason.value: 1 for reason in CaptureReason}
    return camera


def usual_camera(name: str) -> MemorySource:
    """Return a camera of a cart after a day: it ran, fell behind, gave a picture twice and was opened again once."""
    camera = troubled_camera(name)
    camera.drops = {"newer_frame": 40, "repeated": 3, "too_old": 1}
    camera.failures = {"stalled": 1}
    return camera


@contextmanager
def served(health: Health, cameras: list[MemorySource], now_ns: int, max_classes: int = 20_000) -> Iterator[str]:
    """Yield where the pages of a daemon are, at a clock that stands."""
    config = MetricsConfig(listen="127.0.0.1:0", max_classes=max_classes)
    with MetricsServer(config, health, cameras, lambda: now_ns) as server:
        yield f"http://127.0.0.1:{server.port}"
