"""Truth comes back to a running daemon: answered after the commit, counted, and still there after kill -9."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import samples
import zmq
from test_daemon import EACH, command, received, write_clip

from edge import messages

WAIT_MS = 20_000


@pytest.fixture
def truth(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/truth"


@pytest.fixture
def config(tmp_path: Path, endpoint: str, truth: str) -> Path:
    """A looping camera over three products and a stranger, every accepted thing audited."""
    samples.write_sample_bundle(tmp_path / "bundle")
    write_clip(tmp_path / "clip.avi", [0, 1, 2, 50])
    path = tmp_path / "cart.yaml"
    path.write_text(
        f"device_id: cart-7\nbundle: {tmp_path}/bundle\ncameras:\n"
        f"  - {{id: basket, source: {tmp_path}/clip.avi, loop: true, realtime: true}}\n"
        f"publish: {{decisions: '{endpoint}'}}\n"
        f"feedback: {{path: {tmp_path}/feedback.sqlite, listen: '{truth}', audit_share: 1.0}}\n"
    )
    return path


def tell(context: zmq.Context, endpoint: str, payload: bytes) -> dict[str, str]:
    with context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        socket.connect(endpoint)
        socket.send(payload)
        answer: dict[str, str] = json.loads(socket.recv())
        return answer


def verdict(decision_id: str, sku: str) -> bytes:
    return json.dumps({"decision_id": decision_id, "true_sku": sku, "source": "reviewer"}).encode()


def test_a_verdict_is_answered_and_survives_kill_9(config: Path, truth: str, subscriber: zmq.Socket) -> None:
    with zmq.Context() as context:
        with subprocess.Popen(command("daemon", "--config", config, "--await-subscribers", 1)) as daemon:
            decisions = received(subscriber, 4 * EACH)
            accepted = next(decision for decision in decisions if decision.route == "accept")
            assert tell(context, truth, verdict(accepted.decision_id, accepted.sku or ""))["result"] == "taken"
            assert tell(context, truth, verdict(accepted.decision_id, accepted.sku or ""))["result"] == "again"
            assert tell(context, truth, b'{"decision_id": 7}')["result"] == "malformed"
            assert tell(context, truth, verdict("cart-7:nobody:1", "x"))["result"] == "unknown_decision"
            daemon.kill()
        audits = [decision for decision in decisions if decision.audit]
        assert [d.looks for d in audits] == [3, 3, 3], "the first accept of each thing, and nothing else"
        with subprocess.Popen(command("daemon", "--config", config)) as daemon:
            assert tell(context, truth, verdict(accepted.decision_id, accepted.sku or ""))["result"] == "again"
            daemon.terminate()
            assert daemon.wait(20) == 0


def test_the_heartbeat_tells_of_it(config: Path, truth: str, subscriber: zmq.Socket) -> None:
    with (
        zmq.Context() as context,
        subprocess.Popen(command("daemon", "--config", config, "--await-subscribers", 1)) as daemon,
    ):
        decision = received(subscriber, 1)[0]
        assert tell(context, truth, verdict(decision.decision_id, "sku-001"))["result"] == "taken"
        feedback = None
        while feedback is None or not feedback.verdicts["taken"]:
            message = messages.decode(subscriber.recv_multipart()[1])
            feedback = message.feedback if isinstance(message, messages.HealthMessage) else feedback
        assert feedback.remembered > 0
        assert (feedback.window, feedback.window_of) == (1, 1000)
        daemon.terminate()
        assert daemon.wait(20) == 0


def test_wrong_audits_become_an_event_with_its_evidence(config: Path, truth: str, subscriber: zmq.Socket) -> None:
    with (
        zmq.Context() as context,
        subprocess.Popen(command("daemon", "--config", config, "--await-subscribers", 1)) as daemon,
    ):
        event, sequence = None, []
        while event is None:
            topic, payload = subscriber.recv_multipart()
            message = messages.decode(payload)
            sequence.append(message.seq)
            if isinstance(message, messages.DecisionMessage) and message.audit:
                assert tell(context, truth, verdict(message.decision_id, "sku-004"))["result"] == "taken"
            event = message if isinstance(message, messages.EventMessage) else None
        assert topic == b"event"
        assert event.event == "accept_error_in_doubt"
        assert event.evidence["wrong"] == event.evidence["checked"]
        assert float(event.evidence["stake"]) >= 100
        assert event.event_id.startswith("cart-7:")
        assert sequence == list(range(sequence[0], sequence[0] + len(sequence))), "numbered like every message"
        daemon.terminate()
        assert daemon.wait(20) == 0
