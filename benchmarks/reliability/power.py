"""Power cuts on a real ext4: what an outbox committed and what feedback answered is there afterwards.

The outbox is cut right behind its own commits. Feedback is cut under a whole daemon, between verdicts that a sender got
answered; only answers from before the cut count. After each cut the files must open as they are, not put aside.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zmq

from benchmarks.reliability.cart import clip_camera, listening, running, until, write_cart
from benchmarks.reliability.disk import Disk, NoDiskError, disk
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from benchmarks.reliability.verdicts import tell
from edge.bench.report import Figure, at_most
from edge.config import FeedbackConfig, OutboxConfig
from edge.outbox.store import Limits, Store

__all__ = ["measure"]

SEED = 1
LIMITS = Limits(1_000_000, 1 << 30, reserve_bytes=1 << 20)
COMMITTED_S = 1.0  # a decision heard so long before the cut was committed
FEW = 3  # verdicts before the cut comes, at least
ANSWERED = {"taken", "again"}

KEEPER = """
import sys
from pathlib import Path
from edge.outbox.store import Entry, Limits, Store
from edge.types import Route
first = int(sys.argv[2])
with Store(Path(sys.argv[1]), Limits(1_000_000, 1 << 30, reserve_bytes=1 << 20)) as store:
    for number in range(first, 1_000_000, 5):
        store.keep([Entry(Route.ACCEPT, str(number + k).encode() * 60) for k in range(5)])
        print(number + 4, flush=True)
        if number % 50 == 0:
            store.settle([row for row, payload in store.waiting(0, 40)])
            print("settled", flush=True)
