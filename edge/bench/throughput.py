"""Decisions per second of the daemon against a bare loop of the same engine: what everything around the engine costs.

The two are measured in turn, round by round, so that a machine that gets slower gets slower for both; the ratio is
taken within a round. The bare loop embeds as many crops in the same batches, fitted before and held in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.bench.child import Observed, observe
from edge.bundle import Bundle
from edge.config import DaemonConfig
from edge.ports import Engine, Locator
from edge.preprocess import cut, fit
from edge.types import Crops, Frame, Image

__all__ = ["Round", "bare_loop", "crops_from_images", "measure"]


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the daemon and the bare loop after it."""

    daemon_per_s: float
    bare_per_s: float
    first_decision_s: float
    frames: int
    decisions: int

    @property
    def ratio(self) -> float:
        """The share of the engine's own speed that the daemon keeps."""
        return self.daemon_per_s / self.bare_per_s


def measure(config: DaemonConfig, engine: Engine, crops: Crops, frames: int, tell: Callable[[int], None]) -> Round:
    """Measure one round of `frames` frames; `engine` is open and has the threads of the configuration."""
    seen: Observed = observe(config, frames, with_memory=False, tell=tell)
    bare = bare_loop(engine, crops, [group.decisions for group in seen.groups])
    return Round(seen.decisions_per_s, bare, seen.first_decision_s, seen.frames, seen.decisions)


def bare_loop(engine: Engine, crops: Crops, sizes: Sequence[int]) -> float:
    """Embed `sizes[i]` crops for the i-th frame in batches that the engine takes; return crops per second.

    Counted like the daemon's decisions: from the end of the first frame to the end of the last.
    """
    largest = min(engine.max_batch, len(crops))
    first_ns = last_ns = 0
    for size in sizes:
        for start in range(0, size, largest):
            engine.embed(crops[: min(largest, size - start)])
        last_ns = time.perf_counter_ns()
        first_ns = first_ns or last_ns
    return sum(sizes[1:]) / ((last_ns - first_ns) / 1e9) if last_ns > first_ns else 0.0


def crops_from_images(images: Sequence[Image], locator: Locator, bundle: Bundle) -> Crops:
    """Return a full batch of crops as the pipeline fits them: regions of `images` in turn, whole frames if none."""
    found: list[Image] = []
    for number, image in enumerate(images):
        found += [cut(image, region) for region in locator.locate(Frame("bench", number, image, 0, 0))]
    if not found:
        found = list(images)
    fitted = [fit(found[number % len(found)], bundle.info.input) for number in range(bundle.info.max_batch)]
    return np.ascontiguousarray(np.stack(fitted))
