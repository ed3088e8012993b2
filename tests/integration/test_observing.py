"""A running daemon seen from outside: its pages, its readiness and its log."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import samples
import zmq
from background import until
from test_daemon import EACH, command, received, write_clip
from test_feedback import tell, verdict

PATIENCE_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def base() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def config(tmp_path: Path, endpoint: str, base: str) -> Path:
    """A looping camera over three products and a stranger, with everything on and no collector."""
    samples.write_sample_bundle(tmp_path / "bundle", network_mib=60.0)
    write_clip(tmp_path / "clip.avi", [0, 1, 2, 50])
    path = tmp_path / "cart.yaml"
    path.write_text(
        f"device_id: cart-7\nbundle: {tmp_path}/bundle\ncameras:\n"
        f"  - {{id: basket, source: {tmp_path}/clip.avi, loop: true, realtime: true}}\n"
        f"publish: {{decisions: '{endpoint}'}}\n"
        f"feedback: {{path: {tmp_path}/feedback.sqlite, listen: 'ipc://{tmp_path}/truth', audit_share: 1.0}}\n"
        f"outbox: {{path: {tmp_path}/outbox.sqlite, collector: 'ipc://{tmp_path}/nobody'}}\n"
        f"metrics: {{listen: '{base.removeprefix('http://')}'}}\n"
        "log: {format: json}\n"
    )
    return path


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()
    except urllib.error.URLError:
        return 0, ""


def value(text: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, flags=re.MULTILINE)
    assert found is not None, f"{series} is not shown:\n{text}"
    return float(found[1])


def test_a_running_daemon_shows_what_it_does(config: Path, base: str, tmp_path: Path, subscriber: zmq.Socket) -> None:
    arguments = command("daemon", "--config", config, "--await-subscribers", 1)
    with (
        zmq.Context() as context,
        subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as daemon,
    ):
        decisions = received(subscriber, 4 * EACH)
        accepted = next(decision for decision in decisions if decision.route == "accept")
        assert tell(context, f"ipc://{tmp_path}/truth", verdict(accepted.decision_id, "sku-005"))["result"] == "taken"
        until(lambda: ask(f"{base}/readyz")[0] == 200)
        assert ask(f"{base}/healthz")[0] == 200
        until(lambda: value(ask(f"{base}/metrics")[1], "edge_outbox_oldest_seconds") > 0)
        page = ask(f"{base}/metrics")[1]
        for stage in ("capture", "locate", "prepare", "engine", "judge", "publish"):
            assert value(page, f'edge_stage_seconds_count{{stage="{stage}"}}') >= 4 * EACH
        assert value(page, "edge_outbox_waiting") > 0
        assert value(page, "edge_memory_used_bytes") > value(page, "edge_memory_planned_bytes") / 10 > 0
        assert value(page, "edge_loop_turn_age_seconds") < 5
        products = ask(f"{base}/metrics/classes")[1]
        assert value(products, 'edge_class_decisions_total{sku="sku-001",route="accept"}') > 0
        wrong = f'edge_class_verdicts_total{{sku="{accepted.sku}",question="charged",result="wrong"}}'
        assert value(products, wrong) == 1
        daemon.terminate()
        _, said = daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    lines = [json.loads(line) for line in said.splitlines()]
    assert any(line["message"].startswith("running: device cart-7") for line in lines)
    assert {line["level"] for line in lines} <= {"info", "warning"}


def test_what_is_planned_follows_the_cameras_of_a_reload(config: Path, base: str) -> None:
    def planned() -> float:
        return value(ask(f"{base}/metrics")[1], "edge_memory_planned_bytes")

    with subprocess.Popen(command("daemon", "--config", config), stderr=subprocess.DEVNULL) as daemon:
        until(lambda: ask(f"{base}/readyz")[0] == 200)
        before = planned()
        seat = "  - {id: seat, source: 'synthetic: 64x48'}\n"
        config.write_text(config.read_text().replace("publish:", f"{seat}publish:"))
        daemon.send_signal(signal.SIGHUP)
        until(lambda: planned() > before)
        daemon.terminate()
        assert daemon.wait(20) == 0


def test_a_daemon_without_a_camera_lives_and_is_not_ready(config: Path, base: str) -> None:
    text = re.sub(r"source: [^,]*, loop: true, realtime: true", "source: /dev/video97", config.read_text())
    config.write_text(text)
    with subprocess.Popen(command("daemon", "--config", config), stderr=subprocess.DEVNULL) as daemon:
        until(lambda: "no_camera_running" in ask(f"{base}/readyz")[1] and "starting" not in ask(f"{base}/readyz")[1])
        status, told = ask(f"{base}/readyz")
        assert status == 503
        assert [reason["code"] for reason in json.loads(told)["reasons"]] == ["no_camera_running"]
        assert ask(f"{base}/healthz")[0] == 200
        daemon.terminate()
        assert daemon.wait(20) == 0
