"""What a table of N products takes: bytes per product, the time of one lookup, and the N at which a device is full.

Memory is counted: the int8 table as it lies in the bundle, the index that `edge.lookup` makes of it, and a product's
names. The room on a device is its application budget less headroom, what the daemon takes beside its products with one
camera (`edge.footprint`), and the engine's own runtime. An estimate, and says so.
Lookup times are of this machine and one thread of its BLAS, not of the device.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from edge import lookup
from edge.bundle import Bundle
from edge.device import CAMERA_MIB, DeviceConfig
from edge.footprint import LIBRARIES_MIB, MIB, PRODUCT_BYTES, RING_SLOTS, WORKSPACE_MIB, rings_mib
from edge.parameters import PrototypeTable

__all__ = ["Room", "TableSize", "room_on", "table_size"]

GRAPH_COPIES = 2.0
REPEATS = 40


@dataclass(frozen=True, slots=True)
class TableSize:
    """The table of `products`: bytes on disk and in memory, and the median time of one lookup on this machine."""

    products: int
    table_bytes: int
    memory_bytes: int
    lookup_ms: float


@dataclass(frozen=True, slots=True)
class Room:
    """How many products fit on a device: `free_bytes` beside everything else, `full_at` products."""

    module: str
    free_bytes: int
    bytes_per_product: float
    full_at: int


def table_size(table: PrototypeTable, products: int, seed: int) -> TableSize:
    """Return the size of a table of `products` that have as many prototypes each as those of `table` on average."""
    generator = np.random.default_rng(seed)
    classes = int(table.owners[-1]) + 1
    counts = np.bincount(table.owners, minlength=classes)[np.arange(products) % classes]
    owners = np.repeat(np.arange(products, dtype=np.int32), counts)
    prototypes = table.prototypes[np.arange(len(owners)) % len(table.owners)]
    index = lookup.index_from_table(PrototypeTable(prototypes, table.scale, owners))
    query = generator.standard_normal((1, prototypes.shape[1])).astype(np.float32)
    query /= np.linalg.norm(query)
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        lookup.top(lookup.similarities(index, query), 5)
        seconds.append(time.perf_counter() - begun)
    table_bytes = prototypes.nbytes + owners.nbytes
    return TableSize(products, table_bytes, table_bytes + index.held_bytes, 1000.0 * statistics.median(seconds))


def room_on(device: DeviceConfig, bundle: Bundle) -> Room:
    """Return the room for products on `device` for a bundle's engine and its number of prototypes per product."""
    memory = device.memory
    network = bundle.info.network_mib or LIBRARIES_MIB + GRAPH_COPIES * bundle.graph.stat().st_size / MIB
    taken = (network + CAMERA_MIB + rings_mib(RING_SLOTS)) * MIB
    if bundle.info.engine == "tensorrt":
        taken += (memory.runtime_overhead_mib + WORKSPACE_MIB) * MIB
    free = max(memory.application_budget_mib * (1.0 - memory.headroom) * MIB - taken, 0.0)
    here = table_size(bundle.table, bundle.info.classes, 0)
    per_product = here.memory_bytes / here.products + PRODUCT_BYTES
    return Room(device.module, int(free), per_product, int(free / per_product))
