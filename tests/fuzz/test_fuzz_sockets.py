"""Hostile bytes on every socket that is bound: nothing ends, nothing grows, and who behaves is served throughout.

Two ways in: raw TCP, where handshakes recorded from real peers are replayed with mutations, and messages of a peer that
was let in. The default run is short; `make test-slow` sends ten thousand of each.
"""

from __future__ import annotations

import json
import random
import socket as socket_module
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
from background import until

from edge.config import FeedbackConfig
from edge.feedback.clerk import Clerk, Parts
from edge.feedback.judge import Catalogue, Judge
from edge.feedback.ledger import Ledger
from edge.feedback.store import Store
from edge.keys.allowed import AllowList
from edge.keys.door import Door
from edge.keys.line import Caller
from edge.keys.pair import KeyPair, key_text, make_pair, write_new
from edge.outbox.wire import row_frame
from edge.publish.zmq_pub import ZmqPublisher

WAIT_MS = 20_000
SHORT, WHOLE = 1_000, 10_000
STEPS = ((0, 64), (64, 266), (266, None))  # greeting; READY and more, or HELLO; INITIATE: each is waited for
OLD = (  # what ZMTP 1 and 2 begin with, and what is taken for it
    b"\x01\x00",
    b"\xff\0\0\0\0\0\0\0\1\x7f\0\2\0\0",
    b"\xff\0\0\0\0\0\0\0\1\x7f\1\2\0\0",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x05\x00abcd",
)
MOST_MIB = 50


@dataclass(frozen=True)
class Target:
    """A bound socket under attack: where it is, which process it is in, and what its good peer does and checks."""

    port: int
    pid: int
    kind: int
    peer: bytes | None  # its public key, where it has a door
    good: Callable[[], None]
    bad: zmq.Socket  # of a peer that was let in


class Keys:
    """One listed peer and the keys of the target, or none at all."""

    def __init__(self, tmp_path: Path, with_keys: bool) -> None:
        self.own = make_pair("cart-1", tmp_path) if with_keys else None
        self.peer = make_pair("till-3", tmp_path) if with_keys else None
        self.folder = tmp_path / "allowed"
        if self.peer is not None:
            write_new(self.folder / "till-3.pub", key_text(self.peer.public), 0o644)

    def door(self, name: str) -> Door | None:
        return Door(name, self.own, AllowList(self.folder), time.monotonic_ns) if self.own else None

    def secure(self, socket: zmq.Socket) -> None:
        if self.own is not None and self.peer is not None:
            Caller(self.peer, self.own.public).secure(socket)


def free_port() -> int:
    with socket_module.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peer(context: zmq.Context, kind: int, port: int, keys: Keys) -> zmq.Socket:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
    if kind == zmq.SUB:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    keys.secure(socket)
    socket.connect(f"tcp://127.0.0.1:{port}")
    return socket


@contextmanager
def publisher(tmp_path: Path, keys: Keys) -> Iterator[Target]:
    port = free_port()
    with ExitStack() as stack:
        made = stack.enter_context(ZmqPublisher(f"tcp://127.0.0.1:{port}", 1000, keys.door("publish")))
        context = stack.enter_context(zmq.Context())
        good = stack.enter_context(peer(context, zmq.SUB, port, keys))
        bad = stack.enter_context(peer(context, zmq.XSUB, port, keys))
        assert made.wait_for_subscriptions(1, WAIT_MS)
        numbers = iter(range(1 << 30))

        def check() -> None:
            text = str(next(numbers)).encode()
            assert made.send("decision.basket", text)
            assert good.recv_multipart() == [b"decision.basket", text]

        yield Target(port, 0, zmq.SUB, keys.own.public if keys.own else None, check, bad)


