"""The page /metrics says what health counted, in a bounded number of series."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request

import pytest
from full_health import SECOND_NS, decision, full_health, served, troubled_camera, usual_camera
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from edge.capture.memory import MemorySource
from edge.degrade.ladder import Axis
from edge.feedback.wire import RESULTS
from edge.health import Health
from edge.metrics import collector
from edge.metrics.collector import MAX_CAMERA_SERIES, MAX_SERIES
from edge.types import Route

NOW_NS = 100 * SECOND_NS


def page(health: Health, cameras: list[MemorySource]) -> str:
    with served(health, cameras, NOW_NS) as base, urllib.request.urlopen(f"{base}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def series(text: str) -> int:
    return sum(len(family.samples) for family in families(text).values())


def test_the_page_says_what_health_counted() -> None:
    health = Health(0, bundle_id="b1")
    for number, latency_ms in enumerate((1.0, 3.0, 700.0, 5000.0)):
        health.note(decision(Route.ACCEPT if number % 2 == 0 else Route.REVIEW), "head", latency_ms, NOW_NS)
    found = families(page(health, [MemorySource("basket", [])]))
    decisions = {(s.labels["route"], s.labels["tier"]): s.value for s in found["edge_decisions"].samples}
    assert decisions == {("accept", "head"): 2, ("review", "head"): 2}
    buckets = {s.labels["le"]: s.value for s in found["edge_decision_latency_seconds"].samples if "le" in s.labels}
    assert (buckets["0.005"], buckets["0.5"], buckets["1.0"], buckets["+Inf"]) == (2, 2, 3, 4)
    assert found["edge_bundle_info"].samples[0].labels["bundle"] == "b1"
    assert found["edge_ready"].samples[0].value == 0
    assert found["edge_uptime_seconds"].samples[0].value == 100


def test_drops_and_failures_are_told_by_reason() -> None:
    camera = MemorySource("basket", [])
    camera.drops = {"newer_frame": 5, "too_old": 2, "unasked": 0}
    camera.failures = {"frozen": 1}
    text = page(Health(0), [camera])
    assert 'edge_frames_dropped_total{camera="basket",reason="newer_frame"} 5.0' in text
    assert 'reason="unasked"' not in text, "a series from its first event on"
    assert 'edge_frames_dropped_total{camera="basket",reason="too_old"} 2.0' in text
    assert 'edge_camera_failures_total{camera="basket",reason="frozen"} 1.0' in text


def test_stages_outbox_memory_and_feedback_are_there() -> None:
    health = full_health(NOW_NS)
    health.turn_ns = NOW_NS - 2 * SECOND_NS
    found = families(page(health, [usual_camera("basket")]))
    engine = {
        s.labels.get("le", s.name): s.value
        for s in found["edge_stage_seconds"].samples
        if s.labels["stage"] == "engine"
    }
    assert engine == {
        "0.005": 1,
        "0.02": 1,
        "0.1": 1,
        "+Inf": 1,
        "edge_stage_seconds_count": 1,
        "edge_stage_seconds_sum": 0.003,
    }
    assert found["edge_outbox_oldest_seconds"].samples[0].value == 61
    assert found["edge_loop_turn_age_seconds"].samples[0].value == 2
    assert found["edge_ready"].samples[0].value == 1
    assert found["edge_memory_planned_bytes"].samples[0].value == 200 * (1 << 20)
    assert found["edge_memory_used_bytes"].samples[0].value > 10 * (1 << 20)
    assert {s.labels["result"]: s.value for s in found["edge_feedback_verdicts"].samples} == dict.fromkeys(RESULTS, 2)
    assert {s.labels["event"]: s.value for s in found["edge_feedback_events"].samples}["low_accuracy"] == 1


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has a thermal zone, as every Jetson has."""
    monkeypatch.setattr(collector, "hottest_celsius", lambda: 61.5)


@pytest.mark.usefixtures("warm")
def test_two_cameras_in_ordinary_trouble_are_under_100_series_with_everything_on() -> None:
    health = full_health(
        NOW_NS, results=("taken", "again", "unknown_decision"), axes=(Axis.TEMPERATURE,), trouble=False
    )
    assert 85 < series(page(health, [usual_camera("basket"), usual_camera("child-seat")])) <= 100


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("cameras", [1, 2, 16])
def test_the_number_of_series_is_bounded_whatever_happens(cameras: int) -> None:
    text = page(full_health(NOW_NS), [troubled_camera(f"camera-{number}") for number in range(cameras)])
    assert series(text) == MAX_SERIES + cameras * MAX_CAMERA_SERIES, "the bound says what is there"


def test_promtool_finds_nothing_wrong_with_the_page() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool: the page was not linted by it")
    text = page(full_health(NOW_NS), [troubled_camera("basket")])
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
