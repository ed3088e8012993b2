"""What the system says of the daemon's processes and of the heat, read where it is asked and nowhere else.

PSS counts a page that n processes share as 1/n in each, so the sum is what the daemon takes. Where the kernel does not
tell it, resident size is taken, which is more. Reading PSS takes the kernel milliseconds: ask once in a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["hottest_celsius", "used_bytes"]

PAGE_BYTES = 4096
PROC = Path("/proc")
THERMAL = Path("/sys/class/thermal")
SENSIBLE_C = (-40.0, 150.0)  # some zones of parts that are off say -256


def used_bytes(pids: Iterable[int | str], proc: Path = PROC) -> int:
    """Return what the processes take together; one that has ended takes nothing."""
    return sum(_pss_bytes(proc / str(pid)) for pid in pids)


def hottest_celsius(thermal: Path = THERMAL) -> float | None:
    """Return the temperature of the hottest zone that answers sensibly; None where the system has none."""
    found = []
    for zone in thermal.glob("thermal_zone*/temp"):
        try:
            found.append(int(zone.read_text(encoding="ascii")) / 1000)
        except (OSError, ValueError):  # the part is switched off: a Jetson answers EAGAIN
            continue
    return max((value for value in found if SENSIBLE_C[0] < value < SENSIBLE_C[1]), default=None)


def _pss_bytes(process: Path) -> int:
    try:
        lines = (process / "smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except OSError:
        pass
    try:
        return int((process / "statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0
