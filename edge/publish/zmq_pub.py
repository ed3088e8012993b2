"""Publish on a ZeroMQ XPUB socket: live, lossy by contract, never blocking the frame loop.

A plain PUB socket drops messages without an error. With XPUB_NODROP a subscriber whose pipe has filled up makes the
send fail with EAGAIN: `send` is False and the caller counts it. The message is then sent without XPUB_NODROP, so that
all others get it: one who never reads must not silence the rest. What he misses from then on, until he reads, only his
own gaps in `seq` tell. No ZMTP heartbeats: they can abort the process of a subscriber that reads too slowly (libzmq
4.3.5); TCP keepalive and the health topic serve.
Specification: ZeroMQ RFC 29 (PUBSUB).

Encrypted, and open to the door's list alone, where there is a door (`edge.keys`); plain otherwise. What subscribers
send is bounded in size, and read a bounded number at a time: no subscriber can hold the loop up.

An ipc path is never taken from a file or from another publisher (`edge.listening`), and goes with this one.
"""

from __future__ import annotations

import zmq

from edge.errors import PublishError
from edge.keys.door import Door
from edge.listening import refuse_old_protocols, refuse_taken, remove
from edge.ports import Publisher

__all__ = ["ZmqPublisher"]

LINGER_MS = 1000
MAX_SUBSCRIPTION_BYTES = 4_096
MAX_NOTED = 1_000  # subscriptions read at a time


class ZmqPublisher(Publisher):
    """Binds `endpoint` on entry, behind `door`; `high_water_mark` messages may wait for each subscriber."""

    def __init__(self, endpoint: str, high_water_mark: int, door: Door | None = None) -> None:
        self._endpoint = endpoint
        self._high_water_mark = high_water_mark
        self._door = door
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._is_bound = False
        self.subscriptions = 0

    def _open(self) -> None:
        refuse_taken(self._endpoint, "publish.decisions")
        self._context = zmq.Context(io_threads=1)
        publisher = self._socket = self._context.socket(zmq.XPUB)
        publisher.setsockopt(zmq.XPUB_NODROP, 1)
        publisher.setsockopt(zmq.XPUB_VERBOSER, 1)
        publisher.setsockopt(zmq.SNDHWM, self._high_water_mark)
        publisher.setsockopt(zmq.LINGER, LINGER_MS)
        publisher.setsockopt(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION_BYTES)
        publisher.setsockopt(zmq.TCP_KEEPALIVE, 1)
        if self._door is not None:
            self._door.guard(self._context, publisher)
        else:
            refuse_old_protocols(publisher)
        try:
            publisher.bind(self._endpoint)
        except zmq.ZMQError as error:
            self._close()
            message = f"cannot publish on {self._endpoint}: {error.strerror}; free the port or change publish.decisions"
            raise PublishError(message) from None
        self._is_bound = True

    def _close(self) -> None:
        if self._door is not None:
            self._door.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._context is not None:
            self._context.term()
            self._context = None
            if self._is_bound:
                remove(self._endpoint)
            self._is_bound = False

    def _send(self, topic: str, payload: bytes) -> bool:
        if self._socket is None:
            raise PublishError("publisher used outside `with`; a bug")
        self._note_subscriptions(self._socket)
        frames = [topic.encode(), payload]
        try:
            self._socket.send_multipart(frames, flags=zmq.NOBLOCK)
        except zmq.Again:
            self._socket.setsockopt(zmq.XPUB_NODROP, 0)
            self._socket.send_multipart(frames, flags=zmq.NOBLOCK)
            self._socket.setsockopt(zmq.XPUB_NODROP, 1)
            return False
        return True

    def wait_for_subscriptions(self, count: int, timeout_ms: int) -> bool:
        """Wait until `count` subscriptions have come; False when they did not within `timeout_ms`."""
        if self._socket is None:
            raise PublishError("publisher used outside `with`; a bug")
        while self.subscriptions < count:
            if not self._socket.poll(timeout_ms, zmq.POLLIN):
                return False
            self._note_subscriptions(self._socket)
        return True

    def _note_subscriptions(self, socket: zmq.Socket[bytes]) -> None:
        """Read what subscribers said: 1 + topic subscribes, 0 + topic unsubscribes."""
        for _ in range(MAX_NOTED):
            if not socket.poll(0, zmq.POLLIN):
                return
            message: bytes = socket.recv()
            self.subscriptions += 1 if message[:1] == b"\x01" else -1
