"""The control group that limits this process: its limit, and how much of it cannot be taken back.

What counts against the limit is all that the group's processes hold, kernel memory included, and the pages of files
that they were the first to read. Those that nobody used lately are given up before anybody is killed, so they are left
out: the working set, as container managers reckon it. Version 2 (`memory.max`) and version 1 (`memory.limit_in_bytes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Group", "group_of"]

MIB = 1 << 20
NO_LIMIT_MIB = 1 << 30  # version 1 writes a number of this kind where there is none


@dataclass(frozen=True, slots=True)
class Group:
    """The group with the least limit, of this process's own and those above it."""

    folder: Path
    limit_mib: float
    version: int

    def used_mib(self) -> float | None:
        """Return the working set, None where it cannot be read."""
        usage, inactive = ("memory.current", "inactive_file")
        if self.version == 1:
            usage, inactive = "memory.usage_in_bytes", "total_inactive_file"
        try:
            used = int((self.folder / usage).read_text(encoding="ascii"))
            stat = (self.folder / "memory.stat").read_text(encoding="ascii").split("\n")
        except (OSError, ValueError):
            return None
        idle = next((int(line.split()[1]) for line in stat if line.startswith(f"{inactive} ")), 0)
        return max(used - idle, 0) / MIB


def group_of(root: Path = Path("/")) -> Group | None:
    """Return the group that limits this process; None where none does, or none is to be seen from here."""
    return min(_limited(root), key=lambda group: group.limit_mib, default=None)


def _limited(root: Path) -> Iterator[Group]:
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        version = 1 if controllers else 2
        if version == 1 and "memory" not in controllers.split(","):
            continue
        base = root / ("sys/fs/cgroup" if version == 2 else "sys/fs/cgroup/memory")
        own = base / path.strip("/")
        for folder in (own, *own.parents):
            if folder == base.parent:
                break
            limit_mib = _limit_mib(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
            if limit_mib is not None:
                yield Group(folder, limit_mib, version)


def _limit_mib(file: Path) -> float | None:
    try:
        limit = int(file.read_text(encoding="ascii")) / MIB
    except (OSError, ValueError):  # "max" is none
        return None
    return limit if limit < NO_LIMIT_MIB else None
