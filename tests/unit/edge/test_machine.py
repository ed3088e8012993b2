"""What the system says: memory of processes, heat of zones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from edge.bench.memory import sample_tree
from edge.machine import hottest_celsius, used_bytes


def test_memory_is_the_proportional_size_of_all_processes() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        both = used_bytes(["self", child.pid])
        sample = sample_tree(psutil.Process().pid, 0)
        assert sample is not None
        assert 0.9 < both / (sample.pss_kib * 1024) < 1.1
        child.communicate(b"\n")
    assert used_bytes([child.pid]) == 0, "it has ended"


def test_without_pss_the_resident_size_is_taken(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "statm").write_text("900 100 50 1 0 60 0\n")
    assert used_bytes([7], tmp_path) == 100 * 4096


def test_the_hottest_zone_that_answers(tmp_path: Path) -> None:
    assert hottest_celsius(tmp_path) is None
    for number, text in enumerate(("45500\n", "61250\n", "not now\n")):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}" / "temp").write_text(text)
    (tmp_path / "thermal_zone9").mkdir()
    (tmp_path / "thermal_zone9" / "temp").mkdir()  # cannot be read
    assert hottest_celsius(tmp_path) == 61.25
