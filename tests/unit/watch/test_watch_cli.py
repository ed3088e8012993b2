from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from background import in_background
from watch_messages import decision, health

from edge.publish.zmq_pub import ZmqPublisher
from edge.watch.cli import main


@contextmanager
def published(endpoint: str, *starts: list[bytes]) -> Iterator[None]:
    """A publisher per start, each of which sends once somebody subscribed; the last stays until the block is left."""

    def publish(done: threading.Event) -> None:
        for number, payloads in enumerate(starts, start=1):
            with ZmqPublisher(endpoint, 1000) as publisher:
                if publisher.wait_for_subscriptions(1, timeout_ms=20_000):
                    for payload in payloads:
                        publisher.send("decision.left", payload)
                if number == len(starts):
                    done.wait(20)

    with in_background(publish):
        yield


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/decisions"


def test_lines_end_after_the_count_and_name_the_gap(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    payloads = [decision(0), health(1), b"nonsense", decision(2), decision(7, route="review"), decision(8)]
    with published(endpoint, payloads):
        assert main([endpoint, "--count", "3"]) == 0
    out, err = capsys.readouterr()
    assert [row.split("\t")[2] for row in out.splitlines()] == ["accept", "accept", "review"]
    assert f"waiting for {endpoint}" in err
    assert "4 messages missed before 7" in err
    assert "3 decisions, 4 messages missed, 1 malformed" in err


def test_it_goes_on_when_the_daemon_is_started_again(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with published(endpoint, [decision(70), decision(71)], [decision(0, epoch="e2"), decision(1, epoch="e2")]):
        assert main([endpoint, "--count", "4", "--timeout", "20"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert "4 decisions, 0 messages missed" in err


def test_nothing_within_the_timeout_ends_with_1(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([endpoint, "--lines", "--timeout", "0.05"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no decision from" in err


def test_less_than_the_count_within_the_timeout_ends_with_1(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with published(endpoint, [decision(0), decision(1)]):
        assert main([endpoint, "--count", "5", "--timeout", "1"]) == 1
    assert "2 of 5 decisions" in capsys.readouterr().err


def test_without_a_count_the_timeout_is_an_ordinary_end(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with published(endpoint, [decision(0), decision(1)]):
        assert main([endpoint, "--timeout", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    "bad",
    [
        "5556",
        "http://127.0.0.1:5556",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:70000",
        "tcp://127.0.0.1:0",
        "tcp://*:5556",
        "",
    ],
)
def test_a_malformed_endpoint_ends_with_2(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([bad, "--timeout", "0.05"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("options", [["--count", "0"], ["--timeout", "0"], ["--timeout", "nan"], ["--what"]])
def test_bad_options_end_with_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
    assert "edge-watch: error:" in capsys.readouterr().err


def test_on_a_terminal_it_draws_and_gives_the_terminal_back(endpoint: str) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-c", "import sys; from edge.watch.cli import main; sys.exit(main())", endpoint]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with published(endpoint, [health(0), decision(1), decision(3, name="Roggenbrot")]):
        watcher = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        shown = b""
        while b"Roggenbrot" not in shown:  # the last one
            shown += os.read(master, 65536)
        watcher.terminate()
        try:
            while more := os.read(master, 65536):
                shown += more
        except OSError:  # the other side of a terminal went away
            pass
        assert watcher.wait(20) == 0
    os.close(master)
    assert shown.startswith(b"\x1b[?1049h")
    assert b"\x1b[?1049l" in shown
    assert b"2 decisions, 1 messages missed" in shown
