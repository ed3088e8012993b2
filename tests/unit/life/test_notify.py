"""What is said to the supervisor, over a real datagram socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.life.notify import MAX_STATUS, Notifier


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(address)
        made.setblocking(False)
        yield made, address


def heard(supervisor: socket.socket) -> list[list[str]]:
    found = []
    while True:
        try:
            found.append(supervisor.recv(4096).decode().splitlines())
        except BlockingIOError:
            return found


def test_every_message_is_as_the_protocol_says(supervisor: tuple[socket.socket, str]) -> None:
    listening, address = supervisor
    with Notifier({"NOTIFY_SOCKET": address}) as notifier:
        notifier.ready("2 of 2 cameras")
        notifier.status("a line\nwith a break " + "x" * 1000)
        notifier.reloading()
        notifier.stopping()
        notifier.beat(0)
    ready, status, reloading, stopping = heard(listening)
    assert ready == ["READY=1", "STATUS=2 of 2 cameras"]
    assert len(status) == 1
    assert status[0].startswith("STATUS=a line with a break xxx")
    assert len(status[0]) == len("STATUS=") + MAX_STATUS
    assert reloading[0] == "RELOADING=1"
    assert reloading[1].removeprefix("MONOTONIC_USEC=").isdigit()
    assert stopping[0] == "STOPPING=1"


def test_the_watchdog_is_fed_twice_in_its_time(supervisor: tuple[socket.socket, str]) -> None:
    listening, address = supervisor
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "77"}
    with Notifier(environment, pid=77) as notifier:
        for now_ms in range(0, 2_001, 100):
            notifier.beat(now_ms * 1_000_000)
    assert heard(listening) == [["WATCHDOG=1"]] * 5


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "78"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(
    supervisor: tuple[socket.socket, str], watchdog: dict[str, str]
) -> None:
    listening, address = supervisor
    with Notifier({"NOTIFY_SOCKET": address, **watchdog}, pid=77) as notifier:
        notifier.beat(0)
        assert notifier.watchdog_us is None
    assert heard(listening) == []


def test_a_supervisor_that_does_not_read_or_is_gone_holds_nobody(supervisor: tuple[socket.socket, str]) -> None:
    listening, address = supervisor
    with Notifier({"NOTIFY_SOCKET": address}) as notifier:
        for _ in range(2_000):
            notifier.status("still here")
        assert len(heard(listening)) < 2_000
        listening.close()
        notifier.status("nobody there")


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "relative"])
def test_without_a_supervisor_nothing_happens(name: str) -> None:
    with Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000"}) as notifier:
        notifier.ready("alone")
        notifier.beat(0)
