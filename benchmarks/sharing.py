"""What it is worth that crops of different frames share a run of the engine, and what it costs.

    python benchmarks/sharing.py engine --bundle BUNDLE           time of a run by its crops, on this machine
    python benchmarks/sharing.py cameras --bundle BUNDLE [--rate 15] [--count 4] [--stand-in 1.6,0.4]

`cameras` runs the daemon's loop on live cameras that give one crop a frame, phases spread evenly, a round with sharing
and one without by turns; latencies are from the moment a frame was due to its message. `--stand-in A,B` puts an engine
in the place of the bundle's that takes A + B * crops milliseconds asleep: a device whose launches cost more than crops,
without having one. Rows and rules stay those of the bundle.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np

import edge.one_thread  # noqa: F401  # before anything that imports NumPy
from edge import messages
from edge.bundle import Bundle, read_bundle
from edge.capture.camera import Camera, CameraState
from edge.config import CameraConfig
from edge.daemon import Daemon, stream_of
from edge.engines import EngineSpec, open_engine
from edge.health import Health
from edge.locate.full_frame import FullFrameLocator
from edge.outgoing import Outgoing, Sender
from edge.pipeline import Pipeline
from edge.ports import Engine
from edge.publish.memory import MemoryPublisher
from edge.stages import percentile
from edge.types import Crops, Embeddings, Frame, Image

SIZES = (1, 2, 3, 4, 6, 8)


class Due(Camera):
    """Live: a frame is due every interval. What nobody took when the next is due is dropped, as a ring does."""

    is_live = True

    def __init__(self, name: str, image: Image, first_ns: int, interval_ns: int, frames: int) -> None:
        self.camera_id = name
        self.lost = 0
        self._image, self._first_ns, self._interval_ns, self._frames = image, first_ns, interval_ns, frames
        self._number = -1

    def fileno(self) -> int:
        """Nothing to wait on: frames come by time."""
        return -1

    def deadline_ns(self) -> int | None:
        """When the next frame, or the end, is due."""
        return None if self.state == CameraState.ENDED else self._first_ns + (self._number + 1) * self._interval_ns

    def ready(self) -> bool:
        """Whether it is."""
        due_ns = self.deadline_ns()
        return due_ns is not None and time.monotonic_ns() >= due_ns

    def _read(self, timeout_ms: int) -> Frame | None:  # noqa: ARG002  # never waits
        newest = (time.monotonic_ns() - self._first_ns) // self._interval_ns
        if newest >= self._frames:
            self.state = CameraState.ENDED
            raise EOFError
        if newest <= self._number:
            return None
        self.lost += newest - self._number - 1
        self.state, self._number = CameraState.RUNNING, newest
        self.delivered, self.last_taken_ns = self.delivered + 1, time.monotonic_ns()
        return Frame(self.camera_id, newest, self._image, self._first_ns + newest * self._interval_ns, time.time_ns())


class Timed(Engine):
    """The engine, or the time of another one and its rows; notes the crops of each run."""

    def __init__(self, inner: Engine, stand_in_ms: tuple[float, float] | None) -> None:
        self._inner, self._stand_in_ms = inner, stand_in_ms
        self.sizes: list[int] = []
        self.input_height_px, self.input_width_px = inner.input_height_px, inner.input_width_px
        self.dimension, self.max_batch = inner.dimension, inner.max_batch
        blank = np.zeros((1, self.input_height_px, self.input_width_px, 3), np.uint8)
        self._row = inner.embed(blank)

    def _embed(self, crops: Crops) -> Embeddings:
        self.sizes.append(len(crops))
        if self._stand_in_ms is None:
            return self._inner.embed(crops)
        time.sleep((self._stand_in_ms[0] + self._stand_in_ms[1] * len(crops)) / 1_000)
        return np.repeat(self._row, len(crops), axis=0)


@contextmanager
def never_shared() -> Iterator[None]:
    """Every frame has runs of its own."""
    with mock.patch("edge.engine_queue.joins", return_value=False), mock.patch("edge.daemon.window_ns", return_value=0):
        yield


def one_round(bundle: Bundle, inner: Engine, options: argparse.Namespace) -> tuple[list[float], list[int], int]:
    """Return latencies in ms, run sizes and frames lost of one round."""
    engine, publisher = Timed(inner, options.stand_in), MemoryPublisher()
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    interval_ns = round(1e9 / options.rate)
    start_ns = time.monotonic_ns() + 200_000_000
    streams, cameras = [], []
    for number in range(options.count):
        phase_ns = number * interval_ns // options.count if options.phases == "even" else number * 300_000
        camera = Due(f"c{number}", image, start_ns + phase_ns, interval_ns, round(options.seconds * options.rate))
        config = CameraConfig(id=camera.camera_id, source="0", looks=1)
        cameras.append(camera)
        streams.append(stream_of(config, camera, (FullFrameLocator(), ExitStack()), number))
    health = Health(started_ns=time.monotonic_ns())
    outgoing = Outgoing(bundle, messages.Origin("d", "e", bundle.id), health, Sender(publisher, "json"), None)
    Daemon(streams, Pipeline(bundle, engine), outgoing, time.monotonic_ns).run(threading.Event())
    sent = [messages.decode(payload) for _, payload in publisher.messages]
    looks = [m.latency_ms for m in sent if isinstance(m, messages.DecisionMessage)]
    return looks, engine.sizes, sum(camera.lost for camera in cameras)


def compare_cameras(bundle: Bundle, engine: Engine, options: argparse.Namespace) -> None:
    """Print a line for each way, medians over rounds."""
    found: dict[str, list[tuple[list[float], list[int], int]]] = {"apart": [], "shared": []}
    for _ in range(options.rounds):
        with never_shared():
            found["apart"].append(one_round(bundle, engine, options))
        found["shared"].append(one_round(bundle, engine, options))
    for way, rounds in found.items():
        p50, p99 = (median(percentile(looks, share) for looks, _, _ in rounds) for share in (0.5, 0.99))
        crops = median(len(looks) / len(sizes) for looks, sizes, _ in rounds)
        decided = median(len(looks) for looks, _, _ in rounds)
        lost = median(lost for _, _, lost in rounds)
        latency = f"p50 {p50:7.2f} ms, p99 {p99:7.2f} ms"
        print(f"{way:7} {latency}, {crops:.2f} crops a run, {decided:.0f} frames decided, {lost:.0f} lost")


def compare_sizes(engine: Engine, rounds: int) -> None:
    """Print the time of a crop by run size, against a run of one in the same round."""
    crops = np.random.default_rng(0).integers(0, 256, (8, engine.input_height_px, engine.input_width_px, 3), np.uint8)
    took: dict[int, list[float]] = {size: [] for size in SIZES if size <= engine.max_batch}
    for _ in range(rounds):
        for size, found in took.items():
            begin_ns = time.perf_counter_ns()
            engine.embed(crops[:size])
            found.append((time.perf_counter_ns() - begin_ns) / 1e6)
    for size, found in took.items():
        ratio = median(a / b / size for a, b in zip(found[1:], took[1][1:], strict=True))
        print(f"{size} crops: {median(found[1:]):.1f} ms a run, a crop takes {ratio:.2f} of a run of one")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["engine", "cameras"])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=15.0, help="frames a second of each camera")
    parser.add_argument("--count", type=int, default=4, help="cameras")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a round")
    parser.add_argument("--phases", choices=["even", "near"], default="even", help="near: 0.3 ms apart")
    parser.add_argument("--stand-in", type=lambda text: tuple(float(part) for part in text.split(",")))
    options = parser.parse_args()
    bundle = read_bundle(options.bundle)
    spec = EngineSpec(threads=1, max_batch=bundle.info.max_batch)
    print(
        f"{os.cpu_count()} cores, {bundle.info.backbone}, {bundle.info.engine}, at most {bundle.info.max_batch} crops"
    )
    with open_engine(bundle.info.engine, bundle.graph, spec) as engine:
        if options.what == "engine":
            compare_sizes(engine, options.rounds + 1)
        else:
            compare_cameras(bundle, engine, options)


if __name__ == "__main__":
    main()
