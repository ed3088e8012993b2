"""A daemon with keys on its three sockets, its collector, its viewers, and those who have no business there."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import samples
import zmq
from test_daemon import EACH, command, received, write_clip

from edge import messages
from edge.keys.cli import main as edge_keys
from edge.keys.line import Caller
from edge.keys.pair import read_pair, read_public
from edge.watch.cli import main as edge_watch

WAIT_MS = 20_000


@dataclass(frozen=True)
class Shop:
    """A configuration with keys, and where its sockets are."""

    folder: Path
    config: Path
    decisions: str
    truth: str
    collector: str

    def key(self, name: str) -> Path:
        return self.folder / "keys" / f"{name}.secret"

    def socket(self, context: zmq.Context, kind: int, endpoint: str, who: str | None) -> zmq.Socket:
        made = context.socket(kind)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        if kind == zmq.SUB:
            made.setsockopt(zmq.SUBSCRIBE, b"")
        if who is not None:
            Caller(read_pair(self.key(who)), read_public(self.folder / "keys" / "cart-7.pub")).secure(made)
        made.connect(endpoint)
        return made


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A looping camera, everybody's keys made and let in by `edge-keys`, as the README says."""
    samples.write_sample_bundle(tmp_path / "bundle")
    write_clip(tmp_path / "clip.avi", [0, 1, 2, 50])
    keys = tmp_path / "keys"
    for name in ("cart-7", "display", "till", "collector", "stranger"):
        assert edge_keys(["make", name, "--dir", str(keys)]) == 0
    for name, folder in (("display", "subscribers"), ("till", "senders"), ("cart-7", "carts")):
        assert edge_keys(["allow", str(keys / f"{name}.pub"), "--in", str(keys / folder)]) == 0
    decisions, truth, collector = (f"tcp://127.0.0.1:{port}" for port in free_ports(3))
    (tmp_path / "cart.yaml").write_text(
        f"device_id: cart-7\nbundle: {tmp_path}/bundle\ncameras:\n"
        f"  - {{id: basket, source: {tmp_path}/clip.avi, loop: true, realtime: true}}\n"
        f"publish: {{decisions: '{decisions}'}}\n"
        f"outbox: {{path: {tmp_path}/outbox.sqlite, collector: '{collector}'}}\n"
        f"feedback: {{path: {tmp_path}/feedback.sqlite, listen: '{truth}', audit_share: 1.0}}\n"
        f"keys: {{own: {keys}/cart-7.secret, subscribers: {keys}/subscribers, senders: {keys}/senders,"
        f" collector: {keys}/collector.pub}}\n"
    )
    return Shop(tmp_path, tmp_path / "cart.yaml", decisions, truth, collector)


@pytest.fixture
def daemon(shop: Shop) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command("daemon", "--config", shop.config), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def collect(shop: Shop, key: str) -> Iterator[subprocess.Popen[str]]:
    code = "import sys; from edge.collect.cli import main; sys.exit(main())"
    options = ("--listen", shop.collector, "--own", shop.key(key), "--allowed", shop.folder / "keys" / "carts")
    arguments = [str(one) for one in ("--out", shop.folder / "decisions.sqlite", *options)]
    whole = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("listening on ")
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    return out or "", err or ""


def verdict(decision: messages.DecisionMessage) -> bytes:
    told = {"decision_id": decision.decision_id, "true_sku": decision.sku, "source": "reviewer"}
    return json.dumps(told).encode()


def heartbeat_with(subscriber: zmq.Socket, socket_name: str, reason: str) -> messages.HealthMessage:
    while True:
        message = messages.decode(subscriber.recv_multipart()[1])
        if isinstance(message, messages.HealthMessage) and message.refused[socket_name][reason]:
            return message


