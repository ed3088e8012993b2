"""What an outbox says about itself: for the heartbeat and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from edge.types import Route

__all__ = ["EVENT", "KINDS", "Kind", "OutboxState"]

EVENT: Final = "event"
Kind: TypeAlias = Route | Literal["event"]  # a decision by its route, or an event
KINDS: dict[str, Kind] = {**{route.value: route for route in Route}, EVENT: EVENT}  # by name


@dataclass(frozen=True, slots=True)
class OutboxState:
    """What waits on the disk (rows, and bytes of payload), what was acknowledged, and what was lost; since the
    start, except what waits.

    `oldest_s` is the age of the oldest decision that waits, 0 where none does; `refusing`: the disk takes nothing, or
    nobody commits any more. `refused` is why the collector takes nothing, in its words; empty where it does.
    """

    waiting: int
    waiting_bytes: int
    delivered: int
    lost: Mapping[Kind, int]
    oldest_s: float = 0.0
    refusing: bool = False
    refused: str = ""
