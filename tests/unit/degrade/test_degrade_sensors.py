"""Readings from files as Linux writes them; what is not there is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.control_group import group_of
from edge.degrade.ladder import Axis
from edge.degrade.sensors import Sensors


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def sensors(root: Path, limit_mib: float = 0.0, disks: tuple[Path, ...] = (), power_mode: str = "") -> Sensors:
    return Sensors(limit_mib, disks, power_mode, lambda: [7, 8], root)


def test_a_machine_that_tells_nothing_has_no_readings(tmp_path: Path) -> None:
    assert sensors(tmp_path).read() == {}


def test_memory_is_the_share_that_is_available(tmp_path: Path) -> None:
    put(tmp_path, "proc/meminfo", "MemTotal:  8000 kB\nMemFree: 100 kB\nMemAvailable:  2000 kB\n")
    assert sensors(tmp_path).read() == {Axis.MEMORY: 0.25}


def test_what_memory_is_in_the_readings(tmp_path: Path) -> None:
    put(tmp_path, "proc/meminfo", "MemTotal:  8192000 kB\nMemAvailable:  2048000 kB\n")
    limited = sensors(tmp_path, limit_mib=400)
    assert limited.taking(80) == {Axis.OWN_MEMORY: 0.2}, "the system is not known before it was read"
    limited.read()
    assert limited.taking(80) == {Axis.MEMORY: -0.01, Axis.OWN_MEMORY: 0.2}
    free = sensors(tmp_path)
    free.read()
    assert free.taking(80) == {Axis.MEMORY: -0.01}
    put(tmp_path, "proc/self/cgroup", "0::/a\n")
    put(tmp_path, "sys/fs/cgroup/a/memory.max", str(200 << 20))
    assert sensors(tmp_path).taking(80) == {Axis.OWN_MEMORY: 0.4}


def test_the_hottest_zone_counts_and_one_that_is_off_does_not(tmp_path: Path) -> None:
    for number, text in enumerate(["45000", "61500", "-256000", "nonsense"]):
        put(tmp_path, f"sys/class/thermal/thermal_zone{number}/temp", text)
    (tmp_path / "sys/class/thermal/thermal_zone9").mkdir()
    assert sensors(tmp_path).read() == {Axis.TEMPERATURE: 61.5}


def test_own_memory_is_that_of_all_processes_against_the_limit(tmp_path: Path) -> None:
    for pid, size in ((7, 51_200), (8, 10_240)):
        put(tmp_path, f"proc/{pid}/smaps_rollup", f"55d0-7ffd ---p [rollup]\nRss: 99999 kB\nPss:   {size} kB\n")
    assert sensors(tmp_path, limit_mib=120).read() == {Axis.OWN_MEMORY: pytest.approx(0.5)}


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/system.slice/edge.service", {"sys/fs/cgroup/system.slice/edge.service/memory.max": "1073741824"}, 1024),
        ("0::/a/b", {"sys/fs/cgroup/a/b/memory.max": "max", "sys/fs/cgroup/a/memory.max": "536870912"}, 512),
        ("0::/a", {"sys/fs/cgroup/a/memory.max": "max"}, None),
        ("4:memory:/a", {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "268435456"}, 256),
        ("4:memory:/", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("3:cpu:/a", {}, None),
    ],
)
def test_the_limit_of_a_control_group_is_found(
    tmp_path: Path, group: str, files: dict[str, str], expected: float | None
) -> None:
    put(tmp_path, "proc/self/cgroup", group + "\n")
    for name, text in files.items():
        put(tmp_path, name, text)
    found = group_of(tmp_path)
    assert (found and found.limit_mib) == expected


@pytest.mark.parametrize(
    ("group", "files"),
    [
        (
            "0::/a",
            {"a/memory.max": "104857600", "a/memory.current": "83886080", "a/memory.stat": "inactive_file 31457280"},
        ),
        (
            "4:memory:/a",
            {
                "memory/a/memory.limit_in_bytes": "104857600",
                "memory/a/memory.usage_in_bytes": "83886080",
                "memory/a/memory.stat": "cache 1\ntotal_inactive_file 31457280",
            },
        ),
    ],
)
def test_what_a_control_group_cannot_take_back_counts(tmp_path: Path, group: str, files: dict[str, str]) -> None:
    put(tmp_path, "proc/self/cgroup", group + "\n")
    for name, text in files.items():
        put(tmp_path, f"sys/fs/cgroup/{name}", text)
    assert sensors(tmp_path).read() == {Axis.OWN_MEMORY: pytest.approx(0.5)}


def test_the_fullest_disk_counts_also_before_its_file_is_made(tmp_path: Path) -> None:
    found = sensors(tmp_path / "none", disks=(tmp_path / "outbox.sqlite",)).read()
    status = os.statvfs(tmp_path)
    assert found[Axis.DISK] == pytest.approx(status.f_bavail * status.f_frsize / (1 << 20), rel=0.1)
    assert sensors(tmp_path / "none", disks=(tmp_path / "not/there/yet/o.sqlite",)).read() == {}


@pytest.mark.parametrize(("wanted", "expected"), [("MAXN", 0.0), ("15W", 1.0)])
def test_another_power_mode_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, expected: float
) -> None:
    tool = tmp_path / "nvpmodel"
    tool.write_text("#!/bin/sh\necho 'NVPM WARN: fan mode is not set!'\necho 'NV Power Mode: MAXN'\necho 0\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert sensors(tmp_path, power_mode=wanted).read() == {Axis.POWER: expected}


def test_no_power_mode_where_the_tool_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sensors(tmp_path, power_mode="15W").read() == {}
