"""The example consumers, run as their README says, print the same lines of what a real publisher sends."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge import messages
from edge.keys.allowed import AllowList
from edge.keys.door import Door
from edge.keys.pair import key_text, make_pair, write_new
from edge.publish.zmq_pub import ZmqPublisher

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
WAIT_S = 60
# Confidences that Python and JavaScript would round differently if each did it its own way.
CONFIDENCES = (0.98712, 0.0625, 0.9375, 0.0, 1.0, 0.0005)
LOST_AT = 3  # this decision takes a number and is never sent


def decision(origin: messages.Origin, confidence: float) -> messages.DecisionMessage:
    seq, known = origin.take_seq(), confidence > 0.5
    return messages.DecisionMessage(
        schema=messages.SCHEMA,
        decision_id=f"{origin.device_id}:{origin.epoch}:{seq}",
        device_id=origin.device_id,
        epoch=origin.epoch,
        seq=seq,
        bundle_id=origin.bundle_id,
        camera_id="left",
        frame=seq,
        captured_monotonic_ns=1,
        captured_utc="2026-11-21T12:00:00.000000+00:00",
        region=messages.Region(x=0, y=0, width=64, height=64, label="full_frame"),
        route="accept" if known else "unknown",
        sku="4006381333931" if known else None,
        name="Käse-Brötchen" if known else None,
        confidence=confidence,
        ood_score=0.25,
        candidates=(),
        verify_set=(),
        reasons=("certified",) if known else ("ood",),
        latency_ms=12.5,
    )


def health(origin: messages.Origin) -> messages.HealthMessage:
    return messages.HealthMessage(
        schema=messages.SCHEMA,
        device_id=origin.device_id,
        epoch=origin.epoch,
        seq=origin.take_seq(),
        bundle_id=origin.bundle_id,
        uptime_s=1.0,
        decisions=0,
        routes={},
        decisions_per_s=0.0,
        latency_p50_ms=0.0,
        latency_p99_ms=0.0,
        resident_mib=100.0,
        publish_dropped=0,
        cameras=(),
    )


def traffic() -> tuple[list[tuple[str, bytes]], list[str]]:
    """Return what is sent, and the lines to expect: two starts, heartbeats between the decisions, one message lost."""
    sent, lines = [], []
    for epoch in ("e1", "e2"):
        origin = messages.Origin("cart-07", epoch, "bundle-1")
        for number, confidence in enumerate(CONFIDENCES):
            sent.append(("health", messages.encode(health(origin), "json")))
            message = decision(origin, confidence)
            if number != LOST_AT:
                sent.append(("decision.left", messages.encode(message, "json")))
                rounded = {0.0625: "0.063", 0.9375: "0.938", 0.0005: "0.001"}.get(confidence, f"{confidence:.3f}")
                lines.append(f"{message.seq} {message.route} {message.sku or '-'} {rounded}")
    return sent, lines


def outputs(
    commands: Sequence[Sequence[str]],
    endpoint: str,
    sent: Sequence[tuple[str, bytes]],
    count: int,
    door: Door | None = None,
) -> list[tuple[int, list[str], list[str]]]:
    """Run all commands as subscribers of one publisher; return exit code and lines of standard output and error."""
    options = ["--endpoint", endpoint, "--count", str(count)]
    with ZmqPublisher(endpoint, 1000, door) as publisher:
        running = [
            subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
            for command in commands
        ]
        try:
            assert publisher.wait_for_subscriptions(len(running), timeout_ms=WAIT_S * 1000)
            assert all(publisher.send(topic, payload) for topic, payload in sent)
            ended = [process.communicate(timeout=WAIT_S) for process in running]
        finally:
            for process in running:
                process.kill()
                process.wait()
    results = zip(running, ended, strict=True)
    return [(process.returncode, out.splitlines(), err.splitlines()) for process, (out, err) in results]


def python_consumer() -> list[str]:
    return [sys.executable, str(EXAMPLES / "consumer.py")]


@pytest.fixture(scope="session")
def node_consumer(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The Node.js consumer with its one dependency installed, in a folder of its own."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node or npm is not on PATH: the Node.js consumer cannot run here")
    folder = tmp_path_factory.mktemp("node-consumer")
    for name in ("consumer.mjs", "package.json"):
        shutil.copy(EXAMPLES / name, folder)
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    installed = subprocess.run(install, cwd=folder, capture_output=True, encoding="utf-8", timeout=240, check=False)
    assert installed.returncode == 0, installed.stderr
    return [node, str(folder / "consumer.mjs")]


def test_the_python_consumer_prints_every_decision_and_counts_the_gaps(tmp_path: Path) -> None:
    sent, lines = traffic()
    ((code, out, err),) = outputs([python_consumer()], f"ipc://{tmp_path}/decisions", sent, len(lines))
    assert (code, out) == (0, lines)
    assert err == ["1 missed before 8", "1 missed before 8", "10 decisions, 2 messages missed"]


@pytest.mark.timeout(300)
def test_both_consumers_print_the_same_lines(node_consumer: list[str], tmp_path: Path) -> None:
    sent, lines = traffic()
    both = [python_consumer(), node_consumer]
    python, node = outputs(both, f"ipc://{tmp_path}/decisions", sent, len(lines))
    assert node == python
    assert node[:2] == (0, lines)


@pytest.mark.timeout(300)
def test_both_consumers_take_keys(node_consumer: list[str], tmp_path: Path) -> None:
    own, till = make_pair("cart-1", tmp_path), make_pair("till-3", tmp_path)
    write_new(tmp_path / "allowed" / "till-3.pub", key_text(till.public), 0o644)
    door = Door("publish", own, AllowList(tmp_path / "allowed"), time.monotonic_ns)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    sent, lines = traffic()
    keys = ["--own", str(tmp_path / "till-3.secret"), "--peer", str(tmp_path / "cart-1.pub")]
    both = [[*python_consumer(), *keys], [*node_consumer, *keys]]
    python, node = outputs(both, endpoint, sent, len(lines), door)
    assert node == python
    assert node[:2] == (0, lines)


@pytest.mark.timeout(300)
def test_both_consumers_refuse_half_of_the_keys_in_words(node_consumer: list[str], tmp_path: Path) -> None:
    make_pair("till-3", tmp_path)
    (tmp_path / "none.pub").write_text("nothing")
    own = ["--own", str(tmp_path / "till-3.secret")]
    for consumer in (python_consumer(), node_consumer):
        for more, words in (([], "belong together"), (["--peer", str(tmp_path / "none.pub")], "expected NAME.secret")):
            command = [*consumer, *own, *more]
            ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=WAIT_S, check=False)
            assert ended.returncode == 2
            assert words in ended.stderr


@pytest.mark.timeout(300)
def test_both_consumers_refuse_msgpack_in_words(node_consumer: list[str], tmp_path: Path) -> None:
    packed = [
        ("decision.left", messages.encode(decision(messages.Origin("cart-07", "e1", "bundle-1"), 0.9), "msgpack"))
    ]
    both = [python_consumer(), node_consumer]
    python, node = outputs(both, f"ipc://{tmp_path}/decisions", packed, 1)
    assert node == python == (1, [], ["the payload is not JSON; set publish.format of edge-daemon to json"])


@pytest.mark.timeout(300)
def test_both_consumers_refuse_a_malformed_endpoint_in_words(node_consumer: list[str]) -> None:
    for consumer in (python_consumer(), node_consumer):
        command = [*consumer, "--endpoint", "nowhere"]
        ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=WAIT_S, check=False)
        assert ended.returncode == 2
        assert "expected tcp://HOST:PORT or ipc://PATH" in ended.stderr
        assert "at " not in ended.stderr  # no stack
