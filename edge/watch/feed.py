"""Receive what a daemon publishes. Connects to an endpoint that need not be there yet, and again after it went away.

ZeroMQ does the reconnecting (after RECONNECT_MS). At most HIGH_WATER_MARK messages wait here; beyond that the publisher
drops, and `seq` shows it. No ZMTP heartbeats: with a bounded receive queue they can abort the process of a reader that
stalls (libzmq 4.3.5). With a caller the line is encrypted and the publisher has to be the one it has the key of; who is
refused is told why and dials again (`edge.keys.line`). Specification: ZeroMQ RFC 29 (PUBSUB).
"""

from __future__ import annotations

import re
import time
from types import TracebackType

import zmq

from edge.errors import InputError, RuntimeFault
from edge.keys.line import Caller, Line
from edge.messages import MAX_PAYLOAD_BYTES

__all__ = ["Feed", "check_endpoint"]

HIGH_WATER_MARK = 1000
RECONNECT_MS = 250  # doubled after each attempt that failed
RECONNECT_MOST_MS = 2_000
ENDPOINT = re.compile(r"tcp://[^\s/]+:(?P<port>[0-9]{1,5})|ipc://\S+")


def check_endpoint(endpoint: str) -> None:
    """Raise InputError for an endpoint that cannot be one."""
    found = ENDPOINT.fullmatch(endpoint)
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        raise InputError(f"endpoint {endpoint!r}: expected tcp://HOST:PORT or ipc://PATH, as in publish.decisions")


class Feed:
    """Subscribes to every topic of `endpoint` inside `with`; raises InputError for an endpoint that cannot be one."""

    def __init__(self, endpoint: str, caller: Caller | None = None) -> None:
        check_endpoint(endpoint)
        self.endpoint = endpoint
        self._caller = caller
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._line: Line | None = None

    def __enter__(self) -> Feed:
        self._context = zmq.Context(io_threads=1)
        try:
            self._line = Line(self._context, self.endpoint, self._caller, _subscriber, time.monotonic_ns)
        except zmq.ZMQError as error:
            self._close()
            what = f"endpoint {self.endpoint!r}: {error.strerror}"
            raise InputError(f"{what}; expected tcp://HOST:PORT or ipc://PATH that can be connected to") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def trouble(self) -> str:
        """Why the last attempt to connect failed; empty where none did, or where nobody listens."""
        return self._line.trouble if self._line is not None else ""

    def payload(self, timeout_ms: int) -> bytes | None:
        """Return the payload of the next message, or None when none came within `timeout_ms`.

        A message that is not two frames comes as an empty payload, which no decoder takes.
        """
        if self._line is None:
            raise RuntimeFault("feed used outside `with`; a bug")
        self._line.tend()
        if not self._line.socket.poll(timeout_ms, zmq.POLLIN):
            return None
        frames = self._line.socket.recv_multipart()
        return frames[1] if len(frames) == 2 else b""

    def _close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._context is not None:
            self._context.term()
            self._context = None


def _subscriber(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PAYLOAD_BYTES)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MOST_MS)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    return socket
