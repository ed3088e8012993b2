"""Forty subscribers, one that never reads, one with a wrong key, others that come and go: memory flat, nothing ends.

The crowd and the publisher are processes of their own, so what is measured is the publisher's memory, and an abort of
libzmq would be seen as the end of a process.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from edge.keys.pair import make_pair, write_new

FLAT_MIB = 3.0

PUBLISHER = """
import json, sys, time
from pathlib import Path
from edge.health import resident_mib
from edge.keys.allowed import AllowList
from edge.keys.door import Door
from edge.keys.pair import read_pair
from edge.publish.zmq_pub import ZmqPublisher

folder, seconds, size = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[4])
door = Door("publish", read_pair(folder / "cart-1.secret"), AllowList(folder / "allowed"), time.monotonic_ns)
with ZmqPublisher(sys.argv[3], 1000, door) as publisher:
    print("bound", flush=True)
    assert publisher.wait_for_subscriptions(40, 60_000)  # 38 that read, one that never does, one of the churn
    begun, memory, slowest, sent, refused = time.monotonic(), [], 0.0, 0, 0
    while time.monotonic() - begun < seconds:
        before = time.perf_counter()
        taken = publisher.send("decision.basket", str(sent).encode().ljust(size))
        slowest = max(slowest, time.perf_counter() - before)
        sent, refused = sent + taken, refused + (not taken)
        if len(memory) < (time.monotonic() - begun) * 10:
            memory.append(resident_mib())
        time.sleep(0.003)
    print(json.dumps({"sent": sent, "refused": refused, "slowest_ms": slowest * 1e3, "memory": memory,
                      "door": door.refused()}), flush=True)
    sys.stdin.read()
"""

CROWD = """
import json, select, sys, time
from pathlib import Path
import zmq
from edge.keys.line import Caller
from edge.keys.pair import make_pair, read_pair, read_public

folder, endpoint = Path(sys.argv[1]), sys.argv[2]
peer, own = read_public(folder / "cart-1.pub"), read_pair(folder / "till-3.secret")
context = zmq.Context()

def subscribe(pair, server=peer, waiting=1000, buffer=-1):
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, waiting)
    socket.setsockopt(zmq.RCVBUF, buffer)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    Caller(pair, server).secure(socket)
    socket.connect(endpoint)
    return socket

stranger = make_pair("stranger", folder)
never_reads = subscribe(own, waiting=1, buffer=4096)
wrong = [subscribe(stranger), subscribe(own, stranger.public)]
readers = [subscribe(own) for _ in range(38)]
churning, got, heard_wrong, churned = [subscribe(own)], [0] * 38, 0, 0
sent, give_up = None, 0.0  # how much there was is told in the end; whatever is on its way then may take its time
while sent is None or (min(got) < sent and time.monotonic() < give_up):
    if sent is None and select.select([sys.stdin], [], [], 0)[0]:
        sent, give_up = int(sys.stdin.readline()), time.monotonic() + 20
    for number, reader in enumerate(readers):
        while reader.poll(0):
            reader.recv_multipart()
            got[number] += 1
    heard_wrong += sum(bool(one.poll(0)) for one in wrong)
    churning.append(subscribe(stranger if churned % 3 == 0 else own))
    churned += 1
    if len(churning) > 5:
        churning.pop(0).close()
    time.sleep(0.02)
print(json.dumps({"got": got, "heard_wrong": heard_wrong, "churned": churned}), flush=True)
context.destroy(0)
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def crowd(folder: Path, seconds: float, size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the publisher and what the crowd said of themselves after `seconds` of messages of `size` bytes."""
    for name in ("cart-1", "till-3"):
        make_pair(name, folder)
    write_new(folder / "allowed" / "till-3.pub", (folder / "till-3.pub").read_text(), 0o644)
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with started(PUBLISHER, folder, seconds, endpoint, size) as publisher:
        assert line_of(publisher.stdout) == "bound\n"
        with started(CROWD, folder, endpoint) as subscribers:
            told = json.loads(line_of(publisher.stdout))
            assert subscribers.stdin is not None
            subscribers.stdin.write(f"{told['sent'] + told['refused']}\n")
            subscribers.stdin.flush()
            heard = json.loads(line_of(subscribers.stdout))
            assert subscribers.wait(30) == 0
        publisher.communicate(timeout=30)
    assert publisher.returncode == 0
    return told, heard


def judge(told: dict[str, Any], heard: dict[str, Any]) -> None:
    everything = told["sent"] + told["refused"]  # what the one who never reads had no room for was sent to all others
    assert heard["got"] == [everything] * 38
    assert heard["heard_wrong"] == 0
    assert told["door"]["not_listed"] > 0
    assert told["door"]["wrong_key"] > 0
    second_half = told["memory"][len(told["memory"]) // 2 :]
    assert max(second_half) - min(second_half) < FLAT_MIB


def test_a_crowd_with_strangers_and_one_that_never_reads(tmp_path: Path) -> None:
    told, heard = crowd(tmp_path, seconds=6, size=600)
    judge(told, heard)
    assert told["refused"] == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_crowd_for_two_minutes_until_the_one_that_never_reads_is_full(tmp_path: Path) -> None:
    told, heard = crowd(tmp_path, seconds=120, size=4_000)
    judge(told, heard)
    assert told["refused"] > 0, "said and counted, and a gap for the one who never reads alone"
