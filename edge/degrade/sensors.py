"""What a device can tell about itself, read from Linux; what is not there is left out and never guessed.

- memory: `MemAvailable` and `MemTotal` of /proc/meminfo; on a Jetson CPU and GPU share it.
- own memory: what the daemon and its capture processes take (`edge.machine`), against the limit of the configuration;
  or else what the control group takes, against its limit (`edge.control_group`).
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

from edge.control_group import group_of
from edge.degrade.ladder import Axis
from edge.machine import hottest_celsius, used_bytes

__all__ = ["Sensors"]

POWER_S = 60
NVPMODEL_S = 5
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
        self._limit_mib = limit_mib
        self._group = None if limit_mib else group_of(root)
        self._disks = [disk if disk.is_dir() else disk.parent for disk in disks]
        self._power_mode = power_mode
        self._pids = pids
        self._root = root
        self._power: tuple[float, float | None] = (float("-inf"), None)  # when it was asked, what it said
        self._system_mib = 0.0  # known once it was read

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

    def taking(self, mib: float) -> dict[Axis, float]:
        """Return by how much the readings of memory change where so much more is taken."""
        limit_mib = self._group.limit_mib if self._group is not None else self._limit_mib
        changes = {Axis.MEMORY: (-mib, self._system_mib), Axis.OWN_MEMORY: (mib, limit_mib)}
        return {axis: change / whole for axis, (change, whole) in changes.items() if whole}

    def _available(self) -> float | None:
        try:
            lines = (self._root / "proc/meminfo").read_text(encoding="ascii").splitlines()
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
            self._system_mib = sizes["MemTotal"] / 1024
            return sizes["MemAvailable"] / sizes["MemTotal"]
        except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
            return None

    def _own(self) -> float | None:
        if self._group is not None:
            taken = self._group.used_mib()
            return None if taken is None else taken / self._group.limit_mib
        if not self._limit_mib:
            return None
        used = used_bytes(self._pids(), self._root / "proc")
        return used / MIB / self._limit_mib if used else None

    def _other_power_mode(self) -> float | None:
        asked_s, said = self._power
        if time.monotonic() - asked_s < POWER_S:
            return said
        try:
            done = subprocess.run(
                ["nvpmodel", "-q"], capture_output=True, timeout=NVPMODEL_S, check=True, env=self._path()
            )
            lines = done.stdout.decode(errors="replace").splitlines()
            modes = [line.partition(":")[2].strip() for line in lines if "Power Mode" in line]
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
