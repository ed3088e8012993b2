"""The collector's side of the outbox's wire, by hand, and what a courier is fed, for tests of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import zmq

from edge.outbox.courier import Courier
from edge.outbox.wire import acknowledgement, refusal, row_of
from edge.types import Route

WAIT_MS = 20_000


@contextmanager
def collecting(endpoint: str) -> Iterator[zmq.Socket]:
    """A socket bound where a collector is expected."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(endpoint)
        yield socket


def take(collector: zmq.Socket, count: int, answer: bool = True) -> list[bytes]:
    got = []
    while len(got) < count:
        sender, row, payload = collector.recv_multipart()
        got.append(payload)
        if answer:
            collector.send_multipart([sender, acknowledgement([row_of(row)])])
    return got


def answer(
    collector: zmq.Socket,
    takes: Callable[[bytes], bool],
    until_taken: Sequence[bytes] = (),
    until_refused: int = 0,
) -> None:
    """Acknowledge what it takes and refuse the rest, as a collector does, until it had all these or refused so many."""
    taken: set[bytes] = set()
    refused_rows = 0
    while not (taken >= set(until_taken) and refused_rows >= until_refused):
        sender, row, payload = collector.recv_multipart()
        if takes(payload):
            taken.add(payload)
            collector.send_multipart([sender, acknowledgement([row_of(row)])])
        else:
            refused_rows += 1
            collector.send_multipart([sender, *refusal("not you", [row_of(row)])])


def put_many(courier: Courier, count: int, first: int = 0) -> list[bytes]:
    sent = [str(number).encode() for number in range(first, first + count)]
    assert all(courier.put(Route.ACCEPT, payload) for payload in sent)
    return sent


def drained(collector: zmq.Socket) -> bool:
    """Take and acknowledge what is there; say whether anything was."""
    found = False
    while collector.poll(50):
        take(collector, 1)
        found = True
    return found
