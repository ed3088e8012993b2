"""The real daemon as a child process, watched from outside: when its decisions come, and what it holds.

Nothing is measured inside the daemon: times are those at which a subscriber in this process got the messages, memory is
the kernel's account. The daemon waits for the subscriber, so the first decision is never missed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zmq

from edge.bench.memory import MemorySample, sample_tree
from edge.bench.source import measurable
from edge.config import DaemonConfig
from edge.errors import RuntimeFault
from edge.messages import DecisionMessage, decode

__all__ = ["Group", "Observed", "observe"]

COMMAND = (sys.executable, "-c", "import sys; from edge.cli.daemon import main; sys.exit(main())")
PATIENCE_MS = 60_000  # an engine may take long to load; a decision that takes longer will not come
STOP_S = 10.0
SAMPLE_NS = 100_000_000


@dataclass(slots=True)
class Group:
    """The decisions of one frame: how many, and when the last of them came (CLOCK_MONOTONIC)."""

    camera_id: str
    frame: int
    decisions: int
    last_ns: int


@dataclass(slots=True)
class Observed:
    """One run of the daemon. `first_ns` is when the first decision came."""

    started_ns: int
    first_ns: int = 0
    decisions: int = 0
    groups: list[Group] = field(default_factory=list)
    memory: list[MemorySample] = field(default_factory=list)
    _last_frame: dict[str, int] = field(default_factory=dict)

    @property
    def first_decision_s(self) -> float:
        """Seconds from starting the process to its first decision."""
        return (self.first_ns - self.started_ns) / 1e9

    @property
    def frames(self) -> int:
        """Frames of all cameras up to the last decision of each; those without a decision count too."""
        return sum(number + 1 for number in self._last_frame.values())

    @property
    def decisions_per_s(self) -> float:
        """Decisions after the first frame, over the time from the end of the first frame to the end of the last."""
        span_ns = self.groups[-1].last_ns - self.groups[0].last_ns
        return (self.decisions - self.groups[0].decisions) / (span_ns / 1e9) if span_ns > 0 else 0.0

    def note(self, message: DecisionMessage, now_ns: int) -> None:
        """Count one decision that came at `now_ns`."""
        self.first_ns = self.first_ns or now_ns
        self.decisions += 1
        self._last_frame[message.camera_id] = message.frame
        last = self.groups[-1] if self.groups else None
        if last is None or (last.camera_id, last.frame) != (message.camera_id, message.frame):
            self.groups.append(Group(message.camera_id, message.frame, 1, now_ns))
        else:
            last.decisions += 1
            last.last_ns = now_ns


def observe(
    config: DaemonConfig, frames: int, with_memory: bool, tell: Callable[[int], None] = lambda _: None
) -> Observed:
    """Run `edge-daemon` until it decided on `frames` frames; `tell` is told how many there are so far.

    With memory the processes are sampled ten times a second, which costs the daemon a little of its speed.
    Raises RuntimeFault when the daemon ends by itself or goes silent; the message quotes its last words.
    """
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        endpoint = f"ipc://{folder}/decisions"
        path, words = Path(folder, "daemon.yaml"), Path(folder, "daemon.log")
        path.write_bytes(msgspec.json.encode(measurable(config, endpoint)))
        with _subscriber(endpoint) as socket, _daemon(path, words) as process:
            seen = Observed(time.monotonic_ns())
            next_sample_ns = 0
            while seen.frames < frames:
                seen.note(_next_decision(socket, process, words), time.monotonic_ns())
                tell(min(seen.frames, frames))
                if with_memory and time.monotonic_ns() >= next_sample_ns:
                    sample = sample_tree(process.pid, seen.frames)
                    seen.memory += [sample] if sample is not None else []
                    next_sample_ns = time.monotonic_ns() + SAMPLE_NS
    return seen


def _next_decision(socket: zmq.Socket[bytes], process: subprocess.Popen[bytes], words: Path) -> DecisionMessage:
    give_up_ns = time.monotonic_ns() + PATIENCE_MS * 1_000_000
    while time.monotonic_ns() < give_up_ns:
        if socket.poll(200, zmq.POLLIN):
            message = decode(socket.recv_multipart()[1])
            if isinstance(message, DecisionMessage):
                return message
        elif process.poll() is not None:
            raise RuntimeFault(f"edge-daemon ended with exit code {process.returncode}{_last_words(words)}")
    raise RuntimeFault(f"edge-daemon decided nothing for {PATIENCE_MS // 1000} s{_last_words(words)}")


def _last_words(words: Path) -> str:
    lines = words.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"; it said: {lines[-1]}" if lines else ""


@contextmanager
def _subscriber(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """Yield a socket that gets the decisions; the endpoint need not be there yet."""
    context = zmq.Context(io_threads=1)
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 10)
    socket.setsockopt(zmq.SUBSCRIBE, b"decision.")
    socket.connect(endpoint)
    try:
        yield socket
    finally:
        socket.close()
        context.term()


@contextmanager
def _daemon(config: Path, words: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the running daemon; at the end it is asked to stop, and killed if it does not."""
    command = [*COMMAND, "--config", str(config), "--await-subscribers", "1"]
    with words.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
