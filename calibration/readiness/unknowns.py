"""Check 5: are products that were never enrolled noticed? Read from the bundle, where edge-calibrate measured it.

Calibration holds whole groups of products out in rotated splits, chooses the detector on some of them and measures it
on others; its threshold lets at most the budget of enrolled products be called unknown. A share of detected products
means nothing without that budget: every figure here is at 5 % false unknowns.

The limit (70 % detected) is held against products of new brands. Reported beside it: near (siblings of an enrolled
product: another flavour or size), the catalogue's own photos of unknown things, and shifted (enrolled products
darkened, blurred, compressed: what is "detected" there are false unknowns).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from calibration.readiness.verdict import Check, Interval, Limit, Topic, judge, not_testable
from edge.errors import BundleError

__all__ = ["BUDGET", "KINDS", "MIN_CLASSES", "Detector", "check_unknowns", "detector_from_report"]

BUDGET = "0.05"
MIN_CLASSES = 50
GATED = "brands"
OWN = "unknown/"
KINDS = {
    "near": "siblings of an enrolled product",
    "brands": "products of new brands",
    "shifted": "enrolled products, dark, blurred or compressed: false unknowns",
}
TOPIC = Topic(
    "unknown", "Unknown products noticed", Limit(0.70, at_most=False, unit="share", condition="at 5 % false unknowns")
)
_NEEDED = f"a bundle whose calibration held {MIN_CLASSES} products out, at least, and measured what becomes of them"


class Figure(Struct, frozen=True):
    """A figure with its interval of 95 %, bootstrap over held-out products."""

    value: float
    low: float
    high: float


class Kind(Struct, frozen=True):
    """How one method does on one kind of thing. `detected` and `accepted` are by budget: "0.01", "0.05", "0.10"."""

    kind: str
    classes: int
    photos: int
    auroc: Figure
    fpr95: Figure
    detected: dict[str, Figure]
    accepted: dict[str, Any] = {}  # by budget like `detected`, or one figure

    def accepted_share(self) -> float | None:
        """Return the share that is accepted in spite of being unknown, None where it was not measured."""
        value = self.accepted.get(BUDGET, self.accepted)
        share = value.get("value") if isinstance(value, dict) else None
        return float(share) if isinstance(share, (int, float)) else None


class Method(Struct, frozen=True):
    """One candidate; `chosen` is the one that the bundle uses."""

    method: str
    chosen: bool
    offered: bool
    operations: int
    memory_bytes: int
    kinds: tuple[Kind, ...]


class Detector(Struct, frozen=True):
    """The key `detector` of a bundle's report.json."""

    method: str
    false_unknown_budget: float
    splits: int
    methods: tuple[Method, ...]

    def chosen(self) -> Mapping[str, Kind]:
        """Return the kinds that the bundle's own method was measured on, by name."""
        own = [method for method in self.methods if method.chosen] or [
            m for m in self.methods if m.method == self.method
        ]
        return {kind.kind: kind for kind in own[0].kinds} if own else {}


def detector_from_report(report: Mapping[str, Any]) -> Detector | None:
    """Return what calibration measured, None when it did not; raises BundleError when it cannot be read."""
    found = report.get("detector")
    if found is None:
        return None
    try:
        return msgspec.convert(found, Detector)
    except msgspec.ValidationError as error:
        raise BundleError(f"report.json: detector: {error}; run edge-calibrate of this version again") from None


def check_unknowns(detector: Detector | None) -> Check:
    """Check the share of held-out products of new brands that the bundle's detector notices at BUDGET."""
    advice = (
        "Check what the device calls unknown by hand until this is measured: calibrate again with more products of "
        "other brands in the catalogue."
    )
    kinds = detector.chosen() if detector is not None else {}
    details = _details(detector, kinds)
    gated = kinds.get(GATED)
    if detector is None or gated is None or BUDGET not in gated.detected:
        return not_testable(TOPIC, _NEEDED, advice, details)
    if gated.classes < MIN_CLASSES:
        return not_testable(TOPIC, f"{MIN_CLASSES} held-out products, {gated.classes} were measured", advice, details)
    figure = gated.detected[BUDGET]
    found = (
        f"Of {gated.classes:,} products of brands that were not enrolled, {figure.value:.0%} of the photos are called "
        f"unknown, at 5 % false unknowns ({detector.method}, {detector.splits} splits).{_beside(kinds)}"
        f"{_own_budget(detector)}"
    )
    past = (
        "New products will be taken for enrolled ones. Enrol new products before they reach the shelf, allow more "
        "false unknowns (--false-unknown), or take a stronger backbone."
    )
    interval = Interval(figure.low, figure.high, f"95 %, bootstrap over {gated.classes:,} held-out products")
    return judge(
        TOPIC, figure.value, interval, (found, "Nothing; enrol new flavours before they are sold.", past), details
    )


def _own_photos(kinds: Mapping[str, Kind]) -> list[tuple[str, str]]:
    """Return the kinds that are photos of the catalogue's folder `unknown`, and what to call them."""
    return [(kind, f"photos of {kind}") for kind in sorted(kinds) if kind.startswith(OWN)]


def _beside(kinds: Mapping[str, Kind]) -> str:
    parts = [
        f"{name} {kinds[kind].detected[BUDGET].value:.0%}"
        for kind, name in (("near", "siblings of enrolled products"), *_own_photos(kinds))
        if kind in kinds and BUDGET in kinds[kind].detected
    ]
    return f" Beside it: {', '.join(parts)}." if parts else ""


def _own_budget(detector: Detector) -> str:
    if f"{detector.false_unknown_budget:.2f}" == BUDGET:
        return ""
    return f" The bundle itself is set to {detector.false_unknown_budget:.1%} false unknowns, so it differs."


def _place(kind: str) -> tuple[int, str]:
    """Return where a kind stands: the simulated ones first, then the catalogue's own photos of unknown things."""
    return (tuple(KINDS).index(kind) if kind in KINDS else len(KINDS), kind)


def _details(detector: Detector | None, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    if detector is None:
        return {}
    return {
        "method": detector.method,
        "budget": float(BUDGET),
        "bundle_budget": detector.false_unknown_budget,
        "splits": detector.splits,
        "kinds": [
            {**msgspec.to_builtins(kinds[name]), "accepted_share": kinds[name].accepted_share()}
            for name in sorted(kinds, key=_place)
        ],
        "methods": [
            {
                "method": method.method,
                "chosen": method.chosen,
                "detected": {k.kind: k.detected[BUDGET].value for k in method.kinds if BUDGET in k.detected},
            }
            for method in detector.methods
        ],
    }
