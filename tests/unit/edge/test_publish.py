"""Publishers against real sockets and real files."""

from __future__ import annotations

import contextlib
import os
import socket as socket_module
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from edge.errors import InputError, PublishError
from edge.publish import zmq_pub
from edge.publish.journal import JournalPublisher
from edge.publish.memory import MemoryPublisher
from edge.publish.zmq_pub import ZmqPublisher

WAIT_MS = 10_000


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/decisions"


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    with zmq.Context() as context:
        yield context


def subscriber(context: zmq.Context, endpoint: str, high_water_mark: int = 1000) -> zmq.Socket:
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, high_water_mark)
    socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
    socket.setsockopt(zmq.SUBSCRIBE, b"decision.")
    socket.connect(endpoint)
    return socket


def test_messages_arrive_in_two_frames_and_in_order(endpoint: str, context: zmq.Context) -> None:
    with ZmqPublisher(endpoint, 1000) as publisher, subscriber(context, endpoint) as receiver:
        assert publisher.wait_for_subscriptions(1, WAIT_MS)
        for number in range(100):
            assert publisher.send("decision.basket", str(number).encode())
            assert publisher.send("health", b"not asked for")
        got = [receiver.recv_multipart() for _ in range(100)]
    assert got == [[b"decision.basket", str(number).encode()] for number in range(100)]


def test_a_subscriber_that_never_reads_makes_send_say_so_and_not_block(endpoint: str, context: zmq.Context) -> None:
    with ZmqPublisher(endpoint, 4) as publisher, subscriber(context, endpoint, high_water_mark=4) as receiver:
        assert publisher.wait_for_subscriptions(1, WAIT_MS)
        sent = [publisher.send("decision.basket", b"%d " % number + bytes(100_000)) for number in range(2000)]
        assert sent.count(False) > 0
        first_missed = sent.index(False)
        got = [int(receiver.recv_multipart()[1].split()[0]) for _ in range(first_missed)]
        assert got == list(range(first_missed)), "what was accepted before arrives"


def test_one_who_never_reads_takes_nothing_from_those_who_do(endpoint: str, context: zmq.Context) -> None:
    with (
        ZmqPublisher(endpoint, 4) as publisher,
        subscriber(context, endpoint, high_water_mark=1),
        subscriber(context, endpoint) as reader,
    ):
        assert publisher.wait_for_subscriptions(2, WAIT_MS)
        sent = []
        for number in range(500):
            sent.append(publisher.send("decision.basket", b"%d " % number + bytes(100_000)))
            assert int(reader.recv_multipart()[1].split()[0]) == number
        assert False in sent, "that he fell behind is told"


def test_a_flood_of_subscriptions_does_not_hold_a_send_up(
    endpoint: str, context: zmq.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zmq_pub, "MAX_NOTED", 10)
    with ZmqPublisher(endpoint, 10) as publisher, context.socket(zmq.XSUB) as peer:
        peer.setsockopt(zmq.LINGER, 0)
        peer.setsockopt(zmq.SNDHWM, 0)
        peer.connect(endpoint)
        for _ in range(500):
            peer.send(b"\x01decision.")
        while (before := publisher.subscriptions) < 500:
            assert publisher.send("health", b"x")
            assert publisher.subscriptions - before <= 10


NULL_GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(48)
READY = b"\4\x19\5READY\x0bSocket-Type\0\0\0\3SUB"


