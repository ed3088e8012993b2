"""Which endpoints stay on this machine."""

from __future__ import annotations

import pytest

from edge.address import is_local


@pytest.mark.parametrize(
    "endpoint", ["ipc:///run/x", "tcp://127.0.0.1:5556", "tcp://127.9.9.9:1", "tcp://localhost:1", "tcp://[::1]:5556"]
)
def test_local(endpoint: str) -> None:
    assert is_local(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://*:5556", "tcp://0.0.0.0:1", "tcp://10.0.0.3:5", "tcp://shop.example:5", "tcp://[::]:5", "tcp://eth0:5"],
)
def test_not_local(endpoint: str) -> None:
    assert not is_local(endpoint)
