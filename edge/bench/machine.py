"""What a measurement was taken on: figures without their machine mean nothing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

__all__ = ["Machine", "machine"]

PACKAGES = (
    "shelfedge",
    "numpy",
    "numkong",
    "opencv-python",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "pyzmq",
    "msgspec",
)
THREAD_LIMITS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@dataclass(frozen=True, slots=True)
class Machine:
    """`cores` are those that this process may use; `load_before` is the load average of the minute before.

    `thread_limits` are the variables that are set of those that limit the threads of the numerical libraries.
    """

    processor: str
    architecture: str
    cores: int
    memory_mib: int
    load_before: float
    system: str
    python: str
    packages: dict[str, str]
    thread_limits: dict[str, str]

    @property
    def is_busy(self) -> bool:
        """Whether something else ran so much that it shows in what is measured."""
        return self.load_before > self.cores / 4


def machine() -> Machine:
    """Return what this process runs on, and how loaded it was."""
    return Machine(
        processor=_processor(),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=psutil.virtual_memory().total >> 20,
        load_before=round(os.getloadavg()[0], 2),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages=_versions(),
        thread_limits={name: os.environ[name] for name in THREAD_LIMITS if name in os.environ},
    )


def _processor() -> str:
    """Return the board of a Jetson or the model of the processor, as the kernel names it."""
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
