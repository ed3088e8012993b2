"""Check 4: does it fit the weakest device, with room to spare?

Figure: 1 - what the deciding process takes / what one process may take on the device (`application_budget_mib` of its
file). Under 20 % left, a busy moment swaps or kills. What it takes is measured in a process of its own on this machine
(`calibration.readiness.footprint`), several times: the highest run counts, the runs are the interval. CUDA and TensorRT
are added from the device file when the bundle's engine is TensorRT, and one camera's process with its ring
(`edge.footprint`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calibration.readiness.footprint import Footprint
from calibration.readiness.verdict import Check, Interval, Limit, Topic, judge, not_testable
from edge.device import CAMERA_MIB, DEVICES, DeviceConfig, device_names, load_device_config
from edge.footprint import RING_SLOTS, WORKSPACE_MIB, rings_mib

__all__ = ["RUNS", "check_headroom", "find_device"]

RUNS = 3
TENSORRT = "tensorrt"
TOPIC = Topic("memory", "Memory headroom", Limit(0.20, at_most=False, unit="share"))


def find_device(path: Path | None) -> DeviceConfig:
    """Return the device of a file or name, or else the known one with the smallest budget."""
    if path is not None:
        return load_device_config(path)
    devices = [load_device_config(DEVICES / f"{name}.yaml") for name in device_names()]
    return min(devices, key=lambda device: (device.memory.application_budget_mib, device.module))


def check_headroom(device: DeviceConfig, runs: Sequence[Footprint], engine: str, products: int) -> Check:
    """Check the measured runs of a bundle for `engine` with so many products against a device; none: not testable."""
    if not runs:
        needs = "a process that decides with this bundle; it could not be run and measured on this machine"
        return not_testable(TOPIC, needs, "Measure on the device itself (edge-bench).")
    added = _added(device, engine)
    budget = float(device.memory.application_budget_mib)
    worst = max(runs, key=lambda run: run.peak_mib)
    extra = sum(mib for _, mib in added)
    rest = [1.0 - (run.peak_mib + extra) / budget for run in runs]
    needed = worst.peak_mib + extra
    found = (
        f"One process takes about {needed:,.0f} MiB for {products:,} products, of the {budget:,.0f} MiB that it may "
        f"take on the {device.module}. Measured on this machine, not on the device."
    )
    past = "Take a smaller backbone, fewer prototypes per product (edge-calibrate --prototypes), or a larger device."
    details = {
        "device": device.module,
        "budget_mib": budget,
        "needed_mib": needed,
        "lines": [*_lines(worst), *map(list, added)],
        "engine_of_device": device.engine,
        "engine_of_bundle": engine,
    }
    kept = "Nothing; measure once on the device itself before the roll-out (edge-bench)."
    interval = Interval(min(rest), max(rest), f"{len(runs)} runs, lowest and highest")
    return judge(TOPIC, min(rest), interval, (found, kept, past), details)


def _added(device: DeviceConfig, engine: str) -> list[tuple[str, float]]:
    """Return (what, MiB) that the measured process has not, and the daemon has."""
    added = [("one camera and its ring", CAMERA_MIB + rings_mib(RING_SLOTS))]
    if engine == TENSORRT:
        added.append(("CUDA and TensorRT (device file)", float(device.memory.runtime_overhead_mib)))
        added.append(("workspace of a layer", float(WORKSPACE_MIB)))
    return added


def _lines(run: Footprint) -> list[list[object]]:
    """Return (what, MiB) that sum to the peak."""
    steps = run.libraries_mib + run.bundle_mib + run.engine_mib + run.deciding_mib
    return [
        ["Python and libraries", run.libraries_mib],
        ["bundle: table and rules", run.bundle_mib],
        ["engine: weights and session", run.engine_mib],
        ["deciding on full batches", run.deciding_mib],
        ["more for a moment, while loading", max(run.peak_mib - steps, 0.0)],
    ]
