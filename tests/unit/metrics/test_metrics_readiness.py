"""Live and ready: every reason has a code, and each can arise."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable

import pytest
from full_health import SECOND_NS, full_health, served, usual_camera

from edge.capture.memory import MemorySource
from edge.health import STALLED_NS, Health
from edge.metrics.readiness import CODES, dead, unready
from edge.outbox.state import OutboxState

NOW_NS = 100 * SECOND_NS


def stall(health: Health, _: MemorySource) -> None:
    health.turn_ns = NOW_NS - STALLED_NS - 1


def load(health: Health, _: MemorySource) -> None:
    health.engine_ready, health.turn_ns = False, None


def begin(health: Health, _: MemorySource) -> None:
    health.turn_ns = None


def lose_camera(_: Health, camera: MemorySource) -> None:
    camera.state, camera.fault = "failed", "stalled"


def refuse(health: Health, _: MemorySource) -> None:
    health.outbox = lambda: OutboxState(5, 1, 0, Counter(), refusing=True)


FAULTS: list[tuple[Callable[[Health, MemorySource], None], str]] = [
    (stall, "loop_stalled"),
    (load, "starting"),
    (begin, "starting"),
    (lose_camera, "no_camera_running"),
    (refuse, "outbox_refused"),
]


def test_a_daemon_at_work_is_live_and_ready() -> None:
    health = full_health(NOW_NS)
    assert dead(health, NOW_NS) == unready(health, [usual_camera("basket")], NOW_NS) == ()


@pytest.mark.parametrize(("spoil", "code"), FAULTS)
def test_each_fault_is_told_by_its_code_alone(spoil: Callable[[Health, MemorySource], None], code: str) -> None:
    health, camera = full_health(NOW_NS), usual_camera("basket")
    spoil(health, camera)
    assert [fault.code for fault in unready(health, [camera], NOW_NS)] == [code]
    assert bool(dead(health, NOW_NS)) == (code == "loop_stalled")


def test_every_code_can_arise_and_no_other() -> None:
    assert {code for _, code in FAULTS} == set(CODES)


def test_one_camera_of_two_is_enough() -> None:
    gone = usual_camera("gone")
    gone.state = "failed"
    assert not unready(full_health(NOW_NS), [gone, usual_camera("basket")], NOW_NS)


def test_the_reasons_come_as_json_with_503() -> None:
    health, camera = full_health(NOW_NS), usual_camera("basket")
    with served(health, [camera], NOW_NS) as base:
        with urllib.request.urlopen(f"{base}/readyz") as good:
            assert json.load(good) == {"ready": True, "reasons": [], "bundle": "bundle-1", "degraded": ""}
        with urllib.request.urlopen(f"{base}/healthz") as good:
            assert json.load(good)["live"] is True
        lose_camera(health, camera)
        with pytest.raises(urllib.error.HTTPError) as bad:
            urllib.request.urlopen(f"{base}/readyz")
        with bad.value as answer:
            assert answer.code == 503
            told = json.load(answer)
        assert told["reasons"] == [{"code": "no_camera_running", "detail": "basket stalled"}]
        stall(health, camera)
        with pytest.raises(urllib.error.HTTPError) as bad:
            urllib.request.urlopen(f"{base}/healthz")
        with bad.value as answer:
            assert (answer.code, json.load(answer)["live"]) == (503, False)
