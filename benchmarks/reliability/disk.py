"""A real ext4 file system in a file: it can be filled, and its power can be cut.

`EXT4_IOC_SHUTDOWN` without flushing the log drops everything that was not yet on the device, as if the plug was pulled.
It does not tear a sector and does not lie about what was flushed, as some storage does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Disk", "NoDiskError", "disk"]

SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2  # _IOR('X', 125, __u32); EXT4_GOING_FLAGS_NOLOGFLUSH


class NoDiskError(Exception):
    """This machine gives none; the message says why."""


class Disk:
    """A file system at `mount`."""

    def __init__(self, image: Path, mount: Path) -> None:
        self._image, self.mount = image, mount
        mount.mkdir()

    def on(self) -> None:
        """Mount it; raises NoDiskError."""
        _run("mount", "-o", "loop,commit=1", self._image, self.mount)

    def cut(self) -> None:
        """Pull the plug: nothing can be read or written any more."""
        folder = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(folder)

    def off(self) -> None:
        """Unmount it; nobody may hold a file there."""
        _run("umount", self.mount)


@contextmanager
def disk(folder: Path, mib: int = 64) -> Iterator[Disk]:
    """Yield an empty one in `folder`, mounted; raises NoDiskError where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        raise NoDiskError("needs root and mkfs.ext4")
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(mib << 20)
    _run("mkfs.ext4", "-q", "-F", image)
    made = Disk(image, folder / "mount")
    made.on()
    try:
        yield made
    finally:
        subprocess.run(["umount", "-l", str(made.mount)], check=False, capture_output=True)


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoDiskError(f"{command[0]} says {done.stderr.strip()}")
