"""Where a daemon under test publishes, and who listens there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

WAIT_MS = 20_000


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/decisions"


@pytest.fixture
def subscriber(endpoint: str) -> Iterator[zmq.Socket]:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(endpoint)
        yield socket
