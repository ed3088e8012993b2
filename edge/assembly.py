"""Adapters put together from what a bundle and a configuration name, for every command on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge.bundle import Bundle
from edge.config import Locate
from edge.engines import EngineSpec, open_engine
from edge.engines.detector import open_detector
from edge.locate import locator_from_config
from edge.ports import Engine, Locator

__all__ = ["engine_of", "locator_of"]


def engine_of(bundle: Bundle, threads: int) -> Engine:
    """Return the engine that the bundle was calibrated for; `with` loads it. Raises BundleError for one not known."""
    return open_engine(bundle.info.engine, bundle.graph, EngineSpec(threads=threads, max_batch=bundle.info.max_batch))


@contextmanager
def locator_of(config: Locate, threads: int) -> Iterator[Locator]:
    """Yield the locator of one camera, with its detector loaded where it has one."""
    with ExitStack() as stack:
        yield locator_from_config(config, lambda d: stack.enter_context(open_detector(Path(d.model), threads)))
