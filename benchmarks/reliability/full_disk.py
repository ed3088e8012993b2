"""The disk under outbox and feedback fills up for a while: deciding goes on, what is lost is counted, and it recovers.

A small real ext4, and 200 decisions a second: what waits for the disk in memory overflows within a minute. Afterwards
every decision is accounted for: it waits in the outbox, or the heartbeat says that it was lost.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

from benchmarks.reliability.cart import Heard, busy_camera, listening, running, until, write_cart
from benchmarks.reliability.disk import NoDiskError, disk
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from edge.bench.report import Figure, at_least, at_most
from edge.config import FeedbackConfig, OutboxConfig
from edge.messages import DecisionMessage, HealthMessage, decode
from edge.outbox.state import EVENT

__all__ = ["measure"]

BEFORE_S = 4.0
AGAIN_S = 10.0  # until something new is kept
RATE = 0.8  # of the decisions a second before: the machine is not ours alone


def measure(sizes: Sizes) -> list[Result]:
    """Return the row."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as place:
        try:
            with disk(Path(place)) as small:
                return [Result("disk full", _filled(Path(place), small.mount, sizes))]
        except NoDiskError as error:
            return [Result("disk full", not_run=str(error))]


def _filled(folder: Path, mount: Path, sizes: Sizes) -> tuple[Figure, ...]:
    outbox = OutboxConfig(path=f"{mount}/outbox.sqlite", collector=f"ipc://{folder}/nobody")
    feedback = FeedbackConfig(path=f"{mount}/feedback.sqlite", listen=f"ipc://{folder}/truth")
    config = write_cart(folder, [busy_camera(folder, "basket", realtime=True)], sizes, outbox=outbox, feedback=feedback)
    with listening(folder) as heard, running(config) as daemon:
        until(lambda: bool(heard.decisions()), "the first decision")
        before = _rate(heard, BEFORE_S)
        _fill(mount / "ballast")
        until(lambda: daemon.said("disk refuses") is not None, "the outbox to find its disk full")
        full = _rate(heard, sizes.full_disk_s)
        kept = _health(heard)[1]
        (mount / "ballast").unlink()
        again_s = until(lambda: _health(heard)[1] > kept, "decisions to be kept again", AGAIN_S * 3)
        after = _rate(heard, BEFORE_S)
    decided, _, lost = _health(heard)
    with closing(sqlite3.connect(mount / "outbox.sqlite")) as database:
        rows = database.execute("SELECT payload FROM outbox")
        waiting = sum(isinstance(decode(payload), DecisionMessage) for (payload,) in rows)
    return (
        at_least("decisions a second while full", full / before, "of before", RATE),
        at_least("afterwards", after / before, "of before", RATE),
        at_most("kept again after", again_s, "s", AGAIN_S),
        at_most("decisions neither kept nor counted as lost", abs(decided - waiting - lost), "", 0),
        Figure("lost and counted", lost, "decisions"),
    )


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _rate(heard: Heard, span_s: float) -> float:
    begin, begin_s = len(heard.decisions()), time.monotonic()
    time.sleep(span_s)
    return (len(heard.decisions()) - begin) / (time.monotonic() - begin_s)


def _health(heard: Heard) -> tuple[int, int, int]:
    """Return decisions, those that wait in the outbox, and those lost, as the last heartbeat says."""
    last = heard.health()
    if not isinstance(last, HealthMessage) or last.outbox is None:
        return 0, 0, 0
    return last.decisions, last.outbox.waiting, sum(count for kind, count in last.outbox.lost.items() if kind != EVENT)
