"""The README's commands, in three parts that three files of tests run: what takes minutes stands in files of its own,
for a file of tests is run by one process.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = Path(sys.executable).parent
PARTS = ("make", "shop", "builds")  # test_readme_demo.py, test_readme.py, test_readme_builds.py
_SMALL = ("--skus", "20", "--seed", "3", "--photos", "flat:3,4,1", "--unknown", "6")
TEST_PHOTOS = 20


def shell_lines(*parts: str) -> list[str]:
    """Return the commands of the README's sh blocks, without comments, of all parts or these."""
    blocks = [_commands(block) for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)]
    return [line for block in blocks if not parts or _part_of(block) in parts for line in block]


def _commands(block: str) -> list[str]:
    lines = [line.split("#")[0].strip() for line in block.splitlines()]
    return [line for line in lines if line]


def _part_of(block: Sequence[str]) -> str:
    """Return the part of a block. Every block has one, so no command is left to nobody."""
    if any(line.startswith("make ") for line in block):
        return "make"
    return "builds" if any("--skus" in line or "trt-" in line for line in block) else "shop"


def copied_tree(folder: Path) -> Path:
    """Fill a folder with a copy of the tracked tree and the virtual environment that runs this test."""
    for name in ("Makefile", "pyproject.toml", "setup.py", "configs", "deploy"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)  # both keep times, for make
    (folder / ".venv").symlink_to(COMMANDS.parent)
    return folder


def with_backbone_and_products(folder: Path) -> None:
    """Put backbone.onnx, its sidecar and a small catalogue beside each other, as the README presumes."""
    run(folder, ["edge-backbone", "efficientnet-lite0", "--out", "weights"], timeout=300)
    for suffix in ("onnx", "yaml"):
        shutil.copy(folder / "weights" / f"efficientnet-lite0.{suffix}", folder / f"backbone.{suffix}")
    run(folder, ["edge-render", "catalogue", *_SMALL, "--out", "catalogue"], timeout=300)


def run(folder: Path, command: list[str], timeout: int) -> str:
    """Run a command in the folder and return what it printed; it must end well."""
    allowed = {0, 3} if command[0] == "edge-readiness" else {0}  # a shop of few products may well be refused
    on_device = "--compile-only" in command or command[:2] == ["edge-bench", "lookup"]  # elsewhere the reason is told
    if command[0] == "make":  # or a younger pyproject.toml would make it install this copy into the shared environment
        command = ["make", "--old-file=.venv/.installed", *command[1:]]
    environment = {**os.environ, "PATH": f"{COMMANDS}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    code, out, err = _run_group(command, folder, environment, timeout)
    if on_device and code == 1 and re.search("error: no GPU: |: no such plan; run edge-build", err):
        return out
    assert code in allowed, f"{command}: {code}\n{out[-3000:]}\n{err[-3000:]}"
    return out


def _run_group(command: list[str], folder: Path, environment: dict[str, str], timeout: int) -> tuple[int, str, str]:
    """Return exit status, output and errors; where it is cut short, what it started ends with it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, out, err
