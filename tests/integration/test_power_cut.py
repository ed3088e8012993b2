"""The outbox through power cuts: a real ext4 on a loop device that stops in the middle, as if the plug was pulled.

`EXT4_IOC_SHUTDOWN` without flushing the log drops everything that was not yet on the device. Needs the right to mount.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.outbox.store import Limits, Store

SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2  # _IOR('X', 125, __u32); EXT4_GOING_FLAGS_NOLOGFLUSH
CUTS = 100

KEEPER = """
import sys
from pathlib import Path
from edge.outbox.store import Entry, Limits, Store
from edge.types import Route
first = int(sys.argv[2])
with Store(Path(sys.argv[1]), Limits(1_000_000, 1 << 30, reserve_bytes=1 << 20)) as store:
    for number in range(first, 1_000_000, 5):
        store.keep([Entry(Route.ACCEPT, str(number + k).encode() * 60) for k in range(5)])
        print(number + 4, flush=True)
        if number % 50 == 0:
            store.settle([row for row, payload in store.waiting(0, 40)])
            print("settled", flush=True)
"""


class Disk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, image: Path, mount: Path) -> None:
        self.image, self.mount = image, mount
        mount.mkdir()

    def on(self) -> None:
        run("mount", "-o", "loop,commit=1", self.image, self.mount)

    def cut(self) -> None:
        folder = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(folder)

    def off(self) -> None:
        run("umount", self.mount)


def run(*command: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no power was cut: {command[0]} says {done.stderr.strip()}")
    return done


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("no power was cut: needs root and mkfs.ext4")
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    run("mkfs.ext4", "-q", "-F", image)
    made = Disk(image, tmp_path / "mount")
    made.on()
    yield made
    subprocess.run(["umount", "-l", str(made.mount)], check=False, capture_output=True)


@pytest.mark.slow
def test_what_was_committed_survives_a_power_cut(disk: Disk) -> None:
    draw, told, settled, lost = random.Random(1), -1, -1, 0
    path = disk.mount / "outbox.sqlite"
    for _ in range(CUTS):
        wanted, first = draw.randrange(1, 40), told + 1
        command = [sys.executable, "-c", KEEPER, str(path), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as keeper:
            assert keeper.stdout is not None
            lines = [keeper.stdout.readline() for _ in range(wanted)]
            disk.cut()
            keeper.stdout.read()  # told while the power went: a machine without power would not have told it
            keeper.wait(20)
        numbers = [int(line) for line in lines if line.strip().isdigit()]
        assert numbers, "the keeper got to work"
        told = max(numbers)
        disk.off()
        disk.on()
        with Store(path, Limits(1_000_000, 1 << 30, reserve_bytes=1 << 20)) as store:
            assert store.put_aside is None, "it opens clean"
            found = {int(payload[: len(payload) // 60]) for _, payload in store.waiting(0, 100_000)}
        oldest = min(found, default=told + 1)
        assert oldest >= settled, "what was settled does not come back"
        settled = oldest if any(line.startswith("settled") for line in lines) else settled
        lost += len(set(range(oldest, told + 1)) - found)
        told = max(found, default=told)  # a commit may have been whole before it was told
    assert lost == 0
