"""A cart that was without network for long delivers what waits: its frames must not notice.

Three windows in turns: nothing is delivered; another process delivers to a collector on this machine, as fast, from an
outbox of its own; the daemon does. Collector and courier need cores, caches and the disk of whoever is beside them, so
what the daemon's own work costs a frame is the third over the second. The collector, another machine on a real cart,
runs behind everything else (nice 19). Both outboxes hold more than can be delivered in all windows.

python -m benchmarks.reliability.backlog OUTBOX ENDPOINT    is the other process
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks.reliability.cart import clip_camera, listening, running, until, write_cart
from benchmarks.reliability.delivery import DRAIN, collector, kept_rows
from benchmarks.reliability.paired import Turn, ratio
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from edge.bench.report import Figure, at_least
from edge.config import OutboxConfig
from edge.messages import DecisionMessage, encode
from edge.outbox.courier import Courier
from edge.outbox.store import Entry, Limits, Store
from edge.types import Route

__all__ = ["measure"]

RATE = 100.0  # frames, and decisions, a second
EACH_S = 2_500  # rows that wait for each second in which they are delivered
P99 = 1.05


def measure(sizes: Sizes) -> list[Result]:
    """Return the row."""
    waiting = round(sizes.windows * (sizes.window_s + 2) * EACH_S)
    none, other, own = [], [], []
    arrived, seconds = 0, 0.0
    with tempfile.TemporaryDirectory(prefix="reliability-") as place:
        folder = Path(place)
        far = Path(place, "other.sqlite"), f"ipc://{folder}/other"
        outbox = OutboxConfig(path=f"{folder}/own.sqlite", collector=f"ipc://{folder}/own", max_rows=2 * waiting)
        config = write_cart(folder, [clip_camera(folder, "basket", rate=RATE)], sizes, outbox=outbox)
        pattern = _decision(folder, config)
        for path in (far[0], Path(outbox.path)):
            _fill(path, pattern, waiting)
        with listening(folder) as heard, running(config):
            until(lambda: bool(heard.decisions()), "the first decision")
            for _ in range(sizes.windows):
                none.append(heard.latencies_ms(sizes.window_s))
                with _delivering(folder, far[1], far[0]):
                    other.append(heard.latencies_ms(sizes.window_s))
                with _delivering(folder, outbox.collector):
                    before, begin = kept_rows(folder), time.monotonic()
                    own.append(heard.latencies_ms(sizes.window_s))
                    arrived, seconds = arrived + kept_rows(folder) - before, seconds + time.monotonic() - begin
            health = heard.health()
    left = health.outbox.waiting if health and health.outbox else 0
    own_work = [Turn(*pair) for pair in zip(other, own, strict=True)]
    all_work = [Turn(*pair) for pair in zip(none, own, strict=True)]
    figures = (
        ratio("frame latency p99, the daemon delivers / another process does", own_work, 99, P99),
        Figure("the same p50", ratio("", own_work, 50, P99).value, ""),
        Figure("p99, the daemon delivers / nobody does", ratio("", all_work, 99, P99).value, ""),
        at_least("delivered", arrived / seconds / RATE, "times the live rate", DRAIN),
        at_least("left to deliver at the end", left, "decisions", 1),
    )
    return [Result(f"a backlog of {waiting:,} decisions, delivered beside {RATE:.0f} frames a second", figures)]


def _decision(folder: Path, config: Path) -> DecisionMessage:
    """Return one that the daemon makes."""
    with listening(folder) as heard, running(config):
        until(lambda: bool(heard.decisions()), "a decision to copy")
    return heard.decisions()[0][1]


def _fill(path: Path, pattern: DecisionMessage, count: int) -> None:
    """Let `count` decisions of an earlier start wait in the outbox at `path`, which is there or not."""
    with Store(path, Limits(2 * count, 1 << 40)) as store:
        for first in range(0, count, 1_000):
            numbers = range(first, min(first + 1_000, count))
            store.keep([Entry(Route(pattern.route), _copy(pattern, path.stem, number)) for number in numbers])


def _copy(pattern: DecisionMessage, epoch: str, number: int) -> bytes:
    name = f"{pattern.device_id}:{epoch}:{number}"
    return encode(msgspec.structs.replace(pattern, epoch=epoch, seq=number, decision_id=name), "json")


@contextmanager
def _delivering(folder: Path, endpoint: str, outbox: Path | None = None) -> Iterator[None]:
    """Let a collector listen at `endpoint`, and another process deliver `outbox`; yield once something arrived."""
    with ExitStack() as stack:
        before = kept_rows(folder)
        stack.enter_context(collector(folder, endpoint, behind=True))
        if outbox is not None:
            command = [sys.executable, "-m", "benchmarks.reliability.backlog", str(outbox), endpoint]
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.terminate)
        until(lambda: kept_rows(folder) > before, "the first delivery")
        yield


def main() -> None:
    """Deliver an outbox until told to stop."""
    outbox, endpoint = Path(sys.argv[1]), sys.argv[2]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with Store(outbox, Limits(1 << 40, 1 << 40)) as store, Courier(store, endpoint, time.monotonic_ns):
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main()
