"""The life of a daemon: told to its supervisor, stopped, crashed, drifting; what was acknowledged stays."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import samples
import zmq
from faulty_engine import faulty
from mjpeg_camera import mjpeg_camera, noisy
from test_daemon import EACH, QUIET_MS, command, received, write_clip

from edge import messages
from edge.outbox.store import Limits, Store

WAIT_S = 30.0


@pytest.fixture
def config(tmp_path: Path, endpoint: str) -> Path:
    """A looping camera over three products, and an outbox that nobody empties."""
    samples.write_sample_bundle(tmp_path / "bundle")
    write_clip(tmp_path / "clip.avi", [0, 1, 2])
    path = tmp_path / "cart.yaml"
    path.write_text(
        f"device_id: cart-7\nbundle: {tmp_path}/bundle\ncameras:\n"
        f"  - {{id: basket, source: {tmp_path}/clip.avi, loop: true, realtime: true}}\n"
        f"publish: {{decisions: '{endpoint}'}}\n"
        f"outbox: {{path: {tmp_path}/outbox.sqlite, collector: 'ipc://{tmp_path}/collector'}}\n"
    )
    return path


@contextmanager
def collector(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    code = "import sys; from edge.collect.cli import main; sys.exit(main())"
    arguments = ("--out", tmp_path / "collected.sqlite", "--listen", f"ipc://{tmp_path}/collector")
    whole = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on ")
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@contextmanager
def process_of(whole: list[str], **more: object) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive its test."""
    with subprocess.Popen(whole, stderr=subprocess.PIPE, text=True, **more) as process:  # type: ignore[call-overload]
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def collected(tmp_path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(tmp_path / "collected.sqlite")) as database:
        return database.execute(query).fetchall()


def waiting(tmp_path: Path) -> list[messages.Message]:
    with Store(tmp_path / "outbox.sqlite", Limits(1_000_000, 1 << 30)) as store:
        assert store.put_aside is None
        return [messages.decode(payload) for _, payload in store.waiting(0, 1_000_000)]


class Supervisor:
    """The datagram socket that systemd would listen on."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.socket.settimeout(WAIT_S)
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"}

    def until(self, wanted: str) -> list[str]:
        """Return the datagrams up to the first that has a line which begins so."""
        heard: list[str] = []
        while True:
            heard.append(self.socket.recv(4096).decode())
            if any(line.startswith(wanted) for line in heard[-1].splitlines()):
                return heard

    def is_silent(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(4096)
        except TimeoutError:
            return True
        return False


@pytest.fixture
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(getattr(request, "param", "{}/notify").format(tmp_path))
    yield made
    made.socket.close()


@contextmanager
def told(whole: list[str], supervisor: Supervisor, code: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A daemon under a supervisor; it must end with `code` when the test is done."""
    environment = {**os.environ, **supervisor.environment}
    with process_of(whole, env=environment) as process:
        yield process
        process.send_signal(signal.SIGTERM if code == 0 else -code)
        process.communicate(timeout=20)
        assert process.returncode == code


@pytest.mark.parametrize("supervisor", ["{}/notify", "@shelfedge{}"], indirect=True, ids=["path", "abstract"])
def test_the_supervisor_hears_of_readiness_progress_reload_and_end(config: Path, supervisor: Supervisor) -> None:
    with told(command("daemon", "--config", config), supervisor) as process:
        first = supervisor.until("READY=1")
        assert "STATUS=" in first[-1], "a line for a person comes with it"
        assert not any("WATCHDOG=1" in datagram for datagram in first)
        supervisor.until("WATCHDOG=1")
        assert "1 of 1 cameras" in supervisor.until("STATUS=1 of 1")[-1]
        process.send_signal(signal.SIGHUP)
        asked = supervisor.until("RELOADING=1")[-1].splitlines()
        assert asked[1].startswith("MONOTONIC_USEC=")
        assert int(asked[1].partition("=")[2]) > 0
        assert "reload done: nothing changed" in supervisor.until("READY=1")[-1]
    assert supervisor.until("STOPPING=1")


