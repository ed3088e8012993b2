"""What a capture process saves by not decoding frames that nobody comes for, and what that costs in time.

    python benchmarks/asking.py --bundle BUNDLE [--cameras 2] [--engine-ms 100] [--size 1280x720] [--rate 25]

Network cameras (motion JPEG over HTTP, from a process of their own) and the daemon's loop with an engine that sleeps
`--engine-ms` a crop, slower than the cameras. A round with asking and one without by turns: processor time of the
capture processes, frames decided, and how old a frame was when its decision was sent.
"""

from __future__ import annotations

import argparse
import http.server
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from unittest import mock

import cv2
import numpy as np

import edge.one_thread  # noqa: F401  # before the daemon's own imports
from edge import messages
from edge.bundle import Bundle, read_bundle
from edge.capture import open_camera
from edge.capture.camera import Camera
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
from edge.types import Crops, Embeddings

PICTURES = 60
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Slow(Engine):
    """Rows of the bundle's engine, after a sleep for each crop."""

    def __init__(self, inner: Engine, sleep_ms: float) -> None:
        self._sleep_s = sleep_ms / 1_000
        self.input_height_px, self.input_width_px = inner.input_height_px, inner.input_width_px
        self.dimension, self.max_batch = inner.dimension, inner.max_batch
        self._row = inner.embed(np.zeros((1, self.input_height_px, self.input_width_px, 3), np.uint8))

    def _embed(self, crops: Crops) -> Embeddings:
        time.sleep(self._sleep_s * len(crops))
        return np.repeat(self._row, len(crops), axis=0)


@dataclass(frozen=True, slots=True)
class Found:
    """One round. `busy` is processor time of all capture processes in parts of one core."""

    busy: float
    decided: int
    age_ms: list[float]
    drops: Counter[str]


def serve(port_to: Connection, size: tuple[int, int], rate: float) -> None:
    """Send pictures of a still scene under noise, each `1 / rate` s, to whoever connects."""
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 256, (18, 32, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
    noisy = (np.clip(scene + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8) for _ in range(PICTURES))
    bodies = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in noisy]
    head = "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
    parts = [head.format(len(body)).encode() + body + b"\r\n" for body in bodies]

    class Stream(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
            self.end_headers()
            due_s, number = time.monotonic(), 0
            with suppress(OSError):
                while True:
                    self.wfile.write(parts[number % PICTURES])
                    number, due_s = number + 1, due_s + 1 / rate
                    time.sleep(max(0.0, due_s - time.monotonic()))

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    port_to.send(server.server_port)
    server.serve_forever()


@contextmanager
def served(options: argparse.Namespace) -> Iterator[str]:
    """Yield the URL of a camera."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, options.size, options.rate))
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/video"
    finally:
        process.kill()
        process.join()


def busy_s(camera: Camera) -> float:
    """Processor time of a capture process so far."""
    fields = Path(f"/proc/{camera.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def one_round(bundle: Bundle, engine: Engine, url: str, options: argparse.Namespace) -> Found:
    """Run the loop for a while and look at the capture processes from outside."""
    publisher, stop = MemoryPublisher(), threading.Event()
    with ExitStack() as stack:
        configs = [CameraConfig(id=f"c{n}", source=url, looks=1) for n in range(options.cameras)]
        cameras = [stack.enter_context(open_camera(config)) for config in configs]
        pairs = zip(configs, cameras, strict=True)
        streams = [stream_of(config, camera, (FullFrameLocator(), ExitStack()), 0) for config, camera in pairs]
        health = Health(started_ns=time.monotonic_ns())
        outgoing = Outgoing(bundle, messages.Origin("d", "e", bundle.id), health, Sender(publisher, "json"), None)
        daemon = Daemon(streams, Pipeline(bundle, engine), outgoing, time.monotonic_ns)
        thread = threading.Thread(target=daemon.run, args=(stop,))
        thread.start()
        time.sleep(4)
        before, shown, began_s = [busy_s(camera) for camera in cameras], len(publisher.messages), time.monotonic()
        time.sleep(options.seconds)
        took_s = sum(busy_s(camera) for camera in cameras) - sum(before)
        sent, span_s = publisher.messages[shown:], time.monotonic() - began_s
        stop.set()
        thread.join()
        drops = sum((Counter(camera.drops) for camera in cameras), Counter[str]())
    looks = [m for m in (messages.decode(payload) for _, payload in sent) if isinstance(m, messages.DecisionMessage)]
    return Found(took_s / span_s, len(looks), [look.latency_ms for look in looks], drops)


def main() -> None:
    """Print a line for each way, medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--engine-ms", type=float, default=100.0)
    parser.add_argument("--size", type=lambda text: tuple(int(part) for part in text.split("x")), default=(1280, 720))
    parser.add_argument("--rate", type=float, default=25.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    bundle = read_bundle(options.bundle)
    found: dict[str, list[Found]] = {"everything": [], "asked": []}
    with served(options) as url, open_engine(bundle.info.engine, bundle.graph, EngineSpec()) as inner:
        engine = Slow(inner, options.engine_ms)
        for _ in range(options.rounds):
            with mock.patch("edge.capture.pace.Pace.is_behind", False):
                found["everything"].append(one_round(bundle, engine, url, options))
            found["asked"].append(one_round(bundle, engine, url, options))
    for way, rounds in found.items():
        busy, decided = median(one.busy for one in rounds), median(one.decided for one in rounds)
        p50, p99 = (median(percentile(one.age_ms, share) for one in rounds) for share in (0.5, 0.99))
        drops = ", ".join(f"{reason} {count}" for reason, count in rounds[-1].drops.items() if count)
        print(f"{way:10} {busy:.3f} cores, {decided:.0f} decided, age p50 {p50:.0f} ms, p99 {p99:.0f} ms; {drops}")
    pairs = zip(found["asked"], found["everything"], strict=True)
    ratios = sorted(asked.busy / every.busy for asked, every in pairs)
    print(f"processor time asked / everything: median {median(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}")


if __name__ == "__main__":
    main()
