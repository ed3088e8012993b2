"""Doors on real sockets: who is listed comes in, nobody else does, and nobody is disturbed by who does not."""

from __future__ import annotations

import logging
import os
import socket as socket_module
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import zmq
from background import in_background, until
from key_parts import allow, connected, door, free_port, pairs

from edge.keys import door as door_module
from edge.keys.allowed import AllowList
from edge.publish.zmq_pub import ZmqPublisher


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    with zmq.Context() as context:
        yield context


@pytest.fixture
def endpoint() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


def heard(publisher: ZmqPublisher, receiver: zmq.Socket) -> None:
    """Publish until the receiver has got something."""

    def tried() -> bool:
        publisher.send("decision.basket", b"x")
        return bool(receiver.poll(10, zmq.POLLIN))

    until(tried)


def nothing_comes(publisher: ZmqPublisher, receiver: zmq.Socket, tries: int = 30) -> None:
    for _ in range(tries):
        publisher.send("decision.basket", b"x")
        assert not receiver.poll(10, zmq.POLLIN)


def test_who_is_listed_gets_everything(tmp_path: Path, endpoint: str, context: zmq.Context) -> None:
    own, till = pairs(tmp_path, "cart-1", "till-3")
    gate = door(tmp_path, own, till)
    with (
        ZmqPublisher(endpoint, 1000, gate) as publisher,
        connected(context, zmq.SUB, endpoint, till, own.public) as sub,
    ):
        assert publisher.wait_for_subscriptions(1, 20_000)
        for number in range(500):
            assert publisher.send("decision.basket", str(number).encode())
        assert [sub.recv_multipart()[1] for _ in range(500)] == [str(number).encode() for number in range(500)]
    assert sum(gate.refused().values()) == 0


def test_strangers_get_nothing_are_counted_and_disturb_nobody(
    tmp_path: Path, endpoint: str, context: zmq.Context, caplog: pytest.LogCaptureFixture
) -> None:
    own, till, stranger, other = pairs(tmp_path, "cart-1", "till-3", "stranger", "other-cart")
    gate = door(tmp_path, own, till)
    with (
        caplog.at_level(logging.INFO, "edge.keys"),
        ZmqPublisher(endpoint, 1000, gate) as publisher,
        connected(context, zmq.SUB, endpoint, till, own.public) as good,
        connected(context, zmq.SUB, endpoint, None) as plain,
        connected(context, zmq.SUB, endpoint, stranger, own.public) as unlisted,
        connected(context, zmq.SUB, endpoint, till, other.public) as mistaken,
    ):
        heard(publisher, good)
        until(lambda: all(gate.refused()[reason] for reason in ("not_listed", "wrong_key")))
        until(lambda: gate.refused()["plain"] or gate.refused()["broken_off"])  # whoever is first to hang up
        for receiver in (plain, unlisted, mistaken):
            nothing_comes(publisher, receiver)
        heard(publisher, good)
    text = caplog.text
    assert "publish: till-3 came in from 127.0.0.1" in text
    assert "publish: refused a key that is in no file of the list: 127.0.0.1, fingerprint " in text
    assert "stranger" not in text, "its name is not known here"
    assert text.count("a peer that takes us for somebody with another public key") == 1, "once a minute, however often"


def test_a_key_that_is_taken_out_is_refused_and_one_that_is_added_comes_in_without_a_restart(
    tmp_path: Path, endpoint: str, context: zmq.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "HANDSHAKE_MS", 300)  # how soon who was refused dials again
    own, till, late = pairs(tmp_path, "cart-1", "till-3", "late")
    gate = door(tmp_path, own, till)
    with (
        ZmqPublisher(endpoint, 1000, gate) as publisher,
        connected(context, zmq.SUB, endpoint, late, own.public) as sub,
    ):
        until(lambda: gate.refused()["not_listed"])
        nothing_comes(publisher, sub)
        allow(late, tmp_path / "allowed")
        heard(publisher, sub)  # the same socket
        (tmp_path / "allowed" / "till-3.pub").unlink()
        before = gate.refused()["not_listed"]
        with connected(context, zmq.SUB, endpoint, till, own.public) as removed:
            until(lambda: gate.refused()["not_listed"] > before)
            nothing_comes(publisher, removed)
        heard(publisher, sub)


