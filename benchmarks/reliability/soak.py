"""The daemon at the highest rate for half an hour, with everything on: outbox, collector, feedback, metrics scraped.

Memory is the resident set of the daemon's own process and of its capture process, sampled every SAMPLE_S; the first
WARM_UP of the run is left out. The daemon gives freed memory back once a minute (`edge.life.tidying`), so its size is
a saw, whose tooth is 128 KiB, what glibc takes from the system at a time; what stays is the least of each LEVEL_S,
and what is judged. A slope is Theil's: the median of the slopes between all pairs of these, with the 95 % interval of
Sen (1968). It is missed where that interval lies above the bar, met where it lies below. Descriptors and threads are
counted at the same moments. Latency is the daemon's own.
"""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.reliability.cart import Daemon, clip_camera, listening, running, until, write_cart
from benchmarks.reliability.delivery import collector
from benchmarks.reliability.paired import Turn, ratio
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from edge.bench.report import Figure, at_most
from edge.config import FeedbackConfig, MetricsConfig, OutboxConfig
from edge.messages import DecisionMessage, Message

__all__ = ["measure", "theil"]

SAMPLE_S = 1.0
BLOCK_S = 20.0
LEVEL_S = 60.0
WARM_UP = 1 / 3
MB_AN_HOUR = 0.1
SCRAPE_EVERY = 15  # samples
Z95 = 1.959964


@dataclass(slots=True)
class Samples:
    """What was seen at each moment, and latencies by block of BLOCK_S."""

    begin_s: float
    at_s: list[float] = field(default_factory=list)
    resident_mb: list[tuple[float, float]] = field(default_factory=list)  # daemon, capture process
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    latencies_ms: dict[int, list[float]] = field(default_factory=dict)
    decisions: int = 0

    def take(self, now_ns: int, message: Message) -> None:
        """Note the latency of a decision."""
        if isinstance(message, DecisionMessage):
            self.decisions += 1
            block = int((now_ns / 1e9 - self.begin_s) / BLOCK_S)
            self.latencies_ms.setdefault(block, []).append(message.latency_ms)

    def look(self, daemon: Daemon) -> None:
        """Sample the processes."""
        main = psutil.Process(daemon.process.pid)
        capture = daemon.children()[0]
        self.at_s.append(time.monotonic() - self.begin_s)
        self.resident_mb.append((main.memory_info().rss / 1e6, capture.memory_info().rss / 1e6))
        self.descriptors.append(main.num_fds() + capture.num_fds())
        self.threads.append(main.num_threads() + capture.num_threads())


def measure(sizes: Sizes) -> list[Result]:
    """Return the row."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as place:
        folder = Path(place)
        outbox = OutboxConfig(path=f"{folder}/outbox.sqlite", collector=f"ipc://{folder}/collector")
        feedback = FeedbackConfig(path=f"{folder}/fb.sqlite", listen=f"ipc://{folder}/truth", max_decisions=20_000)
        camera = clip_camera(folder, "basket", realtime=False)
        parts: dict[str, Any] = {
            "outbox": outbox,
            "feedback": feedback,
            "metrics": MetricsConfig(listen="127.0.0.1:19108"),
        }
        config = write_cart(folder, [camera], sizes, **parts)
        samples = Samples(time.monotonic())
        with collector(folder, outbox.collector), listening(folder, samples.take), running(config) as daemon:
            until(lambda: samples.decisions > 0, "the first decision")
            end_s = time.monotonic() + sizes.soak_minutes * 60
            while time.monotonic() < end_s:
                samples.look(daemon)
                if len(samples.at_s) % SCRAPE_EVERY == 0:
                    with suppress(OSError), urllib.request.urlopen("http://127.0.0.1:19108/metrics") as page:
                        page.read()
                time.sleep(SAMPLE_S)
    return [Result(f"soak, {sizes.soak_minutes:g} min at the highest rate", _figures(samples))]


def _figures(samples: Samples) -> tuple[Figure, ...]:
    at_s = np.asarray(samples.at_s)
    warm = at_s >= at_s[-1] * WARM_UP
    resident = np.asarray(samples.resident_mb)
    blocks = sorted(samples.latencies_ms)
    warm_blocks = [samples.latencies_ms[b] for b in blocks if b * BLOCK_S >= at_s[-1] * WARM_UP][:-1]
    half = len(warm_blocks) // 2
    turns = [Turn(*pair) for pair in zip(warm_blocks[:half], warm_blocks[-half:], strict=True)] if half else []
    descriptors, threads = (np.asarray(c)[warm] for c in (samples.descriptors, samples.threads))
    return (
        _slope("memory of the daemon's process", at_s[warm], resident[warm, 0]),
        _slope("of the capture process", at_s[warm], resident[warm, 1]),
        Figure(
            "the daemon's by medians of 20 s",
            3600 * theil(_levels(at_s[warm], resident[warm, 0], BLOCK_S, 50))[0],
            "MB/h",
        ),
        at_most("descriptors, most - least", float(np.ptp(descriptors)), "", 2),
        at_most("threads, most - least", float(np.ptp(threads)), "", 0),
        *([ratio("latency p99, second half / first", turns, 99, 1.1)] if turns else []),
        Figure("decisions", samples.decisions, ""),
        Figure("a second", samples.decisions / (at_s[-1] + SAMPLE_S), ""),
    )


def _slope(name: str, at_s: NDArray[np.float64], megabytes: NDArray[np.float64]) -> Figure:
    slope, low, high = (3600 * value for value in theil(_levels(at_s, megabytes, LEVEL_S, 0)))
    passed = True if high < MB_AN_HOUR else False if low > MB_AN_HOUR else None
    unit = f"MB/h (95 %: {low:.2f} to {high:.2f})" + (" not told" if passed is None else "")
    return Figure(name, slope, unit, f"< {MB_AN_HOUR:g} MB/h", passed)


def _levels(
    at_s: NDArray[np.float64], megabytes: NDArray[np.float64], block_s: float, percent: float
) -> list[tuple[float, float]]:
    """Return the middle of each block and a percentile of what was seen in it."""
    number = (at_s / block_s).astype(int)
    blocks = [(at_s[number == n], megabytes[number == n]) for n in np.unique(number)]
    return [(float(times.mean()), float(np.percentile(seen, percent))) for times, seen in blocks]


def theil(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Return the median slope between all pairs of points and its 95 % interval (Sen 1968, normal approximation)."""
    x, y = np.asarray(points, np.float64).T
    first, second = np.triu_indices(len(x), 1)
    slopes = np.sort((y[second] - y[first]) / (x[second] - x[first]))
    if not len(slopes):
        return float("nan"), -float("inf"), float("inf")
    n = len(x)
    reach = Z95 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low, high = int((len(slopes) - reach) // 2), int((len(slopes) + reach) // 2) + 1
    inside = low >= 0 and high < len(slopes)
    median = float(np.median(slopes))
    return (median, float(slopes[low]), float(slopes[high])) if inside else (median, -float("inf"), float("inf"))
