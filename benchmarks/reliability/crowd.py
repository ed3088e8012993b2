"""Subscribers by the dozen in one process: most read, some come and go, one never reads. Ends on SIGTERM.

python -m benchmarks.reliability.crowd ENDPOINT COUNT [KEYS]

KEYS is a folder that `write_keys` filled. With it all are encrypted, and two more knock without end: one whose key is
on no list, and one who expects another key of the daemon.

Subscribers are on other machines; here they run behind everything else (nice 19), so that what a frame takes longer is
the daemon's own work for them, not theirs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import zmq

from edge.config import KeysConfig
from edge.keys.line import Caller
from edge.keys.pair import make_pair, read_pair, read_public, write_new

__all__ = ["CHURNING", "listed", "write_keys"]

Secure: TypeAlias = Callable[[zmq.Socket[bytes]], None]

BEHIND = 19
CHURN_S = 0.2
CHURNING = 8  # every so many-th comes and goes


def write_keys(folder: Path) -> KeysConfig:
    """Make the keys of a cart, of a till on its list and of a stranger; return what the cart is told."""
    for name in ("cart", "till", "stranger"):
        make_pair(name, folder)
    write_new(folder / "subscribers" / "till.pub", (folder / "till.pub").read_text(encoding="utf-8"), 0o644)
    return KeysConfig(own=f"{folder}/cart.secret", subscribers=f"{folder}/subscribers")


def listed(folder: Path) -> Caller:
    """Return who is let in."""
    return Caller(read_pair(folder / "till.secret"), read_public(folder / "cart.pub"))


def main() -> None:
    """Subscribe until told to stop."""
    endpoint, count = sys.argv[1], int(sys.argv[2])
    keys = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    os.nice(BEHIND)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    secure: Secure = listed(keys).secure if keys else lambda _: None
    with zmq.Context() as context:

        def subscriber(secured: Secure = secure, high_water_mark: int = 1000) -> zmq.Socket[bytes]:
            return _subscriber(context, endpoint, secured, high_water_mark)

        silent = [subscriber(high_water_mark=1), *(subscriber(caller.secure) for caller in _strangers(keys))]
        sockets = [subscriber() for _ in range(count - 1)]
        poller, changed_s = _poller(sockets), time.monotonic()
        print("subscribed", flush=True)
        while not stop.is_set():
            for socket, _ in poller.poll(50):
                socket.recv_multipart()
            if time.monotonic() - changed_s > CHURN_S:
                for number in range(0, len(sockets), CHURNING):
                    sockets[number].close()
                    sockets[number] = subscriber()
                poller, changed_s = _poller(sockets), time.monotonic()
        for socket in (*silent, *sockets):
            socket.close()


def _strangers(keys: Path | None) -> list[Caller]:
    if keys is None:
        return []
    stranger = read_pair(keys / "stranger.secret")
    return [Caller(stranger, read_public(keys / "cart.pub")), Caller(read_pair(keys / "till.secret"), stranger.public)]


def _subscriber(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, secure: Secure, high_water_mark: int
) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, high_water_mark)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    secure(socket)
    socket.connect(endpoint)
    return socket


def _poller(sockets: list[zmq.Socket[bytes]]) -> zmq.Poller:
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return poller


if __name__ == "__main__":
    main()
