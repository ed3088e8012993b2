"""Every command of the README is run, as it stands there, in a copy of what a newcomer has."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = Path(sys.executable).parent
SMALL_CATALOGUE = ("--skus", "24", "--seed", "3", "--photos", "flat:4,6,2", "--unknown", "6")


def shell_lines() -> list[str]:
    """Return the commands of the README's sh blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tracked tree with the virtual environment that runs this test."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("Makefile", "pyproject.toml", "setup.py", "configs", "deploy"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)  # both keep times, for make
    (folder / ".venv").symlink_to(COMMANDS.parent)
    return folder


def run(folder: Path, command: list[str], timeout: int) -> str:
    allowed = {0, 3} if command[0] == "edge-readiness" else {0}  # a shop of 24 products may well be refused
    on_device = "--compile-only" in command or command[:2] == ["edge-bench", "lookup"]  # elsewhere the reason is told
    if command[0] == "make":  # or a younger pyproject.toml would make it install this copy into the shared environment
        command = ["make", "--old-file=.venv/.installed", *command[1:]]
    environment = {**os.environ, "PATH": f"{COMMANDS}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    if on_device and done.returncode == 1 and re.search("error: no GPU: |: no such plan; run edge-build", done.stderr):
        return done.stdout
    assert done.returncode in allowed, f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_readme_names_the_two_commands_and_the_commands_of_the_product() -> None:
    lines = shell_lines()
    assert lines[:2] == ["make demo", "make test"]
    assert {"edge-build", "edge-calibrate", "edge-classify", "edge-daemon"} <= {line.split()[0] for line in lines}


@pytest.mark.timeout(900)
def test_make_demo_runs_and_shows_its_figures(checkout: Path) -> None:
    out = run(checkout, ["make", "demo", "DEMO_SKUS=30", "DEMO_PHOTOS=flat:5,12,2", "DEMO_PRODUCTS=3"], timeout=800)
    for figure in ("automation rate", "silent-error rate", "latency p50 / p99", "peak memory", "decisions.html"):
        assert figure in out
    page = (checkout / "demo" / "decisions.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in page
    assert (checkout / "demo" / "bundle" / "report.html").is_file()


def write_spring(other: Path, spring: Path) -> None:
    """Take a catalogue for one of new products: SKUs that nobody has yet."""
    rows = (other / "skus.csv").read_text(encoding="utf-8").replace("sku-", "spring-")
    for role in ("reference", "validation"):
        for folder in sorted((other / role).iterdir()):
            shutil.copytree(folder, spring / role / folder.name.replace("sku-", "spring-"))
    (spring / "skus.csv").write_text(rows, encoding="utf-8")


@pytest.mark.timeout(900)
def test_the_commands_on_ones_own_backbone_and_products(checkout: Path) -> None:
    run(checkout, ["edge-backbone", "efficientnet-lite0", "--out", "weights"], timeout=300)
    for suffix in ("onnx", "yaml"):
        shutil.copy(checkout / "weights" / f"efficientnet-lite0.{suffix}", checkout / f"backbone.{suffix}")
    run(checkout, ["edge-render", "catalogue", *SMALL_CATALOGUE, "--out", "catalogue"], timeout=300)
    spring = ("--skus", "3", "--seed", "77", "--photos", "flat:4,4,1", "--unknown", "1", "--out", "other")
    run(checkout, ["edge-render", "catalogue", *spring], timeout=300)
    shutil.copytree(sorted((checkout / "other" / "reference").iterdir())[0], checkout / "photos" / "oat-1l")
    write_spring(checkout / "other", checkout / "spring")
    (checkout / "demo").mkdir(exist_ok=True)
    for line in shell_lines():
        if not line.startswith("make "):
            if "demo-cart.yaml" in line and not (checkout / "demo" / "bundle").exists():
                shutil.copytree(checkout / "bundle", checkout / "demo" / "bundle")
            shorter = line.replace("--plan-sizes 192,224", "--plan-sizes 192 --labelled-photos 100")  # minutes else
            run(checkout, shlex.split(shorter), timeout=900)
    assert (checkout / "decisions.jsonl").read_text(encoding="utf-8").count("\n") == 48


def test_make_test_is_the_whole_suite(checkout: Path) -> None:
    plan = run(checkout, ["make", "--dry-run", "test"], timeout=30)
    assert "-m pytest" in plan
