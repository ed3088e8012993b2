"""What a cart has to carry: the device side imports with the base dependencies alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "edge").rglob("*.py")
)
WORKSHOP = ("onnx", "scipy", "pandas", "sklearn", "torch", "PIL", "builder", "calibration", "hypothesis", "pytest")
EXTRAS = ("onnxruntime", "tensorrt", "pycuda", "numkong")


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_device_module_imports_where_the_workshop_is_not_installed() -> None:
    blocked = WORKSHOP + EXTRAS
    run(
        "import importlib, sys\n"
        f"for name in {blocked!r}: sys.modules[name] = None\n"
        f"for name in {MODULES!r}: importlib.import_module(name)\n"
    )


def test_the_capture_process_imports_little() -> None:
    heavy = {"zmq", "onnxruntime", "rich", "yaml", "prometheus_client"}
    run(f"import sys, edge.capture.child\nfound = {heavy!r} & set(sys.modules)\nassert not found, found")


@pytest.mark.parametrize(
    "module", ["edge.cli.daemon", "edge.cli.classify", "edge.cli.replay", "edge.bench.cli", "edge.bench.decide"]
)
def test_matrix_products_of_the_device_run_in_the_calling_thread(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    run(
        f"import os, {module}\n"
        "import numpy\n"
        "square = numpy.ones((600, 600), numpy.float32)\n"
        "square @ square\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
    )


@pytest.mark.parametrize("package", ["builder", "calibration"])
def test_every_workshop_module_imports(package: str) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / package).rglob("*.py"))
    ]
    run(f"import importlib\nfor name in {modules!r}: importlib.import_module(name)\n")
