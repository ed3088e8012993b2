"""The daemon killed with SIGKILL at random moments, hundreds of times, on one outbox that nobody empties.

After each kill: the capture process ends, no process holds a frame ring any more, the outbox is whole and holds every
decision that was heard COMMITTED_S or longer before the kill. At the end no `(epoch, seq)` stands for two decisions.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
import uuid
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from benchmarks.reliability.cart import Heard, clip_camera, listening, running, until, write_cart
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from edge.bench.report import Figure, at_most
from edge.config import FeedbackConfig, OutboxConfig
from edge.errors import RuntimeFault

__all__ = ["measure"]

SEED = 1
COMMITTED_S = 1.0  # the courier commits every 50 ms; the rest is for a busy machine
FIRST_S = 5.0
ENDED_S = 2.0
RING = "memfd:shelfedge-ring"


@dataclass(slots=True)
class Seen:
    """What the kills did."""

    first_s: list[float] = field(default_factory=list)
    busy_s: list[float] = field(default_factory=list)  # processor time until then
    damaged: int = 0
    lost: int = 0
    carried: int = 0
    processes: int = 0
    rings: int = 0
    reused: int = 0
    numbers: set[tuple[str, int]] = field(default_factory=set)


def measure(sizes: Sizes) -> list[Result]:
    """Return the row."""
    seen, draw = Seen(), np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory(prefix="reliability-") as place:
        folder = Path(place)
        outbox = OutboxConfig(path=f"{folder}/outbox.sqlite", collector=f"ipc://{folder}/nobody")
        feedback = FeedbackConfig(path=f"{folder}/feedback.sqlite", listen=f"ipc://{folder}/truth")
        config = write_cart(
            folder, [clip_camera(folder, "basket", realtime=False)], sizes, outbox=outbox, feedback=feedback
        )
        for _ in range(sizes.daemon_kills):
            _kill_once(folder, config, seen, draw.uniform(0.0, 1.5))
    figures = (
        at_most("outbox or feedback damaged", seen.damaged, "times", 0),
        at_most("committed decisions lost", seen.lost, "", 0),
        at_most("next decision after at most", max(seen.first_s), "s", FIRST_S),
        at_most("processes left", seen.processes, f"of {seen.carried}", 0),
        at_most("frame rings left", seen.rings, "", 0),
        at_most("numbers used twice", seen.reused, "", 0),
        Figure("next decision after, median", float(np.median(seen.first_s)), "s"),
        Figure("processor time until then, median", float(np.median(seen.busy_s)), "s"),
        Figure("decisions", len(seen.numbers), ""),
    )
    return [Result(f"daemon killed -9, {sizes.daemon_kills} times", figures)]


def _kill_once(folder: Path, config: Path, seen: Seen, after_s: float) -> None:
    mark = f"RELIABILITY_RUN={uuid.uuid4().hex}"
    environment = dict([mark.split("=")])
    with listening(folder) as heard, running(config, environment=environment) as daemon:
        until(lambda: bool(heard.decisions()), "the first decision")
        seen.first_s.append((heard.decisions()[0][0] - daemon.started_ns) / 1e9)
        whole = [psutil.Process(daemon.process.pid), *daemon.children()]
        seen.busy_s.append(sum(sum(process.cpu_times()[:2]) for process in whole))
        time.sleep(after_s)
        seen.carried += len(_left(mark))
        killed_ns = time.monotonic_ns()
        daemon.kill()
        with suppress(RuntimeFault):
            until(lambda: not _left(mark), "the capture process to end", ENDED_S)
        seen.processes += len(_left(mark))
        seen.rings += sum(map(_maps_ring, _left(mark)))
    _count(folder, heard, killed_ns, seen)


def _count(folder: Path, heard: Heard, killed_ns: int, seen: Seen) -> None:
    kept = _kept(folder, seen)
    for at_ns, message in heard.decisions():
        number = (message.epoch, message.seq)
        seen.reused += number in seen.numbers
        seen.numbers.add(number)
        seen.lost += at_ns < killed_ns - COMMITTED_S * 1e9 and number not in kept


def _kept(folder: Path, seen: Seen) -> set[tuple[str, int]]:
    """Return what the outbox holds; counts it, or the feedback file, as damaged."""
    for name in ("feedback.sqlite", "outbox.sqlite"):
        with closing(sqlite3.connect(folder / name)) as database:
            seen.damaged += database.execute("PRAGMA integrity_check").fetchone() != ("ok",)
    seen.damaged += sum(1 for _ in folder.glob("*.damaged-*"))
    with closing(sqlite3.connect(folder / "outbox.sqlite")) as database:
        found = database.execute("SELECT payload ->> 'epoch', payload ->> 'seq' FROM outbox").fetchall()
    seen.reused += len(found) - len(set(found))
    return {(str(epoch), int(seq)) for epoch, seq in found}


def _left(mark: str) -> list[Path]:
    """Return the processes that carry the mark in their environment and still run."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_text(errors="replace"):
                found.append(entry)
    return found


def _maps_ring(process: Path) -> bool:
    with suppress(OSError):
        return RING in (process / "maps").read_text(errors="replace")
    return False
