"""What the wheel carries: three packages with their data, nothing of tests, and metadata that a Jetson can install."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge.device import device_names

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from a copy, so that the tree stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in ("edge", "builder", "calibration"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_three_packages_with_their_data(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"edge", "builder", "calibration"}
    assert {"edge/py.typed", "calibration/score/page.css", "calibration/render/art/NOTICE.txt"} <= set(names)
    assert {f"edge/devices/{name}.yaml" for name in device_names()} <= set(names)
    assert sum(name.endswith(".webp") for name in names) > 100


def test_every_source_file_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    sources = {
        str(path.relative_to(ROOT))
        for package in ("edge", "builder", "calibration")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources <= set(wheel.namelist())


def test_no_wheel_is_forced_over_jetpack(wheel: zipfile.ZipFile) -> None:
    metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    required = [line for line in wheel.read(metadata).decode().splitlines() if line.startswith("Requires-Dist")]
    base = [line for line in required if "extra ==" not in line]
    opencv = [line for line in base if "opencv" in line]
    assert len(opencv) == 1
    assert "platform_machine != " in opencv[0]
    assert "aarch64" in opencv[0]
    assert not any(name in line for line in base for name in ("onnx", "tensorrt", "pycuda", "torch", "scipy", "pillow"))


def test_every_command_is_an_entry_point(wheel: zipfile.ZipFile) -> None:
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    text = wheel.read(entry_points).decode()
    for command in (
        "backbone",
        "bench",
        "build",
        "calibrate",
        "classify",
        "daemon",
        "render",
        "replay",
        "score",
        "watch",
    ):
        assert f"edge-{command} = " in text
