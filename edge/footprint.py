"""What a daemon takes beside its network's weights, and whether that much is free: the figures of every ledger.

Counted: tables and rings. Measured once on a development machine and taken as constant where a device's file says no
other, because they hardly depend on the network: Python with what the daemon imports and an empty ONNX Runtime session,
and a camera's process (`edge.device`). What CUDA and TensorRT take is in the plan (`edge.engines.plan`). Held against
the processes of a running daemon they come out within a few hundredths (`benchmarks/`).

Searched tables are counted as NumKong holds them; NumPy alone takes four times as much for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.bundle import Bundle
from edge.config import CameraConfig, DaemonConfig
from edge.control_group import group_of
from edge.device import CAMERA_MIB
from edge.errors import GateError

__all__ = [
    "FRAME_BYTES",
    "LIBRARIES_MIB",
    "MIB",
    "PRODUCT_BYTES",
    "RING_SLOTS",
    "WORKSPACE_MIB",
    "available_mib",
    "beside_mib",
    "needed_mib",
    "products_mib",
    "refuse_no_room_beside",
    "refuse_no_room_for",
    "refuse_too_large",
    "rings_mib",
    "search_mib",
    "spare_mib",
]

MIB = 1 << 20
# Python, what the daemon imports, and an ONNX Runtime session without its weights. Fitted to whole daemons beside the
# other lines of the ledger, which count weights and activations twice: such a process by itself holds 98 MiB.
LIBRARIES_MIB = 83.0
WORKSPACE_MIB = 256  # what TensorRT's kernels may use beside the activations; `edge-build --compile-only` holds to it
RING_SLOTS = 4  # of a camera where nothing is configured
FRAME_BYTES = 1920 * 1080 * 3
TABLES = 2  # as stored, and as searched
PRODUCT_BYTES = 360  # names and cut points of one product, as Python holds them
MOST_OF_LIMIT = 0.97  # of a control group: what is over is for what comes and goes
SUMS = 4  # int32 arrays of a dot product each, while a batch is looked up


def products_mib(products: int, prototypes: int, dimension: int) -> float:
    """Return what `products` with `prototypes` in all take: both tables, names and cut points."""
    return (TABLES * prototypes * dimension + PRODUCT_BYTES * products) / MIB


def search_mib(batch: int, prototypes: int) -> float:
    """Return what looking up a batch takes meanwhile, `prototypes` in all."""
    return SUMS * 4 * batch * prototypes / MIB


def rings_mib(slots: int) -> float:
    """Return what `slots` frames of 1080p take."""
    return slots * FRAME_BYTES / MIB


def needed_mib(bundle: Bundle, config: DaemonConfig, runtime_mib: float = 0.0) -> float:
    """Return what the daemon's processes will take in the end; 0 for a bundle that does not say.

    `runtime_mib` is what CUDA, TensorRT and its workspace take beside, where a plan runs: on a Jetson they take it of
    the same memory. On a host whose GPU has a memory of its own that is more than is taken here.
    """
    if bundle.info.network_mib <= 0:
        return 0.0
    return bundle.info.network_mib + _tables_mib(bundle) + _cameras_mib(config.cameras) + runtime_mib


def beside_mib(bundle: Bundle, added: Sequence[CameraConfig], runtime_mib: float = 0.0) -> float:
    """Return what a bundle and `added` cameras take beside one that decides already, whose process and libraries they
    share; 0 for a bundle that does not say. `runtime_mib`: see `needed_mib`; counted whole, also where it is shared.
    """
    if bundle.info.network_mib <= 0:
        return 0.0
    network = max(0.0, bundle.info.network_mib - LIBRARIES_MIB)
    return network + _tables_mib(bundle) + _cameras_mib(added) + runtime_mib


def _tables_mib(bundle: Bundle) -> float:
    rows, dimension = bundle.table.prototypes.shape
    return products_mib(len(bundle.classes), rows, dimension) + search_mib(bundle.info.max_batch, rows)


def _cameras_mib(cameras: Sequence[CameraConfig]) -> float:
    return CAMERA_MIB * len(cameras) + rings_mib(sum(camera.ring_slots for camera in cameras))


def available_mib() -> float:
    """Return what the system could give to a new process without swapping; infinity where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    found = (int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:"))
    return next(found, float("inf"))


def spare_mib(root: Path = Path("/")) -> float:
    """Return what could be taken beside what is taken: of the system, and of what this process's control group may."""
    group = group_of(root)
    taken_mib = None if group is None else group.used_mib()
    if group is None or taken_mib is None:
        return available_mib()
    return max(0.0, min(available_mib(), MOST_OF_LIMIT * group.limit_mib - taken_mib))


def refuse_too_large(
    bundle: Bundle, config: DaemonConfig, available: float, taken: float, runtime_mib: float = 0.0
) -> None:
    """Raise GateError when more is needed than is `available` and already `taken` by this process, in MiB.

    `runtime_mib`: see `needed_mib`.
    """
    needed = needed_mib(bundle, config, runtime_mib)
    if needed > available + taken:
        runtime = f" and {runtime_mib:.0f} MiB for CUDA and TensorRT" if runtime_mib else ""
        raise GateError(
            f"{bundle.path}: needs about {needed:.0f} MiB, its cameras ({len(config.cameras)}){runtime} included, "
            f"{available + taken:.0f} MiB are free here; stop other processes, take fewer cameras or ring_slots, or "
            "calibrate with fewer prototypes"
        )


def refuse_no_room_beside(
    bundle: Bundle, added: Sequence[CameraConfig], available: float, runtime_mib: float = 0.0
) -> None:
    """Raise GateError when a bundle and `added` cameras need more MiB beside the running one than are `available`."""
    needed = beside_mib(bundle, added, runtime_mib)
    if needed > available:
        more = f" and {len(added)} more cameras" if added else ""
        raise GateError(
            f"{bundle.path}: needs about {needed:.0f} MiB{more} beside the bundle in use, {available:.0f} MiB are free "
            "here; stop other processes, or start the daemon again with it: then only one is in memory"
        )


def refuse_no_room_for(added: Sequence[CameraConfig], available: float) -> None:
    """Raise GateError when `added` cameras alone need more MiB than are `available`."""
    needed = _cameras_mib(added)
    if needed > available:
        raise GateError(
            f"{len(added)} more cameras need about {needed:.0f} MiB, {available:.0f} MiB are free here; stop other "
            "processes, or add fewer of them, or with fewer ring_slots"
        )