def test_an_unplugged_camera_is_no_reason_to_be_killed(config: Path, tmp_path: Path, supervisor: Supervisor) -> None:
    with ExitStack() as plug:
        url = plug.enter_context(mjpeg_camera(noisy))
        text = config.read_text().replace(f"{tmp_path}/clip.avi, loop: true, realtime: true", f"'{url}'")
        config.write_text(text)
        with told(command("daemon", "--config", config), supervisor):
            supervisor.until("STATUS=1 of 1 cameras")
            plug.close()
            supervisor.until("STATUS=0 of 1 cameras")
            for _ in range(10):
                supervisor.until("WATCHDOG=1")


def test_a_hung_engine_is_not_alive(config: Path, tmp_path: Path, supervisor: Supervisor) -> None:
    hang = tmp_path / "hang"
    with told(faulty("hang", hang, "--config", config), supervisor, code=-signal.SIGABRT):
        supervisor.until("WATCHDOG=1")
        hang.touch()
        while not supervisor.is_silent(3.0):  # seven times what the watchdog waits
            pass


def test_a_slow_engine_several_cameras_and_everything_open_end_in_order(
    config: Path, tmp_path: Path, subscriber: zmq.Socket
) -> None:
    cameras = "".join(f"  - {{id: more-{n}, source: 'synthetic: 96x96'}}\n" for n in range(3))
    text = config.read_text().replace("publish:", f"{cameras}publish:")
    config.write_text(f"{text}feedback: {{path: {tmp_path}/feedback.sqlite, listen: 'ipc://{tmp_path}/truth'}}\n")
    whole = faulty("slow", tmp_path / "unused", "--config", config, "--await-subscribers", 1)
    with process_of(whole) as process:
        found = received(subscriber, 6)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    while subscriber.poll(QUIET_MS):
        message = messages.decode(subscriber.recv_multipart()[1])
        found += [message] if isinstance(message, messages.DecisionMessage) else []
    kept = [message.seq for message in waiting(tmp_path) if isinstance(message, messages.DecisionMessage)]
    assert kept == [decision.seq for decision in found], "what was published was kept, to the last decision"


def test_an_engine_that_fails_loses_nothing_that_was_published(
    config: Path, tmp_path: Path, subscriber: zmq.Socket
) -> None:
    broken = tmp_path / "broken"
    whole = faulty("raise", broken, "--config", config, "--await-subscribers", 1)
    with process_of(whole) as process:
        found = received(subscriber, 2 * EACH)
        broken.touch()
        errors = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert "edge-daemon: error: engine failed: told to fail" in errors
    while subscriber.poll(QUIET_MS):
        message = messages.decode(subscriber.recv_multipart()[1])
        found += [message] if isinstance(message, messages.DecisionMessage) else []
    assert [message.seq for message in waiting(tmp_path)] == [decision.seq for decision in found]


def test_an_engine_that_takes_the_process_with_it_loses_nothing_that_was_acknowledged(
    config: Path, tmp_path: Path, subscriber: zmq.Socket
) -> None:
    broken = tmp_path / "broken"
    with collector(tmp_path):
        whole = faulty("segfault", broken, "--config", config, "--await-subscribers", 1)
        with process_of(whole) as process:
            found = received(subscriber, 4 * EACH)
            while len(collected(tmp_path, "SELECT seq FROM decisions")) < EACH:
                found += received(subscriber, 1)
            broken.touch()
            process.communicate(timeout=20)
        assert process.returncode == -signal.SIGSEGV
        there = {seq for (seq,) in collected(tmp_path, "SELECT seq FROM decisions")}
        left = {message.seq for message in waiting(tmp_path)}
        ours = sorted(decision.seq for decision in found)
        kept = [seq for seq in ours if seq in there | left]
        assert kept == ours[: len(kept)], "what is missing is the newest, which was not committed yet"
        broken.unlink()
        whole = command("daemon", "--config", config)
        with process_of(whole) as process:
            received(subscriber, 1)
            ours_there = f"SELECT seq FROM decisions WHERE epoch = '{found[0].epoch}'"
            while not left | there <= {seq for (seq,) in collected(tmp_path, ours_there)}:
                assert process.poll() is None
            process.terminate()
            assert process.wait(20) == 0
    assert collected(tmp_path, "SELECT count(*) FROM rejected") == [(0,)]


