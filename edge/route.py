"""The rule that charges a shopper: evidence in, route and reasons out. No clock, no I/O, no randomness.

Invariants, each with a property test
- A comparison with NaN is false, and every accept condition is written so that false means "not accepted".
- ACCEPT needs all of: not strange, not discontinued, big and sharp enough, no twin, confidence at or above
  and strangeness at or under the certified cut points of the class.
- A stricter cut point never turns another route into ACCEPT.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.types import Reason, Route

__all__ = ["Evidence", "Limits", "route"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one crop. `set_size` is the number of products that it may be, at the stated set error."""

    finite: bool
    confidence: float
    ood_score: float
    set_size: int
    side_px: int
    sharpness: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The cut points that hold for the best candidate's class."""

    accept_confidence: float
    accept_strangeness: float
    verify_confidence: float
    ood_threshold: float
    max_set: int
    min_side_px: int
    min_sharpness: float
    has_twin: bool
    discontinued: bool


def route(evidence: Evidence, limits: Limits) -> tuple[Route, tuple[Reason, ...]]:
    """Return the route and at least one reason."""
    if not evidence.finite:
        return Route.REVIEW, (Reason.NOT_FINITE,)
    if not evidence.ood_score <= limits.ood_threshold:
        return Route.UNKNOWN, (Reason.OOD,)
    if limits.discontinued:
        return Route.REVIEW, (Reason.TOMBSTONE,)
    poor = _poor_picture(evidence, limits)
    against = poor + _against_accept(evidence, limits)
    if not against:
        return Route.ACCEPT, (Reason.CERTIFIED,)
    if not poor and evidence.confidence >= limits.verify_confidence and 1 <= evidence.set_size <= limits.max_set:
        return Route.VERIFY, against
    return Route.REVIEW, (*against, Reason.BELOW_VERIFY) if not poor else against


def _poor_picture(evidence: Evidence, limits: Limits) -> tuple[Reason, ...]:
    reasons = []
    if not evidence.side_px >= limits.min_side_px:
        reasons.append(Reason.TOO_SMALL)
    if not evidence.sharpness >= limits.min_sharpness:
        reasons.append(Reason.BLURRED)
    return tuple(reasons)


def _against_accept(evidence: Evidence, limits: Limits) -> tuple[Reason, ...]:
    if not limits.accept_confidence <= 1.0:
        return (Reason.NOT_CERTIFIED,)
    reasons = []
    if limits.has_twin:
        reasons.append(Reason.TWIN_PAIR)
    if not evidence.confidence >= limits.accept_confidence:
        reasons.append(Reason.BELOW_ACCEPT)
    if not evidence.ood_score <= limits.accept_strangeness:
        reasons.append(Reason.TOO_FAR)
    return tuple(reasons)
