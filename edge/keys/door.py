"""A door: one bound socket, encrypted by CURVE, through which comes in who is on its list, and nobody else.

A thread of its own answers ZAP (RFC 27), which libzmq asks once for each new connection, and counts who was refused and
why. The frame loop has no part in it, and shares the interpreter with it: so the thread answers one at a time and rests
in between, two hundred a second, however many come at once. Where it does not answer, libzmq lets nobody in
(ZAP_ENFORCE_DOMAIN).

A key that is not listed is answered 300, "not now", not 400, "never": libzmq then keeps the connection without a word
until HANDSHAKE_MS are over, and the other end dials again. After a 400 a ZeroMQ peer never dials again, so a key that
is allowed later would need a restart at the other end. Who was let in stays until its connection ends; libzmq keeps its
key with every message (the User-Id of RFC 27), so that a reader can ask what the list says of it now.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import zmq
from zmq.utils import z85

from edge.errors import InputError
from edge.keys.allowed import AllowList
from edge.keys.handshakes import Handshakes
from edge.keys.pair import KeyPair, fingerprint
from edge.telling import Telling

__all__ = ["REFUSALS", "Door"]

ZAP = "inproc://zeromq.zap.01"
TICK_MS = 100
HANDSHAKE_MS = 5_000  # a connection that has not shown its key by then is closed
JOIN_S = 5.0
REST_S = 0.005  # after each answer, or each look at failures

# reason -> what it means to a person
REFUSALS: dict[str, str] = {
    "not_listed": "a key that is in no file of the list",
    "list_unreadable": "the folder of the list cannot be read, so nobody is let in",
    "plain": "a peer without keys",  # where it hangs up first, it counts as broken_off
    "wrong_key": "a peer that takes us for somebody with another public key",
    "malformed": "a peer that does not keep to the protocol",
    "our_failure": "somebody because of a bug here",
    "broken_off": "a peer that left, or did not speak, before it had shown its key",
}
_FAILURES = {"mechanism": "plain", "cryptographic": "wrong_key", "malformed": "malformed", "broken_off": "broken_off"}

log = logging.getLogger("edge.keys")


class Door:
    """The door of the socket called `name`. `own` says who we are, `allowed` who may come in."""

    def __init__(self, name: str, own: KeyPair, allowed: AllowList, clock_ns: Callable[[], int]) -> None:
        self.name = name
        self._own = own
        self._allowed = allowed
        self._clock_ns = clock_ns
        self._telling = Telling(log, clock_ns)
        self._refused = Counter(dict.fromkeys(REFUSALS, 0))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._handshakes: Handshakes | None = None

    def refused(self) -> dict[str, int]:
        """Return how many connections were refused since the start, by reason (REFUSALS)."""
        return dict(self._refused)

    def name_of(self, user_id: str) -> str | None:
        """Return the name that the list has now for whoever sent a frame with this User-Id, None where it has none any
        more; for any thread. Raises InputError where the list cannot be read.
        """
        return self._allowed.name_of(z85.decode(user_id), self._clock_ns())

    def guard(self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes]) -> None:
        """Put the door before `socket`, which is not bound yet. `context` may hold no other door."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._own.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, self.name.encode())
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        requests = context.socket(zmq.REP)
        requests.setsockopt(zmq.LINGER, 0)
        requests.bind(ZAP)
        handshakes = self._handshakes = Handshakes(context, socket)
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._run, args=(requests, handshakes), name=f"door-{self.name}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread; nobody comes in from here on. By the thread that has the socket, before that is closed."""
        if self._handshakes is not None:
            self._handshakes.stop()
            self._handshakes = None
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)
            self._thread = None

    def _run(self, requests: zmq.Socket[bytes], handshakes: Handshakes) -> None:
        poller = zmq.Poller()
        poller.register(requests, zmq.POLLIN)
        poller.register(handshakes.events, zmq.POLLIN)
        while not self._stop.is_set():
            poller.poll(TICK_MS)
            if requests.poll(0, zmq.POLLIN):
                requests.send_multipart(self._answer_or_refuse(requests.recv_multipart()))
            for failure in handshakes.failures():
                if failure in _FAILURES:  # what is not allowed was counted when it was asked
                    self._refuse(_FAILURES[failure], "")
            time.sleep(REST_S)
        requests.close()
        handshakes.close()

    def _answer_or_refuse(self, request: Sequence[bytes]) -> list[bytes]:
        """Return the reply; a bug here lets nobody in, and must not end the thread that the socket waits for."""
        try:
            return self._answer(request)
        except Exception as error:  # noqa: BLE001  # told, counted, and no reason to let the feed stand still
            self._refuse("our_failure", repr(error))
            return _reply(request[1], b"300", b"not now")

    def _answer(self, request: Sequence[bytes]) -> list[bytes]:
        """Return the reply to a request: version, id, domain, address, identity, mechanism, key."""
        _, number, _, address, _, mechanism, *credentials = request
        where = address.decode("ascii", "replace")
        if mechanism != b"CURVE" or len(credentials) != 1:
            self._refuse("plain", where)
            return _reply(number, b"400", b"keys are needed")
        key = credentials[0]
        try:
            name = self._allowed.name_of(key, self._clock_ns())
        except InputError as error:
            self._refuse("list_unreadable", str(error))
            return _reply(number, b"300", b"not now")
        if name is None:
            self._refuse("not_listed", f"{where}, fingerprint {fingerprint(z85.encode(key))}")
            return _reply(number, b"300", b"not now")
        self._telling.info(f"{self.name}: {name} came in from {where}")
        return _reply(number, b"200", b"OK", z85.encode(key))

    def _refuse(self, reason: str, who: str) -> None:
        self._refused[reason] += 1
        self._telling.warning(reason, f"{self.name}: refused {REFUSALS[reason]}{who and f': {who}'}")


def _reply(number: bytes, status: bytes, text: bytes, user_id: bytes = b"") -> list[bytes]:
    return [b"1.0", number, status, text, user_id, b""]
