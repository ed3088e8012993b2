"""Where this device looks up faster: on the CPU or on the GPU. What is found is sealed into the plan, for the daemon.

Both search the bundle's own table, one query at a time, alone and while the engine runs in another thread as it does in
the daemon, where it keeps the GPU busy and a lookup there waits. The GPU is chosen only where it is faster both times.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge import lookup
from edge.assembly import engine_of, plan_of, refuse_other_similarities
from edge.bench.search import times_ms
from edge.bundle import Bundle
from edge.config import EngineConfig
from edge.engines import REFERENCE
from edge.engines.plan import choose_lookup, read_plan
from edge.engines.trt_lookup import TensorRtLookup
from edge.errors import InputError
from edge.ports import Engine

__all__ = ["Places", "choose_place"]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Milliseconds of every query on the host and on the GPU (`engine`), alone and beside the running engine."""

    host_ms: NDArray[np.float64]
    engine_ms: NDArray[np.float64]
    host_beside_ms: NDArray[np.float64]
    engine_beside_ms: NDArray[np.float64]

    @property
    def faster(self) -> Literal["host", "engine"]:
        """Where to look up: on the GPU where its median is shorter both times."""
        pairs = ((self.host_ms, self.engine_ms), (self.host_beside_ms, self.engine_beside_ms))
        return "engine" if all(np.median(there) < np.median(here) for here, there in pairs) else "host"


def choose_place(bundle: Bundle, config: EngineConfig, queries: int) -> Places:
    """Measure both places and seal the faster one into the bundle's plan.

    Raises InputError for a bundle of another engine, and EngineError where engine or lookup do not run here or the
    lookup gives other similarities; the plan is untouched then.
    """
    if bundle.info.engine == REFERENCE:
        raise InputError(f"{bundle.path}: made for {REFERENCE}, which has no GPU to look up on; leave --bundle out")
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of(bundle, config))  # first: it says how to make a plan that is not there
        plan = read_plan(plan_of(bundle, config))
        there = stack.enter_context(TensorRtLookup(plan, bundle.table))
        refuse_other_similarities(bundle, there)
        host, gpu = lookup.index_from_table(bundle.table), lookup.index_from_table(bundle.table, there)
        alone = [times_ms(index, bundle.info.dimension, queries) for index in (host, gpu)]
        with _busy(engine, bundle):
            beside = [times_ms(index, bundle.info.dimension, queries) for index in (host, gpu)]
    found = Places(*alone, *beside)
    choose_lookup(plan, found.faster)
    return found


@contextmanager
def _busy(engine: Engine, bundle: Bundle) -> Iterator[None]:
    """Keep the engine at work in another thread; what it raised there is raised here."""
    crops, stop, failed = bundle.golden.crops[: engine.max_batch], threading.Event(), list[Exception]()

    def work() -> None:
        try:
            while not stop.is_set():
                engine.embed(crops)
        except Exception as error:  # noqa: BLE001  # handed over to the thread that waits
            failed.append(error)

    worker = threading.Thread(target=work, name="engine")
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()
    if failed:
        raise failed[0]
