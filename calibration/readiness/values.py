"""The report as plain values: what the JSON file holds and the page shows. Finite numbers only; no time, no path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from calibration.photos.mix import photo_weights
from calibration.readiness.degradation import Step
from calibration.readiness.evidence import Evidence
from calibration.readiness.verdict import Check, Verdict
from calibration.report.evaluate import risk_coverage

__all__ = ["report_values"]

SCHEMA = 1
CURVE_POINTS = 50
LISTED = 20


def report_values(evidence: Evidence, checks: Sequence[Check], growth: Sequence[Step]) -> dict[str, Any]:
    """Return the content of the JSON report; `growth` is the degradation curve."""
    by_verdict = {verdict: [c.key for c in checks if c.verdict is verdict] for verdict in Verdict}
    values = {
        "schema": SCHEMA,
        "bundle": evidence.bundle.id,
        "backbone": evidence.bundle.info.backbone,
        "engine": evidence.bundle.info.engine,
        "products": len(evidence.material.products),
        "measured_on": evidence.measured_on,
        "measured_photos": len(evidence.measured),
        "ready": not by_verdict[Verdict.FAIL],
        "failed": by_verdict[Verdict.FAIL],
        "not_testable": by_verdict[Verdict.NOT_TESTABLE],
        "passed": by_verdict[Verdict.PASS],
        "checks": [_check(check) for check in checks],
        "risk_coverage": _curves(evidence),
        "degradation": [asdict(step) for step in growth],
        "accept_error": evidence.bundle.info.promise.get("accept_error"),
        "names": _names(evidence, checks),
        "notes": {
            name: {"count": len(entries), "first": list(entries[:LISTED])} for name, entries in evidence.notes.items()
        },
    }
    plain: dict[str, Any] = _finite(values)
    return plain


def _check(check: Check) -> dict[str, Any]:
    interval = check.interval
    return {
        "key": check.key,
        "title": check.title,
        "verdict": check.verdict.value,
        "figure": check.figure,
        "interval": None
        if interval is None
        else {"low": interval.low, "high": interval.high, "method": interval.method},
        "limit": {
            "value": check.limit.value,
            "at_most": check.limit.at_most,
            "unit": check.limit.unit,
            "condition": check.limit.condition,
        },
        "close": check.close,
        "found": check.found,
        "needs": check.needs,
        "advice": check.advice,
        "details": check.details,
    }


def _curves(evidence: Evidence) -> list[dict[str, Any]]:
    """Return the risk-coverage curve of all measured photos and of each tier, every product alike."""
    judged, tiers = evidence.judged(), evidence.material.tiers
    weights = photo_weights(np.ones(len(tiers)), judged.labels) if len(judged.labels) else judged.weights
    found = []
    for name in ("", *sorted(set(tiers))):
        member = np.array([not name or tiers[label] == name for label in judged.labels], bool)
        curve = risk_coverage(judged.confidence[member], judged.right[member], weights[member], CURVE_POINTS)
        title = name.split(" ", 1)[-1] or "all products"
        found.append(
            {"tier": title, "photos": int(member.sum()), "coverage": list(curve.coverage), "risk": list(curve.risk)}
        )
    return found


def _names(evidence: Evidence, checks: Sequence[Check]) -> dict[str, str]:
    """Return the names of the products that a check mentions."""
    mentioned = set().union(*(_texts(check.details) for check in checks))
    return {product.sku: product.name for product in evidence.material.products if product.sku in mentioned}


def _texts(value: Any) -> set[str]:
    """Return every text inside plain values."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return set().union(*(_texts(entry) for entry in value.values())) if value else set()
    if isinstance(value, (list, tuple)):
        return set().union(*(_texts(entry) for entry in value)) if value else set()
    return set()


def _finite(value: Any) -> Any:
    """Return the value with plain types only; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
