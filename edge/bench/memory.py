"""What all processes of a daemon hold, from the kernel's own account, and whether it grows.

PSS counts a page that n processes share as 1/n in each: the sum over the processes is what the daemon really takes.
RSS counts it in full in each, so its sum is an upper bound. Both are of the daemon and everything that it started.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

__all__ = ["MemorySample", "Slope", "sample_tree", "slope"]


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Sums over `processes` processes when `frames` frames had been decided on."""

    frames: int
    processes: int
    pss_kib: int
    rss_kib: int


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth by least squares, with the standard error of the fit; `samples` is how many points it stands on."""

    kib_per_1000_frames: float
    standard_error: float
    samples: int


def sample_tree(pid: int, frames: int) -> MemorySample | None:
    """Return the memory of process `pid` and of all its descendants; None when it is gone."""
    try:
        root = psutil.Process(pid)
        pids = [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return None
    found = [account for account in map(_rollup, pids) if account is not None]
    if not found:
        return None
    return MemorySample(frames, len(found), sum(pss for pss, _ in found), sum(rss for _, rss in found))


def slope(samples: Sequence[MemorySample]) -> Slope | None:
    """Return the growth of PSS after the warm-up third of the frames; None with fewer than three points there."""
    if not samples:
        return None
    begin = samples[0].frames + (samples[-1].frames - samples[0].frames) / 3
    points = [(sample.frames, sample.pss_kib) for sample in samples if sample.frames >= begin]
    if len(points) < 3:
        return None
    frames, kib = np.array(points, np.float64).T
    centred = frames - frames.mean()
    spread = float(centred @ centred)
    if spread == 0.0:
        return None
    growth = float(centred @ kib) / spread
    residuals = kib - kib.mean() - growth * centred
    error = float(np.sqrt(residuals @ residuals / (len(points) - 2) / spread))
    return Slope(growth * 1000, error * 1000, len(points))


def _rollup(pid: int) -> tuple[int, int] | None:
    """Return PSS and RSS of one process in KiB; None when it ended or has no memory left to account for."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    fields = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    if "Pss" not in fields or "Rss" not in fields:
        return None
    return fields["Pss"], fields["Rss"]