@contextmanager
def clerk(tmp_path: Path, keys: Keys) -> Iterator[Target]:
    port, config = free_port(), FeedbackConfig(path=str(tmp_path / "feedback.sqlite"))
    catalogue = Catalogue("b1", {"sku-1": "tail"}, 0, 0.01)
    with ExitStack() as stack:
        store = stack.enter_context(Store(tmp_path / "feedback.sqlite", 1000))
        judge = Judge(config, catalogue)
        parts = Parts(store, judge, Ledger(store, judge, catalogue, "cart-1", 1000))
        where = f"tcp://127.0.0.1:{port}"
        stack.enter_context(Clerk(parts, where, 1000, time.monotonic_ns, keys.door("feedback")))
        context = stack.enter_context(zmq.Context())
        good = stack.enter_context(peer(context, zmq.DEALER, port, keys))
        bad = stack.enter_context(peer(context, zmq.DEALER, port, keys))

        def check() -> None:
            good.send(b'{"decision_id": "cart-1:e:1", "true_sku": "sku-1", "source": "barcode"}')
            assert json.loads(good.recv())["result"] == "unknown_decision"

        yield Target(port, 0, zmq.DEALER, keys.own.public if keys.own else None, check, bad)


@contextmanager
def collector(tmp_path: Path, keys: Keys) -> Iterator[Target]:
    port = free_port()
    arguments = ["--out", str(tmp_path / "decisions.sqlite"), "--listen", f"tcp://127.0.0.1:{port}"]
    if keys.own is not None:
        arguments += ["--own", str(tmp_path / "cart-1.secret"), "--allowed", str(keys.folder)]
    code = "import sys; from edge.collect.cli import main; sys.exit(main())"
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on ")
        context = stack.enter_context(zmq.Context())
        good = stack.enter_context(peer(context, zmq.DEALER, port, keys))
        bad = stack.enter_context(peer(context, zmq.DEALER, port, keys))
        numbers = iter(range(1 << 30))

        def check() -> None:
            row = next(numbers)
            good.send_multipart([row_frame(row), b"no decision, and acknowledged all the same"])
            assert good.recv() == row_frame(row)

        try:
            yield Target(port, process.pid, zmq.DEALER, keys.own.public if keys.own else None, check, bad)
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()


TARGETS = (publisher, clerk, collector)


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1]) * 4096 / (1 << 20)


def recorded(target: Target, pair: KeyPair | None) -> bytes:
    """Return what a peer says at first: to the target in CURVE with `pair`, or to a plain socket of its kind."""
    said = bytearray()
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        between = stack.enter_context(socket_module.create_server(("127.0.0.1", 0)))
        port = target.port
        if pair is None:
            plain = stack.enter_context(context.socket(zmq.XPUB if target.kind == zmq.SUB else zmq.ROUTER))
            port = plain.bind_to_random_port("tcp://127.0.0.1")
        socket = stack.enter_context(context.socket(target.kind))
        socket.setsockopt(zmq.LINGER, 0)
        if pair is not None and target.peer is not None:
            Caller(pair, target.peer).secure(socket)
        if target.kind == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"decision.")
        socket.connect(f"tcp://127.0.0.1:{between.getsockname()[1]}")
        if target.kind == zmq.DEALER:
            socket.send_multipart([row_frame(1), b"{}"])
        client, _ = between.accept()
        with client, socket_module.create_connection(("127.0.0.1", port)) as server:
            for source, sink, kept in ((client, server, said), (server, client, bytearray())):
                threading.Thread(target=pump, args=(source, sink, kept), daemon=True).start()
            until(lambda: len(said) > (400 if pair is not None else 100))  # CURVE: 64 + 202 + 8 + 250 bytes and more
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket_module.SHUT_RDWR)
    return bytes(said)


