"""What a daemon takes beside its network's weights, and whether that much is free: the figures of every ledger.

Counted: tables and rings. Measured once on a development machine and taken as constant, because they hardly depend on
the network: Python with what the daemon imports and an empty ONNX Runtime session, and a camera's process. Held against
the processes of a running daemon they come out within a few hundredths (`benchmarks/`).

Searched tables are counted as NumKong holds them; NumPy alone takes four times as much for them.
"""

from __future__ import annotations

from pathlib import Path

from edge.bundle import Bundle
from edge.config import DaemonConfig
from edge.errors import GateError

__all__ = [
    "CAMERA_MIB",
    "FRAME_BYTES",
    "LIBRARIES_MIB",
    "MIB",
    "PRODUCT_BYTES",
    "RING_SLOTS",
    "WORKSPACE_MIB",
    "available_mib",
    "needed_mib",
    "products_mib",
    "refuse_too_large",
    "rings_mib",
    "search_mib",
]

MIB = 1 << 20
LIBRARIES_MIB = 83.0  # Python, what the daemon imports, and an ONNX Runtime session without its weights
WORKSPACE_MIB = 256  # what TensorRT's kernels may use beside the activations; `edge-build --compile-only` holds to it
RING_SLOTS = 4  # of a camera where nothing is configured
CAMERA_MIB = 32.0  # a capture process beside the daemon
FRAME_BYTES = 1920 * 1080 * 3
TABLES = 2  # as stored, and as searched
PRODUCT_BYTES = 360  # names and cut points of one product, as Python holds them
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


def needed_mib(bundle: Bundle, config: DaemonConfig) -> float:
    """Return what the daemon's processes will take in the end; 0 for a bundle that does not say.

    CUDA, TensorRT and its workspace are not in it: what they take is not known before they are there.
    """
    if bundle.info.network_mib <= 0:
        return 0.0
    rows, dimension = bundle.table.prototypes.shape
    slots = sum(camera.ring_slots for camera in config.cameras)
    return (
        bundle.info.network_mib
        + products_mib(len(bundle.classes), rows, dimension)
        + search_mib(bundle.info.max_batch, rows)
        + CAMERA_MIB * len(config.cameras)
        + rings_mib(slots)
    )


def available_mib() -> float:
    """Return what the system could give to a new process without swapping; infinity where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    found = (int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:"))
    return next(found, float("inf"))


def refuse_too_large(bundle: Bundle, config: DaemonConfig, available: float, taken: float) -> None:
    """Raise GateError when more is needed than is `available` and already `taken` by this process, in MiB."""
    needed = needed_mib(bundle, config)
    if needed > available + taken:
        raise GateError(
            f"{bundle.path}: needs about {needed:.0f} MiB, its cameras ({len(config.cameras)}) included, "
            f"{available + taken:.0f} MiB are free here; stop other processes, take fewer cameras or ring_slots, or "
            "calibrate with fewer prototypes"
        )
