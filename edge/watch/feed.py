"""Receive what a daemon publishes. Connects to an endpoint that need not be there yet, and again after it went away.

ZeroMQ does the reconnecting (every RECONNECT_MS). At most HIGH_WATER_MARK messages wait here; beyond that the publisher
drops, and `seq` shows it. No ZMTP heartbeats: with a bounded receive queue they can abort the process of a reader that
stalls (libzmq 4.3.5). Specification: ZeroMQ RFC 29 (PUBSUB).
"""

from __future__ import annotations

import re
from types import TracebackType

import zmq

from edge.errors import InputError, RuntimeFault
from edge.messages import MAX_PAYLOAD_BYTES

__all__ = ["Feed"]

HIGH_WATER_MARK = 1000
RECONNECT_MS = 250
ENDPOINT = re.compile(r"tcp://[^\s/]+:(?P<port>[0-9]{1,5})|ipc://\S+")


class Feed:
    """Subscribes to every topic of `endpoint` inside `with`; raises InputError for an endpoint that cannot be one."""

    def __init__(self, endpoint: str) -> None:
        found = ENDPOINT.fullmatch(endpoint)
        if found is None or int(found["port"] or 1) not in range(1, 65536):
            raise InputError(f"endpoint {endpoint!r}: expected tcp://HOST:PORT or ipc://PATH, as in publish.decisions")
        self.endpoint = endpoint
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None

    def __enter__(self) -> Feed:
        self._context = zmq.Context(io_threads=1)
        socket = self._socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_PAYLOAD_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        try:
            socket.connect(self.endpoint)
        except zmq.ZMQError as error:
            self._close()
            what = f"endpoint {self.endpoint!r}: {error.strerror}"
            raise InputError(f"{what}; expected tcp://HOST:PORT or ipc://PATH that can be connected to") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def payload(self, timeout_ms: int) -> bytes | None:
        """Return the payload of the next message, or None when none came within `timeout_ms`.

        A message that is not two frames comes as an empty payload, which no decoder takes.
        """
        if self._socket is None:
            raise RuntimeFault("feed used outside `with`; a bug")
        if not self._socket.poll(timeout_ms, zmq.POLLIN):
            return None
        frames = self._socket.recv_multipart()
        return frames[1] if len(frames) == 2 else b""

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._context is not None:
            self._context.term()
            self._context = None
