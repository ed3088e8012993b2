"""What looking at the daemon costs it: frames while a page of many products is scraped, and the clock of the stages.

    observing.py scrape --config cart.yaml --classes 20000 --frames 3000
    observing.py stages --config cart.yaml

`scrape`: the daemon's own loop at 70 % load, while another process scrapes /metrics/classes (or another `--path`),
waits as long as that took, and scrapes again. Frames that were on their way during a scrape are held against those that
were not, in the same run; the interval of the ratio is a bootstrap over the scrapes. `--at-once` makes the page in one
piece, as it would be without pauses.

`stages`: the processor time of the same loop as fast as it can, with the stages noted and not, by turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edge.one_thread  # noqa: F401  # before anything that starts BLAS threads
from edge.assembly import engine_of, locator_of
from edge.bench.paced import FrameTime, Pace, Parts, run_paced
from edge.bench.source import refuse_live, sample_frames
from edge.bundle import read_bundle
from edge.class_counts import ClassCounts
from edge.config import MetricsConfig, load_daemon_config
from edge.health import Health
from edge.metrics import MetricsServer, classes, server
from edge.stages import Stage, Stages
from edge.types import Image

LOAD = 0.70
WARM_UP_FRAMES = 20
SCRAPER = """
import http.client, sys, time
port, path = int(sys.argv[1]), sys.argv[2]
while True:
    begin = time.monotonic_ns()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    size = len(connection.getresponse().read())
    connection.close()
    end = time.monotonic_ns()
    print(begin, end, size, flush=True)
    time.sleep((end - begin) / 1e9)
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scrape", "stages"))
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--classes", type=int, default=20_000)
    parser.add_argument("--frames", type=int, default=3_000)
    parser.add_argument("--per-s", type=float, help="frames a second; 70 % of what the machine can do, if not given")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--path", default="/metrics/classes")
    parser.add_argument("--at-once", action="store_true")
    arguments = parser.parse_args()
    config = load_daemon_config(arguments.config)
    refuse_live(config, arguments.config)
    images = sample_frames(config.cameras[0])
    bundle = read_bundle(Path(config.bundle))
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of(bundle, config.engine))
        locator = stack.enter_context(locator_of(config.cameras[0].locate, config.engine.threads))
        parts = Parts(bundle, engine, locator, config.publish)
        run_paced(parts, images, Pace(WARM_UP_FRAMES, 0))
        if arguments.what == "scrape":
            scrape(parts, images, arguments)
        else:
            stages(parts, images, arguments)


def scrape(parts: Parts, images: Sequence[Image], arguments: argparse.Namespace) -> None:
    """Print the latency of frames during and between scrapes."""
    if arguments.at_once:
        classes.PIECE, server.PAUSE_S = 1 << 30, 0.0
    per_s = arguments.per_s or run_paced(parts, images, Pace(300, 0)).frames_per_s * LOAD
    health = Health(time.monotonic_ns(), classes=ClassCounts([f"sku-{n:06d}" for n in range(arguments.classes)]))
    assert health.classes is not None
    health.classes.decisions[:] = np.arange(health.classes.decisions.size).reshape(-1, 4) + 1
    config = MetricsConfig(listen="127.0.0.1:0", max_classes=100_000)
    with MetricsServer(config, health, [], time.monotonic_ns) as pages, scraping(pages.port, arguments.path) as told:
        frames = run_paced(parts, images, Pace(arguments.frames, round(1e9 / per_s)), health).frames
    scrapes = np.array([line.split() for line in told], np.int64)  # (S, 3): begin, end, bytes
    during = [caught(scrapes, frame) for frame in frames]
    latencies = np.array([frame.latency_ms for frame in frames])
    marks = np.array(during)
    calm, busy = latencies[marks < 0], latencies[marks >= 0]
    took_ms = (scrapes[:, 1] - scrapes[:, 0]) / 1e6
    print(f"{len(scrapes)} scrapes, median {np.median(took_ms):.0f} ms, {scrapes[0, 2] / 1e6:.2f} MB")
    for name, values in (("between", calm), ("during", busy)):
        p50, p99 = np.percentile(values, [50, 99])
        print(f"{name:8} {len(values):6} frames  p50 {p50:7.2f} ms  p99 {p99:7.2f} ms")
    low, high = interval(latencies, marks)
    print(
        f"p99 during / between {np.percentile(busy, 99) / np.percentile(calm, 99):.3f} (95 % {low:.2f} to {high:.2f})"
    )
    print(f"p50 during / between {np.median(busy) / np.median(calm):.3f}")


def caught(scrapes: NDArray[np.int64], frame: FrameTime) -> int:
    """Return the number of the scrape that went on while a frame was on its way, -1 for none."""
    over = np.flatnonzero((scrapes[:, 0] < frame.sent_ns) & (scrapes[:, 1] > frame.due_ns))
    return int(over[0]) if len(over) else -1


def interval(latencies: NDArray[np.float64], marks: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of the ratio of the 99th percentiles, over blocks: a scrape and the calm behind it."""
    block = np.maximum.accumulate(marks)
    draw = np.random.default_rng(0)
    numbers, ratios = np.unique(block), []
    of = {number: latencies[(block == number) & (marks >= 0)] for number in numbers}
    calm_of = {number: latencies[(block == number) & (marks < 0)] for number in numbers}
    for _ in range(500):
        taken = draw.choice(numbers, len(numbers))
        busy, calm = (np.concatenate([each[number] for number in taken]) for each in (of, calm_of))
        if len(busy) and len(calm):
            ratios.append(np.percentile(busy, 99) / np.percentile(calm, 99))
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


@contextmanager
def scraping(port: int, path: str) -> Iterator[list[str]]:
    """Scrape from a process of its own; at the end the list holds what it printed."""
    told: list[str] = []
    command = [sys.executable, "-c", SCRAPER, str(port), path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield told
        finally:
            process.terminate()
            told += process.communicate()[0].splitlines()


class Unnoted(Stages):
    """Stages that nobody notes."""

    def note(self, stage: Stage, took_ns: int) -> None:
        """Do nothing."""


def stages(parts: Parts, images: Sequence[Image], arguments: argparse.Namespace) -> None:
    """Print how much more processor time a frame takes with its stages noted; and what noting itself takes."""
    ratios = []
    for number in range(arguments.rounds):
        took_s = {}
        for kind in (Stages, Unnoted) if number % 2 else (Unnoted, Stages):
            begin_s = time.process_time()
            run_paced(parts, images, Pace(arguments.frames // 10, 0), Health(time.monotonic_ns(), stages=kind()))
            took_s[kind] = time.process_time() - begin_s
        ratios.append(took_s[Stages] / took_s[Unnoted])
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    print(f"processor time noted / not: median {middle:.3f} (quartiles {low:.3f} to {high:.3f}), {len(ratios)} pairs")
    noted, count = Stages(), 100_000
    begin_ns = time.perf_counter_ns()
    for took_ns in range(count):
        noted.note(Stage.ENGINE, took_ns)
        time.monotonic_ns()
    each_us = (time.perf_counter_ns() - begin_ns) / count / 1e3
    print(f"a stage noted, its clock included: {each_us:.2f} us, six a frame: {6 * each_us:.1f} us")


if __name__ == "__main__":
    main()
