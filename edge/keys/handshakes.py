"""What became of the handshakes of one socket: libzmq's own word, by reason. Nothing here blocks.

libzmq's own thread waits for room to tell it, and where nobody listens any more it waits for ever, with every
connection of the socket. So who listens has to go on until `stop`, and what it listens with is closed after that.

Bytes that are no ZMTP at all are closed by libzmq without a word, so they are not counted.
"""

from __future__ import annotations

import itertools
import struct

import zmq

__all__ = ["FINAL", "Handshakes"]

MAX_EVENTS = 50  # taken at a time; more wait
_EVENT = struct.Struct("=hi")
_numbers = itertools.count()

_PROTOCOL = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "mechanism",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "cryptographic",
}
# After these libzmq 4.3.5 never dials again by itself, whatever changes at the other end.
FINAL = frozenset({"mechanism", "cryptographic", "malformed", "not_allowed"})


class Handshakes:
    """Watches `socket`, which belongs to `context` and is not bound or connected yet."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        address = f"inproc://handshakes-{next(_numbers)}"
        kinds = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        socket.monitor(address, kinds | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        self.events = context.socket(zmq.PAIR)
        self.events.setsockopt(zmq.LINGER, 0)
        self.events.connect(address)

    def failures(self) -> list[str]:
        """Return why handshakes failed since the last call: mechanism (the other end is plain, or we are),
        cryptographic (it takes us for somebody with another key), not_allowed, malformed, or broken_off.
        """
        found: list[str] = []
        while len(found) < MAX_EVENTS and self.events.poll(0, zmq.POLLIN):
            head, *_ = self.events.recv_multipart()
            event, value = _EVENT.unpack(head)
            if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                found.append(_PROTOCOL.get(value, "malformed"))
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                found.append("not_allowed")
            elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                found.append("broken_off")
        return found

    def stop(self) -> None:
        """Let libzmq tell nothing any more: by the thread that has the watched socket, before that is closed."""
        self._socket.disable_monitor()

    def close(self) -> None:
        """Forget what is there; after `stop`, by the thread that asked for failures."""
        self.events.close()