def test_who_is_let_in_is_served_on_each_socket_and_nobody_else(shop: Shop, daemon: subprocess.Popen[str]) -> None:
    with zmq.Context() as context, collect(shop, "collector") as collector:
        with (
            shop.socket(context, zmq.SUB, shop.decisions, "display") as display,
            shop.socket(context, zmq.SUB, shop.decisions, None) as plain,
            shop.socket(context, zmq.SUB, shop.decisions, "till") as till_listens,
            shop.socket(context, zmq.REQ, shop.truth, "till") as till,
            shop.socket(context, zmq.DEALER, shop.truth, None) as plain_sender,
            shop.socket(context, zmq.DEALER, shop.truth, "display") as display_tells,
        ):
            accepted = next(one for one in received(display, 4 * EACH) if one.route == "accept")
            for sender in (plain_sender, display_tells):
                with suppress(zmq.Again):  # libzmq knows already that nobody takes it
                    sender.send(verdict(accepted), flags=zmq.NOBLOCK)
            till.send(verdict(accepted))
            assert json.loads(till.recv())["result"] == "taken"
            heartbeat_with(display, "publish", "not_listed")
            health = heartbeat_with(display, "feedback", "not_listed")
            for refused in (plain, till_listens, plain_sender, display_tells):
                assert not refused.poll(100, zmq.POLLIN)
            assert health.outbox is not None
            assert health.outbox.delivered > 0
        _, err = ended(daemon)
        out, _ = ended(collector)
    assert "publish: display came in from 127.0.0.1" in err
    assert "feedback: till came in from 127.0.0.1" in err
    assert " 0 rejected" in out
    with closing(sqlite3.connect(shop.folder / "decisions.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM decisions").fetchone()[0] > 4 * EACH


def test_an_impostor_of_the_collector_gets_nothing_and_the_true_one_everything(
    shop: Shop, daemon: subprocess.Popen[str]
) -> None:
    with zmq.Context() as context, shop.socket(context, zmq.SUB, shop.decisions, "display") as display:
        with collect(shop, "stranger") as impostor:
            received(display, 4 * EACH)
            out, err = ended(impostor)
            assert "0 decisions written" in out
            assert "takes us for somebody with another public key" in err
        with collect(shop, "collector") as collector:
            while True:
                message = messages.decode(display.recv_multipart()[1])
                if isinstance(message, messages.HealthMessage) and message.outbox and message.outbox.delivered > 20:
                    break
            ended(daemon)
            ended(collector)
    with closing(sqlite3.connect(shop.folder / "decisions.sqlite")) as database:
        assert database.execute("SELECT min(seq) FROM decisions").fetchone()[0] <= 1, "from the first one on"


def watch(shop: Shop, who: str, *more: str) -> list[str]:
    keys = shop.folder / "keys"
    return [shop.decisions, "--own", str(keys / f"{who}.secret"), "--peer", str(keys / "cart-7.pub"), *more]


@pytest.mark.usefixtures("daemon")
def test_the_live_view_takes_keys_and_says_why_nothing_comes(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert edge_watch(watch(shop, "display", "--count", "3", "--timeout", "30")) == 0
    assert edge_watch(watch(shop, "stranger", "--timeout", "7")) == 1
    assert "is our key allowed there" in capsys.readouterr().err
    assert edge_watch([shop.decisions, "--timeout", "3"]) == 1
    assert "no connection: " in capsys.readouterr().err


def refusal(arguments: Sequence[object]) -> str:
    done = subprocess.run([str(one) for one in arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_keys_that_cannot_be_used_keep_the_daemon_from_starting(shop: Shop) -> None:
    check = command("daemon", "--config", shop.config, "--check")
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    shop.key("cart-7").chmod(0o644)
    assert "mode 0644, so others may use this secret key" in refusal(check)
    shop.key("cart-7").chmod(0o600)
    (shop.folder / "keys" / "senders" / "till.pub").write_text("nonsense")
    assert "till.pub" in refusal(check)
    (shop.folder / "keys" / "senders").rename(shop.folder / "keys" / "gone")
    assert "edge-keys allow makes such a folder" in refusal(check)


def test_a_command_that_would_leave_this_machine_plain_is_refused(shop: Shop) -> None:
    collect_code = "import sys; from edge.collect.cli import main; sys.exit(main())"
    watch_code = "import sys; from edge.watch.cli import main; sys.exit(main())"
    collecting = [sys.executable, "-c", collect_code, "--out", shop.folder / "d.sqlite"]
    watching = [sys.executable, "-c", watch_code]
    own = ("--own", shop.key("collector"))
    allowed = ("--allowed", shop.folder / "keys" / "carts")
    for arguments, words in (
        ([*collecting, "--listen", "tcp://0.0.0.0:1"], "give --own and --allowed"),
        ([*collecting, *own], "belong together"),
        ([*collecting, *own, *allowed, "--insecure"], "the keys or --insecure"),
        ([*collecting, *own, *allowed, "--listen", f"ipc://{shop.folder}/c"], "an ipc path stays plain"),
        ([*watching, "tcp://10.0.0.3:5556"], "give --own and --peer"),
        ([*watching, "nowhere"], "expected tcp://HOST:PORT"),
    ):
        assert words in refusal(arguments)
