"""The README's builds for devices: the search for what to build, and the way to TensorRT, in a newcomer's copy."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from readme_commands import copied_tree, run, shell_lines, with_backbone_and_products


@pytest.mark.timeout(900)
def test_the_commands_that_build_for_a_device(tmp_path: Path) -> None:
    folder = copied_tree(tmp_path)
    with_backbone_and_products(folder)
    for line in shell_lines("builds"):
        shorter = line.replace("--plan-sizes 192,224", "--plan-sizes 192 --labelled-photos 100")  # minutes else
        run(folder, shlex.split(shorter), timeout=900)
    assert (folder / "what-to-build" / "plan.html").is_file()
    assert (folder / "trt-bundle" / "report.html").is_file()
