"""What CURVE costs the publisher: the same messages to the same subscribers, plain and encrypted in turns.

    curve.py --subscribers 1 8 --rounds 7

Subscribers are in a process of their own, over TCP on loopback. Throughput: messages as fast as the socket takes them,
until the last subscriber has the last one. Latency: from before `send` to after `recv`, at 100 messages a second (one
clock, CLOCK_MONOTONIC). CPU: time of the publisher's process for a message, all threads, at those 100 a second.
Ratios are of the two runs of one round, and the median of rounds is shown.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge.keys.allowed import AllowList
from edge.keys.door import Door
from edge.keys.pair import key_text, make_pair, read_pair, write_new
from edge.publish.zmq_pub import ZmqPublisher
from edge.stages import percentile

SIZE = 1_000  # bytes; a decision as JSON
MANY, PACED, PER_S = 20_000, 300, 100

SUBSCRIBERS = """
import json, sys, time
from pathlib import Path
import zmq
from edge.keys.line import Caller
from edge.keys.pair import read_pair, read_public

endpoint, folder, keyed = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "curve"
count, many, paced = map(int, sys.argv[4:])
context, sockets = zmq.Context(), []
for _ in range(count):
    sub = context.socket(zmq.SUB)
    sub.setsockopt(zmq.SUBSCRIBE, b"")
    sub.setsockopt(zmq.RCVHWM, 2 * many)
    if keyed:
        Caller(read_pair(folder / "till.secret"), read_public(folder / "cart.pub")).secure(sub)
    sub.connect(endpoint)
    sockets.append(sub)
latencies = []
for number in range(paced):
    for sub in sockets:
        stamp = int(sub.recv_multipart()[1][:20])
        latencies.append((time.monotonic_ns() - stamp) / 1e6)
print(json.dumps(latencies), flush=True)
for number in range(many):
    for sub in sockets:
        sub.recv_multipart()
print(time.monotonic_ns(), flush=True)
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args(argv)
    table = Table("subscribers", "what", "plain", "CURVE", "ratio (median of rounds; least, most)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pair("cart", folder)
        write_new(folder / "allowed" / "till.pub", key_text(make_pair("till", folder).public), 0o644)
        for count in arguments.subscribers:
            rounds = [(run(folder, "plain", count), run(folder, "curve", count)) for _ in range(arguments.rounds)]
            for what in rounds[0][0]:
                pairs = [(plain[what], curve[what]) for plain, curve in rounds]
                ratios = [curve / plain for plain, curve in pairs]
                spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})"
                medians = [f"{statistics.median(side):.4g}" for side in zip(*pairs, strict=True)]
                table.add_row(str(count), what, *medians, spread)
    Console().print(table)


def run(folder: Path, how: str, count: int) -> dict[str, float]:
    """Return the figures of one publisher and its subscribers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    door = Door("publish", read_pair(folder / "cart.secret"), AllowList(folder / "allowed"), time.monotonic_ns)
    command = [sys.executable, "-c", SUBSCRIBERS, endpoint, str(folder), how, str(count), str(MANY), str(PACED)]
    with (
        ZmqPublisher(endpoint, 1_000, door if how == "curve" else None) as publisher,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscribers,
    ):
        assert subscribers.stdout is not None
        if not publisher.wait_for_subscriptions(count, 60_000):
            raise SystemExit("the subscribers did not come")
        busy_s = -time.process_time()
        for _ in range(PACED):
            publisher.send("decision.basket", str(time.monotonic_ns()).encode().ljust(SIZE))
            time.sleep(1 / PER_S)
        busy_s += time.process_time()
        latencies = json.loads(subscribers.stdout.readline())
        begun_ns = time.monotonic_ns()
        for _ in range(MANY):
            while not publisher.send("decision.basket", bytes(SIZE)):
                time.sleep(0.0002)
        ended_ns = int(subscribers.stdout.readline())
    return {
        "messages a second": MANY / ((ended_ns - begun_ns) / 1e9),
        "latency p50, ms": percentile(latencies, 0.5),
        "latency p99, ms": percentile(latencies, 0.99),
        "CPU a message, ms": busy_s / PACED * 1e3,
    }


if __name__ == "__main__":
    main()