def test_however_many_come_at_once_the_door_rests_after_each(
    tmp_path: Path, endpoint: str, context: zmq.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shares the interpreter with the frame loop: forty peers in a row must not hold that up."""
    own, till = pairs(tmp_path, "cart-1", "till-3")
    gate, did = door(tmp_path, own, till), []
    answer = gate._answer_or_refuse
    monkeypatch.setattr(gate, "_answer_or_refuse", lambda request: did.append("answer") or answer(request))
    monkeypatch.setattr(door_module, "time", SimpleNamespace(sleep=lambda _: did.append("rest")))
    with ExitStack() as peers, ZmqPublisher(endpoint, 1000, gate) as publisher:
        for _ in range(40):
            peers.enter_context(connected(context, zmq.SUB, endpoint, till, own.public))
        assert publisher.wait_for_subscriptions(40, 20_000)
    assert did.count("answer") == 40
    assert ("answer", "answer") not in pairwise(did)


def test_where_the_list_cannot_be_read_nobody_comes_in(tmp_path: Path, endpoint: str, context: zmq.Context) -> None:
    own, till = pairs(tmp_path, "cart-1", "till-3")
    gate = door(tmp_path, own, till)
    with ZmqPublisher(endpoint, 1000, gate) as publisher:
        (tmp_path / "allowed").rename(tmp_path / "elsewhere")
        with connected(context, zmq.SUB, endpoint, till, own.public) as sub:
            until(lambda: gate.refused()["list_unreadable"])
            nothing_comes(publisher, sub)


def test_where_nobody_answers_at_the_door_nobody_comes_in(tmp_path: Path, endpoint: str, context: zmq.Context) -> None:
    own, till = pairs(tmp_path, "cart-1", "till-3")
    gate = door(tmp_path, own, till)
    with ZmqPublisher(endpoint, 1000, gate) as publisher:
        gate.close()  # as if its thread had ended
        with connected(context, zmq.SUB, endpoint, till, own.public) as sub:
            nothing_comes(publisher, sub)


def test_who_listens_on_the_way_reads_nothing(tmp_path: Path, endpoint: str, context: zmq.Context) -> None:
    """Between the two ends stands a listener that sees every byte."""
    own, till = pairs(tmp_path, "cart-1", "till-3")
    seen = bytearray()
    outside = free_port()
    with ZmqPublisher(endpoint, 1000, door(tmp_path, own, till)) as publisher, socket_module.socket() as server:
        server.bind(("127.0.0.1", outside))
        server.listen()
        with connected(context, zmq.SUB, f"tcp://127.0.0.1:{outside}", till, own.public) as sub:
            client, _ = server.accept()
            inner = socket_module.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))
            for source, target in ((client, inner), (inner, client)):
                threading.Thread(target=pump, args=(source, target, seen), daemon=True).start()
            assert publisher.wait_for_subscriptions(1, 20_000)
            assert publisher.send("decision.basket", b"a carton of oat drink, 1 litre")
            assert sub.recv_multipart()[1] == b"a carton of oat drink, 1 litre"
        client.close()
        inner.close()
    assert len(seen) > 500
    assert b"oat drink" not in seen
    assert b"decision" not in seen


def pump(source: socket_module.socket, target: socket_module.socket, seen: bytearray) -> None:
    try:
        while data := source.recv(4096):
            seen.extend(data)
            target.sendall(data)
    except OSError:
        return


def test_doors_leak_no_descriptor_and_no_thread(tmp_path: Path, endpoint: str) -> None:
    own, till = pairs(tmp_path, "cart-1", "till-3")
    gate = door(tmp_path, own, till)
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        with ZmqPublisher(endpoint, 10, gate) as publisher:
            publisher.send("decision.basket", b"x")
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


HELLO_OF_NOBODY = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE" + bytes(48) + b"\4\xc8\5HELLO" + bytes(194)


@contextmanager
def knocking(endpoint: str) -> Iterator[None]:
    """Strangers who send what is no handshake, as fast as they can."""

    def knock(stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with socket_module.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])), 1) as raw:
                    raw.sendall(HELLO_OF_NOBODY)
            except OSError:
                stop.wait(0.001)

    with in_background(knock):
        yield


def test_a_door_that_was_closed_does_not_stop_the_others(tmp_path: Path, endpoint: str, context: zmq.Context) -> None:
    """libzmq's thread waits for ever to tell of a failed handshake where it was not told to stop telling."""
    own, till = pairs(tmp_path, "cart-1", "till-3")
    gate = door(tmp_path, own, till)
    with (
        ZmqPublisher(endpoint, 1000, gate) as publisher,
        connected(context, zmq.SUB, endpoint, till, own.public) as sub,
        knocking(endpoint),
    ):
        heard(publisher, sub)
        until(lambda: gate.refused()["malformed"] > 20)
        gate.close()
        for number in range(200):
            assert publisher.send("decision.basket", str(number).encode())
            while sub.recv_multipart()[1] != str(number).encode():
                pass


def test_a_bug_at_the_door_lets_nobody_in_and_stops_nobody_who_is_in(
    tmp_path: Path, endpoint: str, context: zmq.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, till, late = pairs(tmp_path, "cart-1", "till-3", "late")
    gate = door(tmp_path, own, till, late)
    with (
        ZmqPublisher(endpoint, 1000, gate) as publisher,
        connected(context, zmq.SUB, endpoint, till, own.public) as sub,
    ):
        heard(publisher, sub)
        monkeypatch.setattr(AllowList, "name_of", lambda *_: 1 / 0)
        with connected(context, zmq.SUB, endpoint, late, own.public) as refused:
            nothing_comes(publisher, refused)
        heard(publisher, sub)
