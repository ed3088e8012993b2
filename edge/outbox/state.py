"""What an outbox says about itself: for the heartbeat and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.types import Route

__all__ = ["OutboxState"]


@dataclass(frozen=True, slots=True)
class OutboxState:
    """What waits on the disk (rows, and bytes of payload), what was acknowledged, what was lost by route; since the
    start, except what waits.

    `oldest_s` is the age of the oldest decision that waits, 0 where none does; `refusing`: the disk takes nothing, or
    nobody commits any more.
    """

    waiting: int
    waiting_bytes: int
    delivered: int
    lost: Mapping[Route, int]
    oldest_s: float = 0.0
    refusing: bool = False
