"""A line comes back after what libzmq takes for final, and says why nothing comes meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zmq
from background import until
from key_parts import door, free_port, pairs

from edge.keys import door as door_module
from edge.keys import line as line_module
from edge.keys.line import Caller, Line
from edge.publish.zmq_pub import ZmqPublisher


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    with zmq.Context() as context:
        yield context


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "REDIAL_NS", 200_000_000)
    monkeypatch.setattr(door_module, "HANDSHAKE_MS", 300)


def subscriber(context: zmq.Context) -> zmq.Socket:
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    return socket


def line_to(context: zmq.Context, endpoint: str, caller: Caller | None) -> closing[Line]:
    return closing(Line(context, endpoint, caller, subscriber, time.monotonic_ns))


def gets(publisher: ZmqPublisher, line: Line) -> None:
    def tried() -> bool:
        line.tend()
        publisher.send("decision.basket", b"x")
        return bool(line.socket.poll(10, zmq.POLLIN))

    until(tried)


def fails(line: Line, words: str) -> None:
    def tried() -> bool:
        line.tend()
        return words in line.trouble

    until(tried)


def test_a_plain_publisher_that_gets_keys_later_is_found_again(tmp_path: Path, context: zmq.Context) -> None:
    own, till = pairs(tmp_path, "cart-1", "till-3")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with line_to(context, endpoint, Caller(till, own.public)) as line:
        with ZmqPublisher(endpoint, 10):
            fails(line, "one end has keys and the other has not")
        with ZmqPublisher(endpoint, 10, door(tmp_path, own, till)) as publisher:
            gets(publisher, line)


def test_other_keys_are_called_with_at_once_and_the_same_ones_disturb_nothing(
    tmp_path: Path, context: zmq.Context
) -> None:
    own, newer, till = pairs(tmp_path, "cart-1", "cart-1-newer", "till-3")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with (
        line_to(context, endpoint, Caller(till, own.public)) as line,
        ZmqPublisher(endpoint, 10, door(tmp_path, newer, till)) as publisher,
    ):
        fails(line, "is the public key that we have its own?")
        line.call(Caller(till, newer.public))
        assert line.trouble == ""
        gets(publisher, line)
        before = line.socket
        line.call(Caller(till, newer.public))
        assert line.socket is before


def test_a_key_that_is_not_let_in_is_told_and_comes_in_when_it_is(tmp_path: Path, context: zmq.Context) -> None:
    own, till = pairs(tmp_path, "cart-1", "till-3")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with (
        ZmqPublisher(endpoint, 10, door(tmp_path, own)) as publisher,
        line_to(context, endpoint, Caller(till, own.public)) as line,
    ):
        fails(line, "is our key allowed there")
        door(tmp_path, own, till)  # adds the key to the folder
        gets(publisher, line)


def test_a_publisher_without_our_public_key_is_never_believed(tmp_path: Path, context: zmq.Context) -> None:
    own, till, impostor = pairs(tmp_path, "cart-1", "till-3", "impostor")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with (
        ZmqPublisher(endpoint, 10, door(tmp_path, impostor, till)) as publisher,
        line_to(context, endpoint, Caller(till, own.public)) as line,
    ):
        fails(line, "is the public key that we have its own")
        for _ in range(20):
            publisher.send("decision.basket", b"lies")
            assert not line.socket.poll(10, zmq.POLLIN)


def test_a_line_without_keys_to_a_publisher_without_keys_is_quiet(tmp_path: Path, context: zmq.Context) -> None:
    endpoint = f"ipc://{tmp_path}/decisions"
    with line_to(context, endpoint, None) as line:
        with ZmqPublisher(endpoint, 10) as publisher:
            gets(publisher, line)
        assert line.trouble == ""