def test_a_subscription_that_is_too_large_cuts_off_who_sent_it_and_nobody_else(context: zmq.Context) -> None:
    """Spoken by hand: libzmq's own subscriber does not survive a topic as long as this."""
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(ZmqPublisher("tcp://127.0.0.1:*", 10))
        assert publisher._socket is not None
        endpoint = publisher._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        address = "127.0.0.1", int(endpoint.rpartition(":")[2])
        good = stack.enter_context(subscriber(context, endpoint))
        assert publisher.wait_for_subscriptions(1, WAIT_MS)
        with (
            socket_module.create_connection(address, WAIT_MS / 1000) as peer,
            peer.makefile("rb") as received,
            contextlib.suppress(ConnectionResetError),
        ):
            peer.sendall(NULL_GREETING)
            assert len(received.read(64)) == 64  # what comes sooner may not be looked at
            peer.sendall(READY + b"\0\2\1x")
            assert publisher.wait_for_subscriptions(2, WAIT_MS), "it speaks well enough to subscribe to x"
            topic = b"\1" + b"y" * 5_000
            peer.sendall(b"\2" + len(topic).to_bytes(8, "big") + topic)
            received.read()  # until cut off
        assert publisher.send("decision.basket", b"x")
        assert good.recv_multipart()[1] == b"x"


def test_without_subscribers_nothing_is_refused(endpoint: str) -> None:
    with ZmqPublisher(endpoint, 4) as publisher:
        assert all(publisher.send("decision.basket", b"x") for _ in range(100))
        assert not publisher.wait_for_subscriptions(1, timeout_ms=1)


def test_a_taken_port_is_one_clear_error() -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        publisher = ZmqPublisher(f"tcp://127.0.0.1:{port}", 10)
        with pytest.raises(PublishError, match="free the port"):
            publisher.__enter__()
    with publisher:
        assert publisher.send("decision.basket", b"the same publisher works once the port is free")


def test_a_journal_keeps_decisions_only_and_appends(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    for text in (b"1", b"2"):
        with JournalPublisher(path) as journal:
            assert journal.send("decision.basket", text)
            assert journal.send("health", b"no")
    assert path.read_bytes() == b"1\n2\n"


def test_a_full_disk_leaves_whole_lines(small_disk: Path) -> None:
    path = small_disk / "d.jsonl"
    line = b"x" * 3000
    written = 0
    with JournalPublisher(path) as journal, pytest.raises(PublishError, match=r"[Nn]o space"):
        while True:
            journal.send("decision.basket", line)
            written += 1
    assert written > 0
    assert path.read_bytes() == (line + b"\n") * written


def test_an_unwritable_journal_says_so(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="cannot be written"):
        JournalPublisher(tmp_path / "missing" / "d.jsonl").__enter__()


def test_memory_refuses_when_full() -> None:
    with MemoryPublisher(limit=2) as publisher:
        assert [publisher.send("t", b"") for _ in range(3)] == [True, True, False]


def test_publishers_leak_no_descriptor(endpoint: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with ZmqPublisher(endpoint, 10) as publisher:
            publisher.send("decision.basket", b"x")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_at_an_ipc_path_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="a file or a folder stands there"):
        ZmqPublisher(f"ipc://{tmp_path}/thesis.txt", 10).__enter__()
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_ipc_path_on_which_another_publishes_is_not_taken_away(endpoint: str, context: zmq.Context) -> None:
    with ZmqPublisher(endpoint, 10) as first, subscriber(context, endpoint) as receiver:
        with pytest.raises(PublishError, match="another process does"):
            ZmqPublisher(endpoint, 10).__enter__()
        assert first.wait_for_subscriptions(1, WAIT_MS)
        assert first.send("decision.basket", b"still here")
        assert receiver.recv_multipart() == [b"decision.basket", b"still here"]


def test_the_socket_file_goes_with_the_publisher_and_a_dead_one_is_replaced(endpoint: str, tmp_path: Path) -> None:
    with ZmqPublisher(endpoint, 10):
        files = list(tmp_path.iterdir())
        assert len(files) == 1
    assert list(tmp_path.iterdir()) == []
    with socket_module.socket(socket_module.AF_UNIX) as dead:
        dead.bind(endpoint.removeprefix("ipc://"))
    with ZmqPublisher(endpoint, 10) as publisher:
        assert publisher.send("decision.basket", b"x")
