"""The HTTP server with real sockets: nobody who asks can hold it, whatever he does."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from random import Random

import pytest
from full_health import SECOND_NS, full_health, served, usual_camera

from edge.capture.memory import MemorySource
from edge.config import MetricsConfig
from edge.errors import PublishError
from edge.health import Health
from edge.metrics import MetricsServer, server

NOW_NS = 100 * SECOND_NS


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with served(full_health(), [usual_camera("basket")], NOW_NS) as base:
        yield "127.0.0.1", int(base.rpartition(":")[2])


def ask(address: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    return answer


def metrics_threads() -> int:
    return sum("process_request" in thread.name for thread in threading.enumerate())


def test_a_head_has_no_body_and_a_stranger_is_told_what_there_is(address: tuple[str, int]) -> None:
    with closing(http.client.HTTPConnection(*address)) as connection:
        connection.request("HEAD", "/metrics")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 404
        assert b"/readyz" in answer.read()
        connection.request("POST", "/metrics", body=b"x")
        assert connection.getresponse().status == 501


def test_a_long_page_is_chunked_so_that_its_end_is_known(address: tuple[str, int]) -> None:
    answer = ask(address, b"GET /metrics/classes HTTP/1.1\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in answer
    assert answer.endswith(b"\r\n0\r\n\r\n")
    old = ask(address, b"GET /metrics/classes HTTP/1.0\r\n\r\n")
    assert b"chunked" not in old
    assert old.endswith(b"\n")


def test_those_who_hold_all_places_delay_nobody_for_ever(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LIFE_S", 4.0)
    held = [socket.create_connection(address, timeout=30) for _ in range(server.MAX_ASKING)]
    try:
        for connection in held:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: slow")  # and never the rest
        assert ask(address, b"").startswith(b"HTTP/1.1 503 ")
        assert metrics_threads() <= server.MAX_ASKING
        for connection in held:
            assert connection.recv(65_536) == b"", "its time is over"
    finally:
        for connection in held:
            connection.close()
    for _ in range(200):
        if ask(address, b"GET /healthz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 "):
            return
        time.sleep(0.05)
    pytest.fail("the places did not become free")


def test_one_who_drips_is_ended_too(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIFE_S", 0.5)
    with socket.create_connection(address, timeout=30) as connection, pytest.raises(OSError):  # noqa: PT011
        for _ in range(600):
            connection.sendall(b"G")
            time.sleep(0.05)


def test_the_end_does_not_wait_for_those_who_ask() -> None:
    with served(full_health(), [], NOW_NS) as base:
        slow = socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])), timeout=30)
    with slow, suppress(ConnectionResetError):  # it may not have been accepted yet
        assert slow.recv(10) == b""


def test_a_page_that_cannot_be_made_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    health = Health(0)
    health.outbox = lambda: 1 / 0  # type: ignore[assignment, return-value]
    with served(health, [], NOW_NS) as base:
        assert ask(("127.0.0.1", int(base.rpartition(":")[2])), b"GET /metrics HTTP/1.1\r\n\r\n") == b""
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_taken_port_is_one_clear_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = MetricsConfig(listen=f"127.0.0.1:{other.getsockname()[1]}")
        cameras: list[MemorySource] = []
        with pytest.raises(PublishError, match=r"free the port or change metrics\.listen"):
            MetricsServer(config, Health(0), cameras, lambda: 0).__enter__()


@pytest.mark.parametrize("seed", range(4))
def test_no_bytes_make_it_stumble(address: tuple[str, int], caplog: pytest.LogCaptureFixture, seed: int) -> None:
    random = Random(seed)
    good = b"GET /metrics/classes?x=%41 HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n"
    for _ in range(60):
        request = bytearray(good)
        for _ in range(random.randrange(1, 12)):
            request[random.randrange(len(request))] = random.randrange(256)
        with suppress(OSError), socket.create_connection(address, timeout=30) as connection:
            connection.sendall(request[: random.randrange(len(request))] if random.random() < 0.3 else request)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
    assert not caplog.records
    assert ask(address, b"GET /healthz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 ")
