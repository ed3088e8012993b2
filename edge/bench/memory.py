"""What all processes of a daemon hold, from the kernel's own account, and whether it grows.

PSS counts a page that n processes share as 1/n in each: the sum over the processes is what the daemon really takes.
RSS counts it in full in each, so its sum is an upper bound. Both are of the daemon and everything that it started.

`alone` is what PSS would be were nothing else on the machine, such as the program that measures, to map the same files:
private pages, and of each shared mapping the most that one of the processes has of it. A budget is held against that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

__all__ = ["MemorySample", "Slope", "sample_tree", "slope"]

_WORDS = {"VmFlags", "THPeligible", "ProtectionKey"}  # fields that are not sizes


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Sums over `processes` processes when `frames` frames had been decided on.

    `beside_kib` is the part of `alone_kib` that the first process does not hold: what its children add.
    """

    frames: int
    processes: int
    pss_kib: int
    rss_kib: int
    alone_kib: int
    beside_kib: int = 0


@dataclass(slots=True)
class _Account:
    """One process; `shared_kib` by offset, device and inode of what is mapped."""

    pss_kib: int = 0
    rss_kib: int = 0
    private_kib: int = 0
    shared_kib: Counter[str] = field(default_factory=Counter)


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
    found = [account for account in map(_account, pids) if account is not None]
    if not found:
        return None
    shared: Counter[str] = Counter()
    for account in found:
        shared |= account.shared_kib  # the larger of both
    alone = sum(account.private_kib for account in found) + shared.total()
    return MemorySample(
        frames,
        len(found),
        sum(account.pss_kib for account in found),
        sum(account.rss_kib for account in found),
        alone,
        alone - found[0].private_kib - found[0].shared_kib.total(),
    )


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


def _account(pid: int) -> _Account | None:
    """Return the memory of one process; None when it ended or has no memory left to account for."""
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    account, shared = _Account(), ""
    for line in lines:
        name, _, value = line.partition(":")
        if name == "Pss":
            account.pss_kib += _kib(value)
        elif name == "Rss":
            account.rss_kib += _kib(value)
        elif name.startswith("Private_") and name != "Private_Hugetlb":
            account.private_kib += _kib(value)
        elif name in {"Shared_Clean", "Shared_Dirty"}:
            account.shared_kib[shared] += _kib(value)
        elif not value.endswith("kB") and name not in _WORDS:
            fields = line.split(maxsplit=5)  # range, rights, offset, device, inode, path
            shared = " ".join(fields[2:5])
    return account if account.rss_kib else None


def _kib(value: str) -> int:
    return int(value.split(maxsplit=1)[0])
