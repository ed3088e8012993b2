"""A collector that is killed again and again, and one behind a network that is cut for an hour's worth of decisions.

What the live feed showed is held against what the collector has written down: every decision once. The network is a
relay on this machine that swallows what it is given while it is cut, and breaks the connection when it comes back.
"""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np

from benchmarks.reliability.cart import RATE, Heard, busy_camera, clip_camera, listening, running, until, write_cart
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from edge.bench.report import Figure, at_least, at_most
from edge.config import OutboxConfig
from edge.messages import DecisionMessage

__all__ = ["collector", "cut_off", "kept", "kept_rows", "measure"]

SEED = 0
DRAIN = 5.0  # times the live rate
BEHIND = ("nice", "-n", "19")
COLLECT = (sys.executable, "-c", "import sys; from edge.collect.cli import main; sys.exit(main())")


def measure(sizes: Sizes) -> list[Result]:
    """Return a row for the collector and one for the network."""
    return [_killed(sizes), cut_off(sizes)]


def _killed(sizes: Sizes) -> Result:
    with tempfile.TemporaryDirectory(prefix="reliability-") as place:
        folder, draw = Path(place), np.random.default_rng(SEED)
        outbox = OutboxConfig(path=f"{folder}/outbox.sqlite", collector=f"ipc://{folder}/collector")
        config = write_cart(folder, [clip_camera(folder, "basket", realtime=False)], sizes, outbox=outbox)
        with listening(folder) as heard:
            with running(config):
                until(lambda: bool(heard.decisions()), "the first decision")
                for _ in range(sizes.collector_kills):
                    with collector(folder, outbox.collector) as process:
                        time.sleep(draw.uniform(0.1, 1.5))
                        process.kill()
                    time.sleep(draw.uniform(0.0, 0.5))
            _deliver_the_rest(folder, outbox, sizes)
            shown = _shown(heard)
        written = kept(folder)
    name = f"collector killed -9, {sizes.collector_kills} times"
    return Result(name, (*_compared(shown, written), Figure("decisions", len(shown), "")))


def cut_off(sizes: Sizes) -> Result:
    """Return the row of a network that is gone for many decisions."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as place, _relay(Path(place)) as relay:
        folder = Path(place)
        outbox = OutboxConfig(path=f"{folder}/outbox.sqlite", collector=f"tcp://127.0.0.1:{relay.port}")
        fast = write_cart(folder, [busy_camera(folder, "basket")], sizes, outbox=outbox)
        with listening(folder) as heard, collector(folder, f"ipc://{folder}/collector"):
            with running(fast):
                until(lambda: bool(kept(folder)), "the first delivery")
                relay.cut()
                until(lambda: len(heard.messages) > sizes.cut_decisions, "an hour's decisions", 1_800.0)
            waiting = _waiting(folder)
            calm = write_cart(folder, [clip_camera(folder, "basket")], sizes, outbox=outbox)
            with running(calm):
                relay.mend()
                before = len(kept(folder))
                begin = time.monotonic()
                until(lambda: len(kept(folder)) >= before + waiting, "the backlog to arrive", 600.0)
                per_s = waiting / (time.monotonic() - begin)
            until(lambda: len(kept(folder)) >= len(_shown(heard)), "the last decisions")
            shown = _shown(heard)
        written = kept(folder)
    name = f"network cut for {sizes.cut_decisions:,} decisions (an hour of 30 a second)"
    drained = at_least("delivered", per_s / RATE, "times the live rate", DRAIN)
    return Result(name, (*_compared(shown, written), drained, Figure("backlog", waiting, "decisions")))


def _compared(shown: set[tuple[str, int]], kept: list[tuple[str, int]]) -> tuple[Figure, Figure]:
    """Return what was shown live and is not kept, and what is kept twice."""
    lost = at_most("lost", len(shown - set(kept)), "decisions", 0)
    return lost, at_most("kept twice", len(kept) - len(set(kept)), "decisions", 0)


def _shown(heard: Heard) -> set[tuple[str, int]]:
    return {(m.epoch, m.seq) for _, m in list(heard.messages) if isinstance(m, DecisionMessage)}


def kept(folder: Path) -> list[tuple[str, int]]:
    """Return what the collector has committed; by the payload, so that its own key hides nothing."""
    with closing(sqlite3.connect(folder / "decisions.sqlite")) as database:
        query = "SELECT payload ->> 'epoch', payload ->> 'seq' FROM decisions"
        with suppress(sqlite3.OperationalError):  # not there yet
            return [(str(epoch), int(seq)) for epoch, seq in database.execute(query)]
    return []


def kept_rows(folder: Path) -> int:
    """Return how many decisions the collector has committed."""
    with closing(sqlite3.connect(folder / "decisions.sqlite")) as database, suppress(sqlite3.OperationalError):
        return int(database.execute("SELECT count(*) FROM decisions").fetchone()[0])
    return 0  # no table yet


def _waiting(folder: Path) -> int:
    """Return what a daemon that has ended left in its outbox."""
    with closing(sqlite3.connect(folder / "outbox.sqlite")) as database:
        return int(database.execute("SELECT count(*) FROM outbox").fetchone()[0])


def _deliver_the_rest(folder: Path, outbox: OutboxConfig, sizes: Sizes) -> None:
    """Let a daemon on a slow clip deliver what waits; its own decisions count like the others."""
    calm = write_cart(folder, [clip_camera(folder, "basket")], sizes, outbox=outbox)
    waiting, before = _waiting(folder), len(kept(folder))
    with collector(folder, outbox.collector) as process:
        with running(calm):
            until(lambda: len(kept(folder)) >= before + waiting, "the rest to arrive", 120.0)
        process.send_signal(signal.SIGTERM)


@contextmanager
def collector(folder: Path, endpoint: str, behind: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Yield `edge-collect`, listening; `behind` everything else that runs here."""
    arguments = ["--out", str(folder / "decisions.sqlite"), "--listen", endpoint]
    command = [*(BEHIND if behind else ()), *COLLECT, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


class _Relay:
    """Hands bytes on between a TCP port and an ipc socket, or swallows them."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._is_cut = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._all: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """Swallow all that comes from now on, as a network does that is gone: nobody is told."""
        self._is_cut.set()

    def mend(self) -> None:
        """Break the connections, whose bytes are lost, and let new ones through."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _end(pair)
        self._is_cut.clear()

    def close(self) -> None:
        """End all of it."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.mend()
        for thread in self._threads:
            thread.join()
        for one in (self._listening, *self._all):
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.socket(socket.AF_UNIX)
                self._all += [near, far]
                try:
                    far.connect(str(self._target))
                except OSError:
                    _end((near,))
                    continue
                self._pairs.append((near, far))
                for one, other in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._pump, args=(one, other)))
                    self._threads[-1].start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if not self._is_cut.is_set():
                    other.sendall(data)
        if not self._is_cut.is_set():
            _end((one, other))


def _end(pair: Sequence[socket.socket]) -> None:
    for one in pair:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def _relay(folder: Path) -> Iterator[_Relay]:
    relay = _Relay(folder / "collector")
    try:
        yield relay
    finally:
        relay.close()
