"""Dozens of subscribers, one of whom never reads while others come and go: the frame loop and the rest must not care.

The daemon decides on a clip in real time; a crowd (`benchmarks.reliability.crowd`) is there in every second window.
Latency is the daemon's own, from capture to the message's sending. What one subscriber of ours missed is counted by the
gaps in `seq`. `high_water_mark` is HIGH_WATER_MARK, so that the one who never reads is full within a window; over TCP,
where the second row has keys and strangers, the kernel's buffers may hold a window for him.

Memory is looked at between two crowds. What the first third of them made the process take is told and not judged: the
room for 40 connections stays with it. From there on it is flat, or each connection leaves something behind.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.reliability.cart import Heard, clip_camera, listening, running, until, write_cart
from benchmarks.reliability.crowd import CHURNING, listed, write_keys
from benchmarks.reliability.paired import Turn, ratio
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from edge.bench.report import Figure, at_most
from edge.config import PublishConfig

__all__ = ["measure"]

HIGH_WATER_MARK = 20
RATE = 100.0
SETTLE_S = 0.5
FULL_S = 3.0  # until the one who never reads has all that he can hold
P99 = 1.05
GROWTH_MIB = 0.25
MISSED = 0.01


def measure(sizes: Sizes) -> list[Result]:
    """Return the rows."""
    return [_row(sizes, keyed=False), _row(sizes, keyed=True)]


def _row(sizes: Sizes, keyed: bool) -> Result:
    with tempfile.TemporaryDirectory(prefix="reliability-") as place:
        folder = Path(place)
        endpoint = f"tcp://127.0.0.1:{_free_port()}" if keyed else f"ipc://{folder}/live"
        publish = PublishConfig(decisions=endpoint, high_water_mark=HIGH_WATER_MARK)
        keys = {"keys": write_keys(folder)} if keyed else {}
        config = write_cart(folder, [clip_camera(folder, "basket", rate=RATE)], sizes, publish, **keys)
        arguments = [endpoint, str(sizes.subscribers), *([place] if keyed else [])]
        caller = listed(folder) if keyed else None
        with listening(folder, None, endpoint, caller) as heard, running(config) as daemon:
            until(lambda: bool(heard.decisions()), "the first decision")
            turns: list[Turn] = []
            resident: list[float] = []
            for _ in range(sizes.windows):
                without = heard.latencies_ms(sizes.window_s)
                resident.append(psutil.Process(daemon.process.pid).memory_info().rss / 2**20)
                with _crowd(arguments):
                    turns.append(Turn(without, heard.latencies_ms(sizes.window_s)))
                time.sleep(SETTLE_S)
            aborted = daemon.process.poll() is not None
            health = heard.health()
    third = max(1, len(resident) // 3)
    most = [max(resident[n * third : (n + 1) * third], default=resident[-1]) for n in range(3)]
    figures = (
        ratio("frame latency p99, crowd / none", turns, 99, P99),
        Figure("the same p50", ratio("", turns, 50, P99).value, ""),
        at_most("messages that a subscriber who reads missed", _missed(heard), "of all", MISSED),
        at_most("most memory in the last third of the crowds, over the second", most[2] - most[1], "MiB", GROWTH_MIB),
        Figure("in the first third, over that before any crowd", most[0] - resident[0], "MiB"),
        at_most("daemon ended", float(aborted), "times", 0),
        Figure("counted as not taken by everybody", health.publish_dropped if health else 0, "messages"),
    )
    strangers = ", one with a wrong key, one unlisted, all encrypted" if keyed else ""
    name = f"{sizes.subscribers} subscribers, one never reads, one in {CHURNING} comes and goes{strangers}"
    return Result(name, figures)


def _missed(heard: Heard) -> float:
    """Return the share of messages that our own subscriber never saw."""
    numbers = [message.seq for _, message in heard.messages]
    return 1 - len(set(numbers)) / (max(numbers) - min(numbers) + 1)


@contextmanager
def _crowd(arguments: Sequence[str]) -> Iterator[None]:
    """Let the crowd in; yield when the one who never reads is full."""
    command = [sys.executable, "-m", "benchmarks.reliability.crowd", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as crowd:
        try:
            assert crowd.stdout is not None
            crowd.stdout.readline()
            time.sleep(FULL_S)
            yield
        finally:
            crowd.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
