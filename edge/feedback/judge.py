"""All rules with their state: facts in, findings out. Pure; the state is two structures that the store keeps.

A new bundle has a claim, rates and a catalogue of its own, so what depends on these begins anew with it, and things
from before it speak neither for nor against it; the accuracy of products goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from edge.config import FeedbackConfig
from edge.feedback.accept_error import Doubt
from edge.feedback.figures import Sum, accuracy_rows
from edge.feedback.low_accuracy import Limits, Window, low_twice
from edge.feedback.new_products import reached
from edge.feedback.page_hinkley import Drift, Stream
from edge.feedback.state import Finding
from edge.feedback.tally import Checked, tally
from edge.messages import AccuracyRow, LowAccuracy

__all__ = ["Catalogue", "Closed", "Judge", "Watching"]

MOST_LOW = 50  # products and tiers in one event; `evidence` says how many there are
MAX_TIERS = 64


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the bundle says: its id, the tier of every product, how many came after the calibration, the claim."""

    bundle_id: str
    tiers: Mapping[str, str]
    new: int
    accept_error: float


class Watching(Struct):
    """The state that every thing changes. Things up to number `before` were begun with another bundle."""

    bundle_id: str = ""
    before: int = 0
    streams: dict[str, Stream] = {}
    doubt: Doubt | None = None
    new_told: float = 0.0


class Closed(Struct, frozen=True):
    """What is known of closed windows: how many, the last one's counts and figures, and what is told already."""

    windows: int = 0
    before: Window | None = None
    told: tuple[str, ...] = ()
    rows: tuple[AccuracyRow, ...] = ()


class Judge:
    """Holds the state and asks the rules that are on."""

    def __init__(self, rules: FeedbackConfig, catalogue: Catalogue) -> None:
        self._rules = rules
        self._catalogue = catalogue
        self.watching = Watching()
        self.closed = Closed()

    def restore(self, watching: bytes | None, closed: bytes | None) -> None:
        """Take the state from what `kept` returned; None is a beginning. Raises msgspec.MsgspecError."""
        self.watching = msgspec.json.decode(watching, type=Watching) if watching else Watching()
        self.closed = msgspec.json.decode(closed, type=Closed) if closed else Closed()

    def kept(self) -> bytes:
        """Return `watching` as bytes."""
        return msgspec.json.encode(self.watching)

    def begin(self, last_thing: int) -> list[Finding]:
        """Take note of the bundle in use, on every start and change; `last_thing` is the number of the newest thing."""
        catalogue, target = self._catalogue, self._target()
        if self.watching.bundle_id != catalogue.bundle_id:
            self.watching = Watching(bundle_id=catalogue.bundle_id, before=last_thing)
        if self.watching.doubt is None or self.watching.doubt.target != target:
            self.watching.doubt = Doubt(target=target)
        level = reached(catalogue.new, len(catalogue.tiers), self._rules.new_products or ())
        if level is None or level <= self.watching.new_told:
            return []
        self.watching.new_told = level
        calibrated = len(catalogue.tiers) - catalogue.new
        summary = f"{catalogue.new} products came after the calibration of {calibrated}: {level:.0%} is reached"
        evidence: dict[str, float | str] = {"new": catalogue.new, "calibrated": calibrated, "level": level}
        return [Finding(event="new_products", summary=summary, evidence=evidence)]

    def over(self, tier: str, unknown: bool) -> list[Finding]:
        """Take a thing that will not be looked at again."""
        rule, streams = self._rules.unknown_rate, self.watching.streams
        if rule is None or (tier not in streams and len(streams) >= MAX_TIERS):
            return []
        drift = streams.setdefault(tier, Stream()).take(unknown, rule.tolerance, rule.threshold)
        return [] if drift is None else [_drifts(tier, drift)]

    def audited(self, right: bool) -> list[Finding]:
        """Take the truth about an audited thing."""
        rule, doubt = self._rules.accept_error, self.watching.doubt
        if rule is None or doubt is None or not doubt.take(right, rule.false_alarm):
            return []
        summary = (
            f"{doubt.wrong} of {doubt.checked} audited accepts were wrong, at most {doubt.target:.1%} are certified"
        )
        evidence: dict[str, float | str] = {
            "wrong": doubt.wrong,
            "checked": doubt.checked,
            "target": doubt.target,
            "stake": doubt.stake,
            "false_alarm": rule.false_alarm,
        }
        return [Finding(event="accept_error_in_doubt", summary=summary, evidence=evidence)]

    def close(self, checked: Sequence[Checked], sums: Sequence[Sum]) -> list[Finding]:
        """Take a window that is full."""
        before, now = self.closed.before, Window(*tally(checked))
        low, tests = self._low(before, now)
        names = tuple(f"{one.question}:{one.scale}:{one.name}" for one in low)
        fresh = [one for one, name in zip(low, names, strict=True) if name not in set(self.closed.told)]
        self.closed = Closed(self.closed.windows + 1, now, names, accuracy_rows(checked, sums))
        return [self._is_low(fresh, tests)] if fresh else []

    def _low(self, before: Window | None, now: Window) -> tuple[list[LowAccuracy], int]:
        rule = self._rules.accuracy
        if rule is None or before is None:
            return [], 0
        return low_twice(before, now, Limits(rule, self._catalogue.tiers))

    def _is_low(self, fresh: list[LowAccuracy], tests: int) -> Finding:
        first = fresh[0]
        more = f", and {len(fresh) - 1} more" if len(fresh) > 1 else ""
        what = f"{first.scale} {first.name}".strip()
        counts = f"{first.right_before} of {first.checked_before}, then {first.right} of {first.checked} right"
        rate = self._rules.accuracy.false_discovery if self._rules.accuracy else 0.0
        return Finding(
            event="low_accuracy",
            summary=f"{what} ({first.question}): {counts}, under {first.threshold:.0%} in two windows{more}",
            evidence={"found": len(fresh), "tests": tests, "false_discovery": rate, "window": self.closed.windows},
            low=tuple(fresh[:MOST_LOW]),
        )

    def _target(self) -> float:
        rule = self._rules.accept_error
        return (rule.target if rule else 0.0) or self._catalogue.accept_error


def _drifts(tier: str, drift: Drift) -> Finding:
    rates = f"{drift.rate_before:.1%} of {drift.things - drift.things_since} things, then {drift.rate_since:.1%}"
    return Finding(
        event="unknown_rate_drifts",
        summary=f"tier {tier}: unknown goes {drift.direction}, {rates} of {drift.things_since}",
        evidence={
            "tier": tier,
            "direction": drift.direction,
            "things_before": drift.things - drift.things_since,
            "rate_before": drift.rate_before,
            "things_since": drift.things_since,
            "rate_since": drift.rate_since,
        },
    )
