"""Subscribers by the dozen in one process: most read, some come and go, one never reads. Ends on SIGTERM.

python -m benchmarks.reliability.crowd ENDPOINT COUNT
"""

from __future__ import annotations

import signal
import sys
import threading
import time

import zmq

CHURN_S = 0.2
CHURNING = 8  # every so many-th comes and goes


def main() -> None:
    """Subscribe until told to stop."""
    endpoint, count = sys.argv[1], int(sys.argv[2])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with zmq.Context() as context:
        stuck = _subscriber(context, endpoint, high_water_mark=1)
        sockets = [_subscriber(context, endpoint) for _ in range(count - 1)]
        poller, changed_s = _poller(sockets), time.monotonic()
        print("subscribed", flush=True)
        while not stop.is_set():
            for socket, _ in poller.poll(50):
                socket.recv_multipart()
            if time.monotonic() - changed_s > CHURN_S:
                for number in range(0, len(sockets), CHURNING):
                    sockets[number].close()
                    sockets[number] = _subscriber(context, endpoint)
                poller, changed_s = _poller(sockets), time.monotonic()
        for socket in (stuck, *sockets):
            socket.close()


def _subscriber(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, high_water_mark: int = 1000
) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, high_water_mark)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(endpoint)
    return socket


def _poller(sockets: list[zmq.Socket[bytes]]) -> zmq.Poller:
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return poller


if __name__ == "__main__":
    main()
