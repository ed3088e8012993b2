"""A line: one socket that connects, encrypted by CURVE where it has a caller, and comes back also after a refusal.

libzmq dials again after a connection was lost, but never after a refusal it takes for final: the other end was plain,
or answered for somebody else. Whoever is told to wait there would wait for ever, so the line is laid anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from edge.keys.handshakes import FINAL, Handshakes
from edge.keys.pair import KeyPair
from edge.telling import Telling

__all__ = ["Caller", "Line"]

REDIAL_NS = 5_000_000_000

_TOLD = {
    "mechanism": "one end has keys and the other has not; give both keys, or neither",
    "cryptographic": "it is not who its public key says; give the public key of whom is called",
    "not_allowed": "it does not let this key in; edge-keys allow, over there, does",
    "malformed": "it does not keep to the protocol; is another program there?",
    "broken_off": "it broke off; is our key allowed there, and is the public key that we have its own?",
}

log = logging.getLogger("edge.keys")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who we are, and the public key (Z85) of the only one we speak with."""

    own: KeyPair
    peer: bytes

    def secure(self, socket: zmq.Socket[bytes]) -> None:
        """Encrypt a socket that is not connected yet."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.peer)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.own.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)


class Line:
    """A socket to `endpoint`, made by `make` from a context; raises ZMQError where libzmq does not take the endpoint.

    `socket` is another one after `tend`, when it was laid anew; what was on its way through the old one is lost.
    `trouble` is the last refusal in words.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        caller: Caller | None,
        make: Callable[[zmq.Context[zmq.Socket[bytes]]], zmq.Socket[bytes]],
        clock_ns: Callable[[], int],
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        self._caller = caller
        self._make = make
        self._clock_ns = clock_ns
        self._telling = Telling(log, clock_ns)
        self._final = False
        self.trouble = ""
        self._lay()

    def call(self, caller: Caller | None) -> None:
        """Go on with these keys: where they are others than before, the line is laid anew."""
        if caller != self._caller:
            self.close()
            self._caller, self.trouble = caller, ""
            self._lay()

    def tend(self) -> None:
        """Tell of refusals, and lay the line anew after a final one, REDIAL_NS after the last time at the earliest."""
        for failure in self._handshakes.failures():
            self.trouble = f"no connection: {_TOLD[failure]}"
            self._telling.warning(failure, f"{self._endpoint}: {self.trouble}")
            self._final |= failure in FINAL
        if self._final and self._clock_ns() - self._laid_ns >= REDIAL_NS:
            self.close()
            self._lay()

    def close(self) -> None:
        """Close the socket; the context stays."""
        while self._handshakes.failures():  # so that libzmq does not wait for room while it is told to stop
            pass
        self._handshakes.stop()
        self._handshakes.close()
        self.socket.close()

    def _lay(self) -> None:
        self._final, self._laid_ns = False, self._clock_ns()
        self.socket = self._make(self._context)
        self._handshakes = Handshakes(self._context, self.socket)
        if self._caller is not None:
            self._caller.secure(self.socket)
        try:
            self.socket.connect(self._endpoint)
        except BaseException:
            self.close()
            raise
