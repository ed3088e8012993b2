"""An outbox's file, and the socket of the collector that it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from outbox_peer import collecting

from edge.outbox.store import Limits, Store


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/collector"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "outbox.sqlite", Limits(100_000, 1 << 28)) as opened:
        yield opened


@pytest.fixture
def collector(endpoint: str) -> Iterator[zmq.Socket]:
    with collecting(endpoint) as socket:
        yield socket
