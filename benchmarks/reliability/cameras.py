"""Cameras that die, hang, freeze, break their pictures, change their size or are unplugged; a clip goes on beside them.

Noticed is when the daemon's log says so (the heartbeat follows within a second); stale is a decision about a picture
that was taken longer than STALE_S ago (`benchmarks.reliability.sensor`).
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.reliability.cart import Daemon, clip_camera, listening, running, until, write_cart
from benchmarks.reliability.result import Result
from benchmarks.reliability.sensor import Camera
from benchmarks.reliability.sizes import Sizes
from edge.bench.report import Figure, at_least, at_most
from edge.config import CameraConfig
from edge.messages import DecisionMessage, Message

__all__ = ["FAULTS", "STALE_S", "measure"]

STALE_S = 1.0  # `max_age_ms` as it comes
NOTICED_S = 2.0
SETTLE_S = 2.0
BACK_S = 60.0  # the longest pause between two attempts is 30 s
OTHERS = 0.95  # of the rate of the camera beside it: a frame or two in a short span


@dataclass(slots=True)
class Bed:
    """A daemon with the cameras `basket` (pictures), `film` (H.264) and `calm` (a clip), and what it decided."""

    cameras: dict[str, Camera]
    decided: list[tuple[int, str, float]] = field(default_factory=list)  # when, camera, true age of the picture in s

    def take(self, now_ns: int, message: Message) -> None:
        """Note a decision as it comes."""
        if isinstance(message, DecisionMessage):
            camera = self.cameras.get(message.camera_id)
            self.decided.append((now_ns, message.camera_id, camera.age_s(message.sku, now_ns) if camera else 0.0))

    def ages(self, camera_id: str, since_ns: int, until_ns: int = 1 << 62) -> list[float]:
        """Return the true ages of what was decided on in a span of time."""
        return [age for at, camera, age in list(self.decided) if camera == camera_id and since_ns <= at < until_ns]


@dataclass(frozen=True, slots=True)
class Fault:
    """How one fault begins and ends; `noticed` where the daemon has to say that the camera failed."""

    name: str
    camera: str
    begin: Callable[[Camera, int], object]  # the camera, and the process that reads it
    end: Callable[[Camera], object] = lambda _: None
    noticed: bool = True
    unplugged: bool = False
    remark: str = ""


def _set(name: str, value: bool) -> Callable[..., None]:
    return lambda camera, *_: setattr(camera, name, value)


FAULTS = (
    Fault("camera process killed", "basket", lambda _, pid: os.kill(pid, signal.SIGKILL)),
    Fault("camera process hung", "basket", lambda _, pid: os.kill(pid, signal.SIGSTOP)),
    Fault("camera hangs (H.264)", "film", lambda camera, _: camera.going.clear(), lambda camera: camera.going.set()),
    Fault("picture frozen", "basket", _set("frozen", True), _set("frozen", False)),
    Fault("JPEG truncated", "basket", _set("cut", True), _set("cut", False), noticed=False),
    Fault(
        "H.264 truncated",
        "film",
        _set("cut", True),
        _set("cut", False),
        noticed=False,
        remark="whole macroblocks; three of four pictures are built on the one before",
    ),
    Fault("resolution changed and back", "basket", _set("large", True), _set("large", False), noticed=False),
    Fault(
        "camera unplugged", "basket", lambda camera, _: camera.unplug(), lambda camera: camera.plug_in(), unplugged=True
    ),
)


def measure(sizes: Sizes) -> list[Result]:
    """Break the cameras one after the other, and return a row for each way."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as place, _plugged_in() as cameras:
        folder, bed = Path(place), Bed(cameras)
        network = [CameraConfig(id=camera_id, source=camera.url) for camera_id, camera in cameras.items()]
        config = write_cart(folder, [*network, clip_camera(folder, "calm")], sizes)
        with listening(folder, bed.take), running(config) as daemon:
            names = (*cameras, "calm")
            until(lambda: all(bed.ages(name, 0) for name in names), "decisions about every camera")
            pids = dict(zip(names, (child.pid for child in daemon.children()), strict=True))
            return [_broken(fault, bed, (daemon, pids), sizes) for fault in FAULTS]


@contextmanager
def _plugged_in() -> Iterator[dict[str, Camera]]:
    cameras = {"basket": Camera(), "film": Camera(film=True)}
    for camera in cameras.values():
        camera.plug_in()
    try:
        yield cameras
    finally:
        for camera in cameras.values():
            camera.unplug()


def _broken(fault: Fault, bed: Bed, watched: tuple[Daemon, dict[str, int]], sizes: Sizes) -> Result:
    daemon, pids = watched
    quiet_ns = time.monotonic_ns()
    time.sleep(SETTLE_S)
    begin_ns = time.monotonic_ns()
    fault.begin(bed.cameras[fault.camera], _reader(daemon, pids, fault.camera))
    time.sleep(sizes.unplugged_s if fault.unplugged else sizes.fault_s)
    end_ns = time.monotonic_ns()
    fault.end(bed.cameras[fault.camera])
    noticed_ns = daemon.said(f"camera {fault.camera}: ", begin_ns)
    until(lambda: any(age < STALE_S for age in bed.ages(fault.camera, end_ns)), f"{fault.camera} to come back", BACK_S)
    back_ns = next(at for at, camera, age in bed.decided if camera == fault.camera and at >= end_ns and age < STALE_S)
    time.sleep(SETTLE_S / 2)
    now_ns = time.monotonic_ns()
    ages = bed.ages(fault.camera, begin_ns, now_ns)
    time.sleep(SETTLE_S)
    quiet = min(_rate(bed, quiet_ns, begin_ns), _rate(bed, now_ns, time.monotonic_ns()))
    rate = _rate(bed, begin_ns, now_ns) / quiet
    figures = [
        at_most("oldest picture decided on", max(ages, default=0.0), "s", STALE_S),
        at_most("back after", (back_ns - end_ns) / 1e9, "s", BACK_S),
        at_least("rate of the other camera", rate, "of that in the slower quiet span beside it", OTHERS),
    ]
    if fault.noticed:
        late_s = float("inf") if noticed_ns is None else (noticed_ns - begin_ns) / 1e9
        figures.insert(0, at_most("noticed after", late_s, "s", NOTICED_S))
    during = len(bed.ages(fault.camera, begin_ns, end_ns))
    oldest = max(bed.ages(fault.camera, quiet_ns, begin_ns), default=0.0)
    figures += [Figure("decisions meanwhile", during, ""), Figure("oldest picture before", oldest, "s")]
    return Result(fault.name, tuple(figures), remark=fault.remark)


def _rate(bed: Bed, since_ns: int, until_ns: int) -> float:
    """Return the decisions a second about the camera that nothing happens to."""
    return len(bed.ages("calm", since_ns, until_ns)) / ((until_ns - since_ns) / 1e9)


def _reader(daemon: Daemon, pids: dict[str, int], camera_id: str) -> int:
    """Return the process that reads a camera now; those of cameras that failed before have other numbers than first."""
    alive = {child.pid for child in daemon.children()}
    for name in [name for name, pid in pids.items() if pid not in alive]:
        pids[name] = max(alive - set(pids.values()))
    return pids[camera_id]
