"""What a device can tell about itself, read from Linux; what is not there is left out and never guessed.

- memory: `MemAvailable` and `MemTotal` of /proc/meminfo; on a Jetson CPU and GPU share it.
- own memory: what the daemon and its capture processes take (`edge.machine`), against the limit of the configuration or
  else of the control group (`memory.max`, cgroup v2, or `memory.limit_in_bytes`, v1).
- temperature: the hottest zone (`edge.machine`); tegrastats tells the same ones.
- power: the mode that `nvpmodel -q` names, asked every POWER_S; only where the configuration says which it should be.
- disk: what is free to this user where decisions are kept.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.degrade.ladder import Axis
from edge.machine import hottest_celsius, used_bytes

__all__ = ["Sensors", "own_limit_mib"]

POWER_S = 60
NVPMODEL_S = 5
NO_LIMIT_MIB = 1 << 30  # version 1 of control groups writes a number of this kind where there is none
MIB = 1 << 20


class Sensors:
    """Reads them all. `pids` tells the processes that count as this daemon's, `root` stands for / in tests."""

    def __init__(
        self,
        limit_mib: float,
        disks: Sequence[Path],
        power_mode: str,
        pids: Callable[[], Sequence[int]],
        root: Path = Path("/"),
    ) -> None:
        self._limit_mib = limit_mib or own_limit_mib(root)
        self._disks = [disk if disk.is_dir() else disk.parent for disk in disks]
        self._power_mode = power_mode
        self._pids = pids
        self._root = root
        self._power: tuple[float, float | None] = (float("-inf"), None)  # when it was asked, what it said

    def read(self) -> dict[Axis, float]:
        """Return the readings that are to be had."""
        found = {
            Axis.MEMORY: self._available(),
            Axis.OWN_MEMORY: self._own(),
            Axis.TEMPERATURE: hottest_celsius(self._root / "sys/class/thermal"),
            Axis.POWER: self._other_power_mode() if self._power_mode else None,
            Axis.DISK: self._free_mib(),
        }
        return {axis: value for axis, value in found.items() if value is not None}

    def _available(self) -> float | None:
        try:
            lines = (self._root / "proc/meminfo").read_text(encoding="ascii").splitlines()
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
            return sizes["MemAvailable"] / sizes["MemTotal"]
        except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
            return None

    def _own(self) -> float | None:
        if self._limit_mib is None:
            return None
        used = used_bytes(self._pids(), self._root / "proc")
        return used / MIB / self._limit_mib if used else None

    def _other_power_mode(self) -> float | None:
        asked_s, said = self._power
        if time.monotonic() - asked_s < POWER_S:
            return said
        try:
            done = subprocess.run(
                ["nvpmodel", "-q"], capture_output=True, text=True, timeout=NVPMODEL_S, check=True, env=self._path()
            )
            modes = [line.partition(":")[2].strip() for line in done.stdout.splitlines() if "Power Mode" in line]
            said = float(modes[0] != self._power_mode) if modes else None
        except (OSError, subprocess.SubprocessError):
            said = None
        self._power = (time.monotonic(), said)
        return said

    def _path(self) -> dict[str, str]:
        """Return an environment that finds nvpmodel, which a unit of systemd may not have on its path."""
        return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin", "LC_ALL": "C"}

    def _free_mib(self) -> float | None:
        found = []
        for disk in self._disks:
            try:
                status = os.statvfs(disk)
            except OSError:  # a folder that is not made yet
                continue
            found.append(status.f_bavail * status.f_frsize / (1 << 20))
        return min(found, default=None)


def own_limit_mib(root: Path = Path("/")) -> float | None:
    """Return the limit of this process's control group, or of the nearest one above it that has one; None without."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        version_2 = not controllers
        if not version_2 and "memory" not in controllers.split(","):
            continue
        base = root / ("sys/fs/cgroup" if version_2 else "sys/fs/cgroup/memory")
        name = "memory.max" if version_2 else "memory.limit_in_bytes"
        group = base / path.strip("/")
        for place in (group, *group.parents):
            if place == base.parent:
                break
            limit = _limit_mib(place / name)
            if limit is not None:
                found.append(limit)
    return min(found, default=None)


def _limit_mib(file: Path) -> float | None:
    try:
        limit = int(file.read_text(encoding="ascii")) / (1 << 20)
    except (OSError, ValueError):  # "max" is none
        return None
    return limit if limit < NO_LIMIT_MIB else None
