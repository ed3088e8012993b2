"""How often and how long: FULL is what `make bench-reliability` runs, SHORT what the test suite does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FULL", "SHORT", "Sizes"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """All that a fault can be told. Seconds unless the name says otherwise."""

    fault_s: float = 5.0  # how long a camera stays broken
    unplugged_s: float = 60.0
    windows: int = 24  # of each of two states that are compared, in turns
    window_s: float = 5.0
    subscribers: int = 40
    collector_kills: int = 20
    cut_decisions: int = 108_000  # an hour of 30 decisions a second
    daemon_kills: int = 200
    power_cuts: int = 100
    full_disk_s: float = 90.0
    jump_s: float = 15.0
    soak_minutes: float = 30.0
    bundle: Path | None = None  # None: the colour patterns of the tests


FULL = Sizes()
SHORT = Sizes(
    fault_s=2.5,
    unplugged_s=3.0,
    windows=2,
    window_s=1.0,
    subscribers=8,
    collector_kills=2,
    cut_decisions=1_000,
    daemon_kills=2,
    power_cuts=1,
    full_disk_s=5.0,
    jump_s=2.0,
    soak_minutes=0.1,
)
