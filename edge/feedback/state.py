"""What crosses between the frame loop and the clerk's thread: what was decided, what was found, and the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from edge.messages import AccuracyRow, LowAccuracy
from edge.types import Route

__all__ = ["Decided", "FeedbackState", "Finding", "Told"]


@dataclass(frozen=True, slots=True)
class Decided:
    """One published decision, as far as a verdict needs it; `tier` is that of the best candidate, or none."""

    epoch: str
    seq: int
    camera_id: str
    track: int
    route: Route
    sku: str | None
    tier: str
    confidence: float
    audited: bool


class Finding(Struct, frozen=True, kw_only=True):
    """What a rule found: see `edge.messages.EventMessage`."""

    event: str
    summary: str
    evidence: dict[str, float | str]
    low: tuple[LowAccuracy, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A finding that is on the disk under `row` and waits to be published. `event_id` is its own for ever."""

    row: int
    event_id: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class FeedbackState:
    """The figures; see `edge.messages.FeedbackHealth`."""

    remembered: int
    dropped: int
    verdicts: Mapping[str, int]
    audits_waiting: int
    window: int
    window_of: int
    events: Mapping[str, int]
    accuracy: tuple[AccuracyRow, ...]
