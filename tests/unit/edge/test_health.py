"""What the daemon counts about itself, and the heartbeat made of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import messages
from edge.capture.memory import MemorySource
from edge.class_counts import ClassCounts
from edge.feedback.state import FeedbackState
from edge.feedback.tally import Checked
from edge.feedback.wire import RESULTS
from edge.health import STALLED_NS, Health
from edge.stages import percentile
from edge.types import Decision, Reason, Route

SECOND_NS = 1_000_000_000


def decision(route: Route) -> Decision:
    return Decision(route, "sku-1", 0.9, 0.1, (), (), (Reason.CERTIFIED,))


def noted(latencies_ms: Iterable[float]) -> Health:
    health = Health(started_ns=0)
    for number, latency_ms in enumerate(latencies_ms):
        route = Route.ACCEPT if number % 2 == 0 else Route.REVIEW
        health.note(decision(route), "head", latency_ms, now_ns=(number + 1) * SECOND_NS // 10)
    return health


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.99, 1.0]))
def test_percentile_is_the_nearest_rank(values: list[float], share: float) -> None:
    expected = np.percentile(values, share * 100, method="inverted_cdf")
    assert percentile(values, share) == expected


def test_counts_rates_and_latencies() -> None:
    health = noted(range(1, 101))
    assert health.decisions == 100
    assert health.routes == {"accept": 50, "review": 50}
    assert health.latency_ms(0.5) == 50
    assert health.latency_ms(0.99) == 99
    assert sum(health.latency_buckets) == 100
    assert health.rate_per_s(now_ns=10 * SECOND_NS) == pytest.approx(10, rel=0.02)
    assert health.rate_per_s(now_ns=1000 * SECOND_NS) == 0


def test_memory_of_the_windows_is_bounded() -> None:
    health = noted([1.0] * 5000)
    assert health.latency_ms(0.5) == 1.0
    assert len(health._latencies_ms) == 1000


def test_the_heartbeat_takes_a_number_and_names_every_route() -> None:
    origin = messages.Origin("cart-1", "epoch", "bundle", next_seq=7)
    message = noted([5.0]).message(origin, [MemorySource("basket", [])], now_ns=3 * SECOND_NS)
    assert message.seq == 7
    assert origin.next_seq == 8
    assert message.routes == {"accept": 1, "verify": 0, "review": 0, "unknown": 0}
    assert message.uptime_s == 3
    assert message.resident_mib > 1
    assert [camera.id for camera in message.cameras] == ["basket"]
    assert messages.decode(messages.encode(message, "json")) == message


def test_drops_and_failures_are_told_by_reason_and_their_sum_is_what_was_dropped() -> None:
    camera = MemorySource("basket", [])
    camera.drops = {"newer_frame": 5, "too_old": 2}
    camera.failures = {"frozen": 1}
    told = Health(0).message(messages.Origin("cart-1", "epoch", "bundle"), [camera], now_ns=SECOND_NS).cameras[0]
    assert (told.dropped, told.drops, told.failures) == (7, {"newer_frame": 5, "too_old": 2}, {"frozen": 1})


def test_what_came_back_is_on_the_heartbeat() -> None:
    share = messages.Share(value=0.9, low=0.8, high=0.95, right=9, checked=10)
    rows = tuple(
        messages.AccuracyRow(
            scale=scale, name=name, charged=share, asked=None, weighted=share, estimated=0.97, things=4
        )
        for scale, name in (("all", ""), ("tier", "head"), ("tier", "mid"), ("tier", "tail"))
    )
    state = FeedbackState(7, 1, dict.fromkeys(RESULTS, 2), 3, 4, 1000, {"low_accuracy": 5}, rows)
    health = noted([1.0])
    health.feedback = lambda: state
    message = health.message(messages.Origin("cart-1", "epoch", "bundle"), [], now_ns=SECOND_NS)
    assert message.feedback is not None
    assert message.feedback.accuracy == rows
    assert messages.decode(messages.encode(message, "json")) == message


def test_the_loop_is_stalled_only_after_it_began() -> None:
    health = Health(started_ns=0)
    assert not health.is_stalled(now_ns=1000 * SECOND_NS), "loading may take as long as it takes"
    health.turn_ns = 1000 * SECOND_NS
    assert not health.is_stalled(1000 * SECOND_NS + STALLED_NS)
    assert health.is_stalled(1000 * SECOND_NS + STALLED_NS + 1)


def test_the_truth_is_counted_by_product_of_fair_samples_alone() -> None:
    health = Health(0, classes=ClassCounts(["a", "b"]))
    health.checked(Checked(accepted=True, audited=True, sku="a", tier="head", truth="b", truth_tier="head"))
    health.checked(Checked(accepted=True, audited=False, sku="a", tier="head", truth="b", truth_tier="head"))
    health.checked(Checked(accepted=False, audited=False, sku="a", tier="head", truth="b", truth_tier="head"))
    health.checked(Checked(accepted=False, audited=False, sku="b", tier="head", truth="b", truth_tier="head"))
    health.checked(Checked(accepted=False, audited=False, sku=None, tier="none", truth=None, truth_tier="none"))
    assert health.classes is not None
    assert health.classes.verdicts.tolist() == [[0, 1, 0, 0], [0, 0, 1, 1]]
