"""The memory limit reached: a camera begins to give pictures that are far larger, in a control group that has a limit.

The limit is the kernel's own: a daemon that reaches it is killed. It is set so that with the large pictures the daemon
takes TIGHT of it, between a step down the ladder and all of them, as a device that fills up does. Where no control
group can be made, the daemon is told the limit (`degrade.memory_limit_mib`), and the kernel watches nothing.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.reliability.cart import Daemon, Heard, listening, running, until, write_cart
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from edge.bench.report import Figure, at_least, at_most
from edge.config import CameraConfig, DegradeConfig
from edge.control_group import Group
from edge.errors import RuntimeFault
from edge.machine import used_bytes
from edge.messages import HealthMessage
from tests import samples
from tests.mjpeg_camera import MULTIPART, http_camera, jpeg_part

__all__ = ["measure"]

GROUPS = Path("/sys/fs/cgroup/memory")  # version 1; version 2 has one tree for everything
TIGHT = 0.945
RING_SLOTS = 16
PICTURES = 24
SMALL, LARGE = (96, 96), (1080, 1920)
SETTLE_S = 6.0
WATCH_S = 40.0
MIB = 1 << 20


class _Growing:
    """A camera whose pictures are as large as `size` says."""

    def __init__(self) -> None:
        noise = np.random.default_rng(0)
        self._parts = {size: [_part(number, size, noise) for number in range(PICTURES)] for size in (SMALL, LARGE)}
        self.size = SMALL

    def part(self, number: int) -> bytes:
        return self._parts[self.size][number % PICTURES]


def _part(number: int, size: tuple[int, int], noise: np.random.Generator) -> bytes:
    image = cv2.resize(samples.product(number), size[::-1])  # another product each time: nothing is still
    return jpeg_part(np.clip(image + noise.integers(-9, 10, (*size, 3)), 0, 255).astype(np.uint8), 1.0)


def measure(_sizes: Sizes) -> list[Result]:
    """Return the row."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as place, ExitStack() as stack:
        growing = _Growing()
        urls = [stack.enter_context(http_camera(MULTIPART, part)) for part in (_Growing().part, growing.part)]
        cameras = [
            CameraConfig(id=name, source=url, ring_slots=RING_SLOTS, priority=rank, looks=1)
            for name, url, rank in zip(("basket", "shelf"), urls, (5, 0), strict=True)
        ]
        with listening(Path(place)) as heard, _group() as group:
            bed = _Bed(Path(place), cameras, heard, growing, group)
            limit_mib = _full_mib(bed) / TIGHT
            if group is not None:
                (group / "memory.limit_in_bytes").write_text(str(round(limit_mib * MIB)))
            return [_squeezed(bed, limit_mib)]


@dataclass(frozen=True, slots=True)
class _Bed:
    folder: Path
    cameras: list[CameraConfig]
    heard: Heard
    growing: _Growing
    group: Path | None

    @contextmanager
    def running(self, degrade: DegradeConfig | None) -> Iterator[Daemon]:
        """Yield a daemon in the group."""
        prefix = ("sh", "-c", f'echo $$ > {self.group}/cgroup.procs; exec "$0" "$@"') if self.group else ()
        with running(write_cart(self.folder, self.cameras, Sizes(), degrade=degrade), prefix=prefix) as daemon:
            yield daemon

    def taken_mib(self, daemon: Daemon) -> float:
        """Return what counts against the limit."""
        if self.group is not None:
            return Group(self.group, 0.0, 1).used_mib() or 0.0
        if daemon.process.poll() is not None:
            return 0.0
        return used_bytes([daemon.process.pid, *(child.pid for child in daemon.children())]) / MIB


def _full_mib(bed: _Bed) -> float:
    """Return what the daemon takes with large pictures, where nothing limits it."""
    bed.growing.size = LARGE
    with bed.running(None) as daemon:
        until(lambda: _frames(bed.heard, "shelf") > 3 * RING_SLOTS, "the rings to be full")
        time.sleep(SETTLE_S)
        found = bed.taken_mib(daemon)
    bed.growing.size = SMALL
    bed.heard.messages.clear()
    return found


def _squeezed(bed: _Bed, limit_mib: float) -> Result:
    told = DegradeConfig() if bed.group else DegradeConfig(memory_limit_mib=round(limit_mib))
    peak = 0.0
    with bed.running(told) as daemon:
        until(lambda: _frames(bed.heard, "shelf") > 0, "the first frame")
        before = _rate(bed.heard, SETTLE_S)
        bed.growing.size = LARGE
        begin = time.monotonic()
        shed_s = 0.0
        while daemon.process.poll() is None and shed_s < WATCH_S and _state(bed.heard) != "shed":
            peak = max(peak, bed.taken_mib(daemon))
            time.sleep(0.05)
            shed_s = time.monotonic() - begin
        if daemon.process.poll() is not None:
            return Result("memory limit reached", (at_most("daemons killed", 1, "", 0),))
        after = _rate(bed.heard, SETTLE_S)
        left = bed.taken_mib(daemon)
        ended = daemon.process.poll()
    return Result(
        "memory limit reached",
        (
            at_most("daemons killed", float(ended is not None), "", 0),
            at_most("most memory taken", peak / limit_mib, "of the limit", 1.0),
            at_most("camera closed after", shed_s, "s", WATCH_S - 1),
            at_most("taken then", left / limit_mib, "of the limit", 0.85),
            at_least("decisions about the other camera", after / before, "of before", 0.4),
            Figure("limit", limit_mib, "MiB"),
        ),
        remark="" if bed.group else "the kernel enforced nothing: no control group could be made here",
    )


@contextmanager
def _group() -> Iterator[Path | None]:
    """Yield a new control group, None where none can be made."""
    group = GROUPS / f"shelfedge-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        yield group
    finally:
        until(lambda: _removed(group), "the control group to be left")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def _camera(heard: Heard, name: str, read: Callable[[HealthMessage, int], float | str]) -> float | str | None:
    last = heard.health()
    places = [place for place, camera in enumerate(last.cameras) if camera.id == name] if last else []
    return read(last, places[0]) if last and places else None


def _frames(heard: Heard, name: str) -> float:
    return float(_camera(heard, name, lambda health, place: health.cameras[place].frames) or 0)


def _state(heard: Heard) -> str:
    return str(_camera(heard, "shelf", lambda health, place: health.cameras[place].state))


def _rate(heard: Heard, span_s: float) -> float:
    begin, begin_s = len(heard.decisions()), time.monotonic()
    time.sleep(span_s)
    found = sum(message.camera_id == "basket" for _, message in heard.decisions()[begin:])
    if not found:
        raise RuntimeFault(f"no decision about the other camera in {span_s:g} s")
    return found / (time.monotonic() - begin_s)
