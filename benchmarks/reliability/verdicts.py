"""A verdict over the socket, as a till sends it."""

from __future__ import annotations

import msgspec
import zmq

__all__ = ["tell"]

WAIT_MS = 20_000


def tell(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, decision_id: str, sku: str) -> str:
    """Say what a decision was about, and return the result of the answer; "" where none came."""
    with context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        socket.connect(endpoint)
        socket.send(msgspec.json.encode({"decision_id": decision_id, "true_sku": sku, "source": "reviewer"}))
        try:
            answer: dict[str, str] = msgspec.json.decode(socket.recv())
        except zmq.Again:
            return ""
        return answer["result"]