"""


def measure(sizes: Sizes) -> list[Result]:
    """Return a row for the outbox and one for feedback."""
    return [
        _on_a_disk(f"power cut under the outbox, {sizes.power_cuts} times", _outbox_cut, sizes),
        _on_a_disk(f"power cut under a daemon with feedback, {sizes.power_cuts} times", _feedback_cut, sizes),
    ]


def _on_a_disk(name: str, cut: Callable[[Path, Disk, Sizes], tuple[Figure, ...]], sizes: Sizes) -> Result:
    with tempfile.TemporaryDirectory(prefix="reliability-") as place:
        try:
            with disk(Path(place)) as under:
                return Result(name, cut(Path(place), under, sizes))
        except NoDiskError as error:
            return Result(name, not_run=str(error))


@dataclass(slots=True)
class _Kept:
    """Numbers are told after their commit: `told` is the last of them, `settled` the first that may still be there."""

    told: int = -1
    settled: int = -1
    lost: int = 0
    back: int = 0
    aside: int = 0

    def compare(self, found: set[int], settled: bool) -> None:
        """Hold what the outbox has after a cut against what was told."""
        oldest = min(found, default=self.told + 1)
        self.back += oldest < self.settled
        self.settled = oldest if settled else self.settled
        self.lost += len(set(range(oldest, self.told + 1)) - found)
        self.told = max(found, default=self.told)  # a commit may have been whole before it was told


def _outbox_cut(_folder: Path, under: Disk, sizes: Sizes) -> tuple[Figure, ...]:
    draw, kept, path = np.random.default_rng(SEED), _Kept(), under.mount / "outbox.sqlite"
    for _ in range(sizes.power_cuts):
        lines = _told_until_the_cut(under, path, kept.told + 1, int(draw.integers(1, 40)))
        kept.told = max(int(line) for line in lines if line.strip().isdigit())
        under.off()
        under.on()
        with Store(path, LIMITS) as store:
            kept.aside += store.put_aside is not None
            found = {int(payload[: len(payload) // 60]) for _, payload in store.waiting(0, 100_000)}
        kept.compare(found, any(line.startswith("settled") for line in lines))
    return (
        at_most("committed and lost", kept.lost, "", 0),
        at_most("settled and back", kept.back, "", 0),
        at_most("put aside", kept.aside, "times", 0),
        Figure("committed", kept.told + 1, ""),
    )


def _told_until_the_cut(under: Disk, path: Path, first: int, wanted: int) -> list[str]:
    """Let an outbox keep numbers from `first` on and cut the power after `wanted` lines; return these."""
    command = [sys.executable, "-c", KEEPER, str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as keeper:
        assert keeper.stdout is not None
        lines = [keeper.stdout.readline() for _ in range(wanted)]
        under.cut()
        keeper.stdout.read()  # told while the power went: a machine without power would not have told it
        keeper.wait(20)
    return lines


@dataclass(slots=True)
class _Answered:
    """What was answered or heard before a cut, and what was not there after it."""

    verdicts: int = 0
    verdicts_lost: int = 0
    decisions_lost: int = 0
    damaged: int = 0
    truths: dict[tuple[str, int], str] = field(default_factory=dict)


def _feedback_cut(folder: Path, under: Disk, sizes: Sizes) -> tuple[Figure, ...]:
    draw, seen = np.random.default_rng(SEED), _Answered()
    outbox = OutboxConfig(path=f"{under.mount}/outbox.sqlite", collector=f"ipc://{folder}/nobody")
    feedback = FeedbackConfig(path=f"{under.mount}/feedback.sqlite", listen=f"ipc://{folder}/truth", audit_share=1.0)
    config = write_cart(folder, [clip_camera(folder, "basket")], sizes, outbox=outbox, feedback=feedback)
    for _ in range(sizes.power_cuts):
        heard = _tell_until_the_cut(folder, config, under, (FEW + int(draw.integers(30)), seen))
        under.off()
        under.on()
        _look(under.mount, heard, seen)
    return (
        at_most("verdicts answered and lost", seen.verdicts_lost, "", 0),
        at_most("committed decisions lost", seen.decisions_lost, "", 0),
        at_most("files damaged or put aside", seen.damaged, "times", 0),
        Figure("verdicts answered", seen.verdicts, ""),
    )


def _tell_until_the_cut(folder: Path, config: Path, under: Disk, plan: tuple[int, _Answered]) -> set[tuple[str, int]]:
    """Tell so many verdicts to a daemon and cut the power under it; return the decisions that were committed."""
    count, seen = plan
    with zmq.Context() as context, listening(folder) as heard, running(config) as daemon:
        until(lambda: bool(heard.decisions()), "the first decision")
        for _ in range(count):
            latest = heard.decisions()[-1][1]
            sku = f"sku-{latest.track % 7:03d}"  # one truth a thing
            if tell(context, f"ipc://{folder}/truth", latest.decision_id, sku) in ANSWERED:
                seen.truths[latest.epoch, latest.seq] = sku
                seen.verdicts += 1
        cut_ns = time.monotonic_ns()
        under.cut()
        daemon.kill()
    return {(m.epoch, m.seq) for at, m in heard.decisions() if at < cut_ns - COMMITTED_S * 1e9}


def _look(mount: Path, heard: set[tuple[str, int]], seen: _Answered) -> None:
    seen.damaged += sum(1 for _ in mount.glob("*.damaged-*"))
    with closing(sqlite3.connect(mount / "feedback.sqlite")) as database:
        seen.damaged += database.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        query = "SELECT epoch, seq, truth FROM decisions JOIN things USING (thing) WHERE truth IS NOT NULL"
        found = {(epoch, seq): truth for epoch, seq, truth in database.execute(query)}
    seen.verdicts_lost += sum(found.get(number) != truth for number, truth in seen.truths.items())
    seen.truths.clear()
    with closing(sqlite3.connect(mount / "outbox.sqlite")) as database:
        seen.damaged += database.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        kept = set(database.execute("SELECT payload ->> 'epoch', payload ->> 'seq' FROM outbox"))
    seen.decisions_lost += len(heard - kept)
