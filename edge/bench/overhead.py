"""What a daemon takes on this device before it has a model: the figures of a device file that are guesses elsewhere.

    camera_mib             what the capture processes add to the daemon, each
    runtime_overhead_mib   CUDA and TensorRT: what opening the plan takes of the memory that CUDA calls free, less the
                           plan itself and what its context and buffers hold

Rounded up to whole mebibytes. The second is asked of the driver in a process of its own before and while a plan is open
here (`edge.engines.cuda`); on a Jetson that is the memory of the whole system, so whatever else starts meanwhile is
counted too: measure on a device that does nothing else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from edge.assembly import engine_of, plan_of
from edge.bench.memory import MemorySample
from edge.bundle import Bundle
from edge.config import DaemonConfig, EngineConfig
from edge.device import load_device_config
from edge.engines import REFERENCE
from edge.engines.cuda import find_gpu
from edge.engines.plan import read_plan
from edge.engines.trt import TensorRtEngine
from edge.errors import EngineError, InputError

__all__ = ["camera_mib", "measured_note", "overhead", "refuse_other_device", "runtime_mib"]

MIB = 1 << 20


def refuse_other_device(path: Path, bundle: Bundle) -> None:
    """Raise InputError where the device file is not of the device that this bundle runs on, as far as that shows."""
    device = load_device_config(path)
    if device.engine != bundle.info.engine:
        raise InputError(
            f"{path}: {device.module} runs {device.engine}, this bundle {bundle.info.engine}; measure with a bundle "
            "for what the device runs, on the device"
        )
    gpu = find_gpu() if bundle.info.engine != REFERENCE else None
    if gpu is not None and gpu.sm != device.sm:
        raise InputError(
            f"{path}: {device.module} has SM {device.sm}, this GPU ({gpu.name}) SM {gpu.sm}; measure on the device"
        )


def overhead(bundle: Bundle, config: DaemonConfig, samples: Sequence[MemorySample]) -> dict[str, int]:
    """Return all that can be measured here, by the keys of a device file's `memory`."""
    found = {"camera_mib": camera_mib(samples, len(config.cameras))}
    if bundle.info.engine != REFERENCE:
        found["runtime_overhead_mib"] = runtime_mib(bundle, config.engine)
    return found


def measured_note(now: time.struct_time) -> str:
    """Return what stands behind a value that was measured on the day `now`."""
    return f"measured on the device, {time.strftime('%Y-%m-%d', now)}, edge-bench memory"


def camera_mib(samples: Sequence[MemorySample], cameras: int) -> int:
    """Return what a capture process added at the most, over the samples of a daemon with so many `cameras`."""
    return math.ceil(max(sample.beside_kib for sample in samples) / 1024 / cameras)


def runtime_mib(bundle: Bundle, config: EngineConfig) -> int:
    """Open the bundle's plan and return what CUDA and TensorRT took for themselves; raises EngineError."""
    plan = read_plan(plan_of(bundle, config))
    before = find_gpu().free_mib
    with engine_of(bundle, config) as engine:
        if not isinstance(engine, TensorRtEngine):
            raise EngineError(f"{bundle.path}: runs on {bundle.info.engine}, expected a bundle for tensorrt")
        taken = before - find_gpu().free_mib
        own = plan.file.stat().st_size + engine.device_memory_bytes
    overhead = taken - math.floor(own / MIB)
    if overhead <= 0:
        found = f"opening it took {taken} MiB of what CUDA calls free, and it holds {own / MIB:.0f} MiB itself"
        raise EngineError(f"{plan.path}: {found}; something else gave memory back meanwhile: stop it and measure again")
    return overhead