def pump(source: socket_module.socket, sink: socket_module.socket, kept: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(4096):
            kept.extend(data)
            sink.sendall(data)


def mutated(generator: random.Random, said: bytes) -> bytes:
    """Return a handshake with other bytes, cut, doubled, with a length that is a lie, or nothing like it."""
    raw, kind = bytearray(said), generator.randrange(7)
    if kind == 0:
        return generator.randbytes(generator.randrange(300))
    if kind == 1:
        return bytes(raw[: generator.randrange(len(raw))])
    if kind == 2:
        start = generator.randrange(len(raw))
        return bytes(raw[:start] + raw[generator.randrange(len(raw)) :] + raw[start:])
    if kind == 3:  # after the greeting of 64 bytes a frame that claims to be huge
        return bytes(raw[:64]) + b"\x06" + generator.choice((b"\x7f", b"\xff", b"\0")) * 8 + bytes(50)
    if kind == 4:
        return generator.choice(OLD)
    for _ in range(generator.randrange(1, 9)):
        raw[generator.randrange(10 if kind == 5 else 0, len(raw))] = generator.randrange(256)
    return bytes(raw)


def storm(target: Target, count: int, seed: int, stranger: KeyPair) -> None:
    """Connect `count` times with mutated bytes, fifty at a time, and see to the good peer between."""
    generator = random.Random(seed)
    said = [recorded(target, None)] + ([recorded(target, stranger)] if target.peer else [])
    target.good()
    before_mib = resident_mib(target.pid)
    for _ in range(count // 50):
        held = [socket_module.create_connection(("127.0.0.1", target.port), 10) for _ in range(50)]
        lies = [mutated(generator, generator.choice(said)) for _ in held]
        for start, end in STEPS:
            for connection, lie in zip(held, lies, strict=True):
                with suppress(OSError):  # it may have hung up already
                    connection.sendall(lie[start:end])
            target.good()  # and time for the other side to answer
        for connection in held:
            connection.close()
    target.good()
    assert resident_mib(target.pid) - before_mib < MOST_MIB


def babble(target: Target, count: int, seed: int) -> None:
    """Send `count` messages of odd frames from a peer that was let in, and see to the good peer between."""
    generator = random.Random(seed)
    payloads = (b'{"decision_id": "cart-1:e:1", "true_sku": "sku-1", "source": "barcode"}', b'{"type": "decision"}')
    target.good()
    before_mib = resident_mib(target.pid)
    for _ in range(count // 50):
        for _ in range(50):
            frames = [
                generator.choice((b"", row_frame(3), b"\x01decision.", b"\x00x")) for _ in range(generator.randrange(3))
            ]
            frames.append(mutated(generator, generator.choice(payloads) + bytes(64)))
            with suppress(zmq.Again):
                target.bad.send_multipart(frames, flags=zmq.NOBLOCK)
        target.good()
        while target.bad.poll(0, zmq.POLLIN):
            target.bad.recv_multipart()
    assert resident_mib(target.pid) - before_mib < MOST_MIB


@pytest.mark.parametrize("with_keys", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("made", TARGETS)
def test_mutated_handshakes_end_nothing(made: Callable[..., contextmanager], with_keys: bool, tmp_path: Path) -> None:
    with made(tmp_path, Keys(tmp_path, with_keys)) as target:
        storm(target, SHORT, seed=1, stranger=make_pair("stranger", tmp_path))


@pytest.mark.parametrize("with_keys", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("made", TARGETS)
def test_who_speaks_an_old_protocol_is_hung_up_on(
    made: Callable[..., contextmanager], with_keys: bool, tmp_path: Path
) -> None:
    """libzmq ends the process where such a peer introduces itself to a socket that is being closed."""
    with made(tmp_path, Keys(tmp_path, with_keys)) as target:
        for greeting in OLD:
            with socket_module.create_connection(("127.0.0.1", target.port), 10) as connection:
                connection.settimeout(10)
                connection.sendall(greeting)
                with suppress(ConnectionResetError):  # it hung up with bytes unread
                    while connection.recv(4096):
                        pass
        target.good()


@pytest.mark.parametrize("made", TARGETS)
def test_messages_of_odd_frames_end_nothing(made: Callable[..., contextmanager], tmp_path: Path) -> None:
    with made(tmp_path, Keys(tmp_path, with_keys=True)) as target:
        babble(target, SHORT, seed=2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("with_keys", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("made", TARGETS)
def test_ten_thousand_of_each_end_nothing(made: Callable[..., contextmanager], with_keys: bool, tmp_path: Path) -> None:
    with made(tmp_path, Keys(tmp_path, with_keys)) as target:
        storm(target, WHOLE, seed=3, stranger=make_pair("stranger", tmp_path))
        babble(target, WHOLE, seed=4)
