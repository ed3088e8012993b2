"""A real daemon on a folder of its own, as the unit file deploys it, and a listener on what it publishes.

Times are CLOCK_MONOTONIC, taken in this process when a message or a line of the log came.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import msgspec
import psutil
import zmq

from benchmarks.reliability.sizes import Sizes
from edge.bench.child import COMMAND
from edge.config import CameraConfig, DaemonConfig, PublishConfig, Slot, Slots
from edge.errors import RuntimeFault
from edge.keys.line import Caller
from edge.messages import DecisionMessage, HealthMessage, Message, decode
from tests import samples

__all__ = ["Daemon", "Heard", "busy_camera", "clip_camera", "listening", "running", "until", "write_cart"]

PATIENCE_S = 60.0
STOP_S = 20.0
RATE = 25.0  # frames a second of a clip
PRODUCTS = 60
MJPG = int.from_bytes(b"MJPG", "little")
SLOTS = 8
WHOLE = ((0, 0), (96, 0), (96, 96), (0, 96))
UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "shelfedge.service"


def write_cart(
    folder: Path, cameras: Sequence[CameraConfig], sizes: Sizes, publish: PublishConfig | None = None, **parts: Any
) -> Path:
    """Write the configuration, and a sample bundle of PRODUCTS products where `sizes` names none; return its path.

    `publish` is where it publishes, the ipc path `live` in the folder unless told.
    """
    bundle = sizes.bundle or folder / "bundle"
    if not bundle.exists():
        samples.write_sample_bundle(bundle, PRODUCTS)
    config = DaemonConfig(
        device_id="cart",
        bundle=str(bundle),
        cameras=tuple(cameras),
        publish=publish or PublishConfig(decisions=f"ipc://{folder}/live"),
        **parts,
    )
    path = folder / "cart.yaml"
    path.write_bytes(msgspec.json.encode(config))
    return path


def clip_camera(folder: Path, name: str, realtime: bool = True, rate: float = RATE) -> CameraConfig:
    """Return a camera that loops over a clip of all products, at `rate` or as fast as it is decided on."""
    path = folder / "clip.avi"
    if not path.exists():
        writer = cv2.VideoWriter(str(path), MJPG, rate, (96, 96))
        for number in range(PRODUCTS):
            for _ in range(10):
                writer.write(samples.product(number))
        writer.release()
    return CameraConfig(id=name, source=str(path), loop=True, realtime=realtime)


def busy_camera(folder: Path, name: str, realtime: bool = False) -> CameraConfig:
    """Return a camera that gives SLOTS decisions a frame, at RATE or as fast as they are made."""
    slots = tuple(Slot(id=f"s{number}", polygon=WHOLE) for number in range(SLOTS))
    return msgspec.structs.replace(clip_camera(folder, name, realtime), locate=Slots(slots=slots))


@dataclass(slots=True)
class Heard:
    """What a subscriber got, with the moment it came. `take` replaces keeping it, for runs that are long."""

    messages: list[tuple[int, Message]] = field(default_factory=list)
    take: Callable[[int, Message], None] | None = None

    def note(self, now_ns: int, message: Message) -> None:
        """Keep one message, or hand it on."""
        if self.take is not None:
            self.take(now_ns, message)
        else:
            self.messages.append((now_ns, message))

    def decisions(self) -> list[tuple[int, DecisionMessage]]:
        """Return the decisions so far, and when each came."""
        return [(at_ns, message) for at_ns, message in list(self.messages) if isinstance(message, DecisionMessage)]

    def latencies_ms(self, window_s: float) -> list[float]:
        """Wait for `window_s` and return what the daemon says of the decisions that came meanwhile."""
        begin = len(self.messages)
        time.sleep(window_s)
        return [message.latency_ms for _, message in self.messages[begin:] if isinstance(message, DecisionMessage)]

    def health(self) -> HealthMessage | None:
        """Return the last heartbeat."""
        return next((m for _, m in reversed(list(self.messages)) if isinstance(m, HealthMessage)), None)


@dataclass(slots=True)
class Daemon:
    """A running daemon. `log` are the lines of its standard error as they came."""

    process: subprocess.Popen[str]
    started_ns: int
    log: list[tuple[int, str]] = field(default_factory=list)

    def children(self) -> list[psutil.Process]:
        """Return its capture processes, oldest first."""
        return sorted(psutil.Process(self.process.pid).children(), key=lambda child: child.create_time())

    def said(self, words: str, since_ns: int = 0) -> int | None:
        """Return when a line with `words` came first, None where none did."""
        return next((at for at, line in list(self.log) if at >= since_ns and words in line), None)

    def kill(self) -> None:
        """End it as SIGKILL does."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(
    config: Path, *, awaited: int = 1, prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[Daemon]:
    """Yield the daemon, which waits for `awaited` subscriptions; at the end it is stopped, or killed after STOP_S."""
    command = [*prefix, *COMMAND, "--config", str(config), "--await-subscribers", str(awaited)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **_deployed(), **(environment or {})},
    )
    daemon = Daemon(process, time.monotonic_ns())
    reader = threading.Thread(target=_read_log, args=(daemon,))
    reader.start()
    try:
        yield daemon
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
        reader.join()
        if process.stderr is not None:
            process.stderr.close()


def _deployed() -> dict[str, str]:
    """Return what the unit file adds to the environment."""
    lines = re.findall(r"^Environment=(\w+)=(\S+)$", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(lines)


def _read_log(daemon: Daemon) -> None:
    assert daemon.process.stderr is not None
    for line in daemon.process.stderr:
        daemon.log.append((time.monotonic_ns(), line.rstrip()))


@contextmanager
def listening(
    folder: Path,
    take: Callable[[int, Message], None] | None = None,
    endpoint: str | None = None,
    caller: Caller | None = None,
) -> Iterator[Heard]:
    """Yield what a subscriber of everything hears, in a thread of its own."""
    heard, stop = Heard(take=take), threading.Event()
    thread = threading.Thread(target=_listen, args=(endpoint or f"ipc://{folder}/live", caller, heard, stop))
    thread.start()
    try:
        yield heard
    finally:
        stop.set()
        thread.join()


def _listen(endpoint: str, caller: Caller | None, heard: Heard, stop: threading.Event) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        if caller is not None:
            caller.secure(socket)
        socket.connect(endpoint)
        while not stop.is_set():
            while socket.poll(50, zmq.POLLIN):
                heard.note(time.monotonic_ns(), decode(socket.recv_multipart()[1]))
                if stop.is_set():
                    return


def until(condition: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> float:
    """Wait for something that another process does; return the seconds. Raises RuntimeFault where it does not."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > within_s:
            raise RuntimeFault(f"waited {within_s:g} s for {what} in vain")
        time.sleep(0.005)
    return time.monotonic() - begin
