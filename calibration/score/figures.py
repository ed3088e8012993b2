"""Figures of a run against the truth: how much was automatic, and how much of that was silently wrong.

automation rate      accepted decisions / decisions about an enrolled product
silent-error rate    accepted decisions that were wrong / accepted decisions; wrong is another product, a product
                     that is not enrolled, or nothing at all
accepted error       the same among decisions about enrolled products alone: what the certificate limits

The frames of one product are no independent samples: one look-alike that rests in the basket is decided on forty times.
So each figure also stands per placed product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from calibration.score.truth import Event, Object, Truth
from edge.health import percentile
from edge.messages import DecisionMessage
from edge.types import Route

__all__ = ["Figures", "Judged", "figures_from", "judge"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision, what it was about (None: nothing), and whether its best candidate is that product."""

    decision: DecisionMessage
    about: Object | None

    @property
    def right(self) -> bool:
        """True when the object is an enrolled product and the best candidate names it."""
        return self.about is not None and self.about.kind == "enrolled" and self.about.sku == self.decision.sku

    @property
    def kind(self) -> str:
        """Return what it was about: enrolled, sibling, new_brand, far, hand or nothing."""
        return self.about.kind if self.about else "nothing"


@dataclass(frozen=True, slots=True)
class Figures:
    """The summary of a run. `routes` and `by_kind` count decisions; `events` tells how each placed product ended."""

    decisions: int
    routes: dict[str, int]
    by_kind: dict[str, dict[str, int]]
    enrolled: int
    enrolled_accepted: int
    top1_right: int
    accepted: int
    accepted_wrong: int
    enrolled_accepted_wrong: int
    latency_p50_ms: float
    latency_p99_ms: float
    events: dict[str, int]

    @property
    def automation(self) -> float:
        """Return the share of decisions about enrolled products that were accepted; 0 when there were none."""
        return self.enrolled_accepted / self.enrolled if self.enrolled else 0.0

    @property
    def things(self) -> dict[str, int]:
        """Return how many enrolled things were placed, and how many of them were accepted `rightly` and `wrongly`."""
        own = {ending.partition(": ")[2]: n for ending, n in self.events.items() if ending.startswith("enrolled: ")}
        rightly, wrongly = own.get("accepted rightly", 0), own.get("accepted wrongly", 0)
        return {"placed": sum(own.values()), "rightly": rightly, "wrongly": wrongly}

    @property
    def accepted_error(self) -> float:
        """Return the share of accepted decisions about enrolled products that named another one; 0 without any."""
        return self.enrolled_accepted_wrong / self.enrolled_accepted if self.enrolled_accepted else 0.0

    @property
    def silent_error(self) -> float:
        """Return the share of accepted decisions that were wrong; 0 when nothing was accepted."""
        return self.accepted_wrong / self.accepted if self.accepted else 0.0


def judge(truth: Truth, decisions: Iterable[DecisionMessage]) -> list[Judged]:
    """Find out what each decision was about."""
    return [Judged(decision, truth.about(decision.frame, decision.region)) for decision in decisions]


def figures_from(judged: Sequence[Judged], truth: Truth) -> Figures:
    """Count."""
    by_kind: dict[str, Counter[str]] = {}
    for one in judged:
        by_kind.setdefault(one.kind, Counter())[one.decision.route] += 1
    routes = Counter(one.decision.route for one in judged)
    accepted = [one for one in judged if one.decision.route == Route.ACCEPT.value]
    enrolled = [one for one in judged if one.kind == "enrolled"]
    latencies = [one.decision.latency_ms for one in judged]
    return Figures(
        decisions=len(judged),
        routes={route.value: routes[route.value] for route in Route},
        by_kind={kind: dict(counts) for kind, counts in sorted(by_kind.items())},
        enrolled=len(enrolled),
        enrolled_accepted=sum(one.decision.route == Route.ACCEPT.value for one in enrolled),
        top1_right=sum(one.right for one in enrolled),
        accepted=len(accepted),
        accepted_wrong=sum(not one.right for one in accepted),
        enrolled_accepted_wrong=sum(not one.right for one in accepted if one.kind == "enrolled"),
        latency_p50_ms=percentile(latencies, 0.50),
        latency_p99_ms=percentile(latencies, 0.99),
        events=dict(Counter(_ending(event, judged) for event in truth.events)),
    )


def _ending(event: Event, judged: Sequence[Judged]) -> str:
    """Return how a placed thing ended: its worst outcome counts, a wrong accept before a right one."""
    own = [one for one in judged if one.about is not None and one.about.event == event.event]
    accepted = [one for one in own if one.decision.route == Route.ACCEPT.value]
    known = "enrolled" if event.kind == "enrolled" else "not enrolled"
    if any(not one.right for one in accepted):
        return f"{known}: accepted wrongly"
    if accepted:
        return f"{known}: accepted rightly"
    for route in (Route.VERIFY, Route.REVIEW, Route.UNKNOWN):
        if any(one.decision.route == route.value for one in own):
            return f"{known}: {route.value} at best"
    return f"{known}: never decided on"
