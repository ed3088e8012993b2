"""The engine of a command that a person runs at a desk."""

from __future__ import annotations

import sys

from edge.config import EngineConfig
from edge.engines import REFERENCE
from edge.ports import Engine

__all__ = ["engine_here", "warn_degraded"]


def engine_here(threads: int) -> EngineConfig:
    """Return how an engine runs for a person at a desk: on the CPU where it must, and saying so."""
    return EngineConfig(threads=threads, fallback=REFERENCE)


def warn_degraded(command: str, engine: Engine) -> None:
    """Say on standard error that the reference decides, where it does."""
    if engine.degraded:
        print(f"{command}: warning: the engine's reference on the CPU decides: {engine.degraded}", file=sys.stderr)
