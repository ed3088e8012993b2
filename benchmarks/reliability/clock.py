"""The wall clock jumps a year forth and two back under a daemon, and another one boots in 1970 and is set right.

The machine's clock is not touched: `clock_shift.c` is preloaded into the daemon and its capture process and shifts
their wall clock alone, while they run. The one that boots in 1970 is in a time namespace too, in which the machine
has just been switched on. Needs a C compiler, and the second one root.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import zmq

from benchmarks.reliability.cart import Heard, clip_camera, listening, running, until, write_cart
from benchmarks.reliability.delivery import collector, kept
from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes
from benchmarks.reliability.verdicts import tell
from edge.bench.report import Figure, at_least, at_most
from edge.config import FeedbackConfig, OutboxConfig
from edge.messages import HealthMessage

__all__ = ["measure"]

YEAR_S = 365 * 86_400
RATE = 0.9
LATENCY_MS = 1_000.0  # `max_age_ms`: beyond it nothing is decided on
HEARTBEAT_S = 0.5  # between what two heartbeats say of the time and what passed here
SWITCHED_ON = """
import ctypes, os, sys, time
kernel, new_time = ctypes.CDLL(None, use_errno=True), 0x80
if kernel.unshare(new_time):
    sys.exit(f"no time namespace: {os.strerror(ctypes.get_errno())}")
for clock in ("monotonic", "boottime"):
    passed = int(time.clock_gettime(time.CLOCK_MONOTONIC if clock == "monotonic" else time.CLOCK_BOOTTIME)) - 5
    open("/proc/self/timens_offsets", "w").write(f"{clock} {-passed} 0")
if kernel.setns(os.open("/proc/self/ns/time_for_children", os.O_RDONLY), new_time):
    sys.exit(f"no time namespace: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True, slots=True)
class Story:
    """Shifts of the wall clock in seconds, one after the other; `prefix` starts the daemon."""

    name: str
    shifts: Sequence[int]
    prefix: Sequence[str] = ()


def measure(sizes: Sizes) -> list[Result]:
    """Return a row for the jumps and one for the boot in 1970."""
    boot = 30 - int(time.time())
    switched_on = (sys.executable, "-c", SWITCHED_ON)
    stories = (
        Story("wall clock jumps a year forth and two back", (0, YEAR_S, -YEAR_S)),
        Story("boots in 1970, just switched on, and is set right", (boot, 0), switched_on),
    )
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return [Result(story.name, not_run="no C compiler for the clock's shim") for story in stories]
    return [_lived(story, compiler, sizes) for story in stories]


def _lived(story: Story, compiler: str, sizes: Sizes) -> Result:
    with tempfile.TemporaryDirectory(prefix="reliability-") as place:
        folder = Path(place)
        source, shim = Path(__file__).with_name("clock_shift.c"), folder / "clock_shift.so"
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
        shift = folder / "shift"
        shift.write_bytes(struct.pack("q", story.shifts[0]))
        outbox = OutboxConfig(path=f"{folder}/outbox.sqlite", collector=f"ipc://{folder}/collector")
        feedback = FeedbackConfig(path=f"{folder}/feedback.sqlite", listen=f"ipc://{folder}/truth")
        config = write_cart(folder, [clip_camera(folder, "basket")], sizes, outbox=outbox, feedback=feedback)
        environment = {"LD_PRELOAD": str(shim), "CLOCK_SHIFT": str(shift)}
        with (
            collector(folder, outbox.collector),
            listening(folder) as heard,
            running(config, prefix=story.prefix, environment=environment) as daemon,
        ):
            until(lambda: bool(heard.decisions()) or daemon.process.poll() is not None, "the first decision")
            if not heard.decisions():
                return Result(story.name, not_run=daemon.log[-1][1] if daemon.log else "the daemon ended")
            moments, answers = _jump(folder, heard, (story.shifts, shift), sizes.jump_s)
            until(lambda: len(kept(folder)) >= len(heard.decisions()), "everything to be delivered")
    return Result(story.name, _figures(heard, moments, answers))


def _jump(folder: Path, heard: Heard, story: tuple[Sequence[int], Path], each_s: float) -> tuple[list[int], list[str]]:
    """Live through the shifts; return when each began and ended, and what a verdict was answered in each."""
    shifts, file = story
    moments, answers = [time.monotonic_ns()], []
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 8) as seen, zmq.Context() as context:
        for shift in shifts:
            seen[:] = struct.pack("q", shift)
            time.sleep(each_s)
            latest = heard.decisions()[-1][1]
            answers.append(tell(context, f"ipc://{folder}/truth", latest.decision_id, latest.sku or "unknown"))
            moments.append(time.monotonic_ns())
    return moments, answers


def _figures(heard: Heard, moments: Sequence[int], answers: Sequence[str]) -> tuple[Figure, ...]:
    decisions = heard.decisions()
    rates = [sum(begin <= at < end for at, _ in decisions) / ((end - begin) / 1e9) for begin, end in pairwise(moments)]
    beats = [(at / 1e9, m.uptime_s) for at, m in heard.messages if isinstance(m, HealthMessage)]
    odd_s = max((abs((a1 - a0) - (u1 - u0)) for (a0, u0), (a1, u1) in pairwise(beats)), default=float("inf"))
    numbers = [message.seq for _, message in heard.messages]
    taken = [message.captured_monotonic_ns for _, message in decisions]
    days = {message.captured_utc[:4] for _, message in decisions}
    return (
        at_least("the clock was seen in so many years", len(days), "", len(moments) - 1),
        at_least("decisions a second, least / most", min(rates) / max(rates), "", RATE),
        at_most("largest latency", max(message.latency_ms for _, message in decisions), "ms", LATENCY_MS),
        at_most("smallest latency below nothing", -min(message.latency_ms for _, message in decisions), "ms", 0),
        at_most("heartbeats off by", odd_s, "s", HEARTBEAT_S),
        at_most(
            "out of order", sum(b <= a for a, b in pairwise(numbers)) + sum(b < a for a, b in pairwise(taken)), "", 0
        ),
        at_most("verdicts not taken", sum(answer not in ("taken", "again") for answer in answers), "", 0),
    )