def test_an_engine_that_drifts_ends_the_daemon_with_an_event_that_arrives(
    config: Path, tmp_path: Path, subscriber: zmq.Socket
) -> None:
    drifts = tmp_path / "drifts"
    config.write_text(config.read_text() + "self_test: {every_s: 1}\n")
    with collector(tmp_path):
        whole = faulty("drift", drifts, "--config", config, "--await-subscribers", 1)
        with process_of(whole) as process:
            beat = None
            while beat is None or beat.self_test is None:
                message = messages.decode(subscriber.recv_multipart()[1])
                beat = message if isinstance(message, messages.HealthMessage) else beat
            assert (beat.self_test.passed, round(beat.self_test.cosine, 3)) == (1, 1.0)
            drifts.touch()
            errors = process.communicate(timeout=20)[1]
        assert process.returncode == 1
        assert "golden crop 0 comes out with cosine" in errors.splitlines()[-1]
        whole = faulty("drift", drifts, "--config", config)
        again = subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)
        assert again.returncode == 1, "started again it decides nothing either"
        assert "a golden crop comes out with cosine" in again.stderr
    (row,) = collected(tmp_path, "SELECT event, event_id, payload FROM events")
    event = json.loads(bytes(row[2]))  # type: ignore[arg-type]
    assert row[0] == "self_test_failed"
    assert event["evidence"]["cosine"] < event["evidence"]["expected"] == 0.99
    assert event["event_id"] == row[1]


def test_events_arrive_once_whoever_is_killed(config: Path, tmp_path: Path, subscriber: zmq.Socket) -> None:
    truth = f"ipc://{tmp_path}/truth"
    config.write_text(
        f"{config.read_text()}feedback: {{path: {tmp_path}/feedback.sqlite, listen: '{truth}', audit_share: 1.0}}\n"
    )
    with zmq.Context() as context, context.socket(zmq.REQ) as teller:
        teller.setsockopt(zmq.LINGER, 0)
        teller.setsockopt(zmq.RCVTIMEO, 20_000)
        teller.connect(truth)
        with process_of(command("daemon", "--config", config, "--await-subscribers", 1)) as process:
            event = None
            while event is None:
                message = messages.decode(subscriber.recv_multipart()[1])
                if isinstance(message, messages.DecisionMessage) and message.audit:
                    verdict = {"decision_id": message.decision_id, "true_sku": "sku-004", "source": "reviewer"}
                    teller.send(json.dumps(verdict).encode())
                    assert json.loads(teller.recv())["result"] == "taken"
                event = message if isinstance(message, messages.EventMessage) else None
            process.kill()
    with collector(tmp_path):
        with process_of(command("daemon", "--config", config)) as process:
            while not (found := collected(tmp_path, "SELECT event_id, event FROM events")):
                assert process.poll() is None
            process.kill()
        before = collected(tmp_path, "SELECT DISTINCT epoch FROM decisions")
        with process_of(command("daemon", "--config", config)) as process:
            epochs = "SELECT DISTINCT epoch FROM decisions"
            while len(collected(tmp_path, epochs)) == len(before):
                assert process.poll() is None
            process.terminate()
            assert process.wait(20) == 0
        assert collected(tmp_path, "SELECT event_id, event FROM events") == found
    assert found == [(event.event_id, "accept_error_in_doubt")]
