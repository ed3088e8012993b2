"""The figures of a calibration as plain values (report.json): everything the page for people shows, and nothing else.

Every share states its mix, every rate its number of photos. Values are finite: what is not certified is null. No time
and no path of this machine is in it, so equal inputs give an equal bundle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.fit import Fitted, Settings
from calibration.photos.material import Material
from calibration.photos.mix import photo_weights
from calibration.photos.photoset import Photoset
from calibration.report.evaluate import Curve, Outcome, decide, outcome_of, risk_coverage
from calibration.rules.bounds import clean_photos_needed
from calibration.rules.ood_fit import Detection, auroc
from calibration.rules.thresholds import GroupCut
from calibration.rules.unseen import FOLDS
from calibration.space.expected import expected_of
from calibration.space.head import Rows, embed
from edge.engine_row import join_rows
from edge.pipeline import Pipeline
from edge.types import Decision, EngineRows, Route

__all__ = ["Findings", "find", "promise_of", "report_values"]

LISTED = 50  # names listed in full; the count is always given
CURVE_POINTS = 50


@dataclass(frozen=True, slots=True)
class TierFigure:
    """What the device does with the photos of one tier's products."""

    tier: str
    products: int
    photos: int
    top1: float
    accepted: float
    accepted_error: float


@dataclass(frozen=True, slots=True)
class UnknownFigure:
    """What the device does with one kind of thing that is not in the catalogue."""

    detection: Detection
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Findings:
    """What the device's own code makes of the photos. `measured_on` is `test` where there are test photos."""

    measured_on: str
    outcome: Outcome
    tiers: tuple[TierFigure, ...]
    curve: Curve
    unknown: tuple[UnknownFigure, ...]


def find(pipeline: Pipeline, fitted: Fitted, material: Material, rows: Rows) -> Findings:
    """Run test photos (or, without any, those that certified) and unknown things through the device's pipeline."""
    on_test = len(material.test) > 0
    photos = material.test if on_test else material.certify
    seen = _seen(fitted, rows, photos) if on_test else fitted.certify_rows
    weights = photo_weights(fitted.mix.wanted, photos.labels)
    decisions = decide(pipeline, seen, photos)
    confidence = np.array([d.confidence for d in decisions], np.float32)
    right = np.array([d.sku == sku for d, sku in zip(decisions, photos.kinds, strict=True)], bool)
    strange = np.array([d.ood_score for d in decisions], np.float32)
    return Findings(
        measured_on="test" if on_test else "validation",
        outcome=outcome_of(decisions, photos.kinds, weights),
        tiers=tuple(_tier(tier, decisions, photos, material, weights) for tier in sorted(set(material.tiers))),
        curve=risk_coverage(confidence, right, weights, CURVE_POINTS),
        unknown=_unknown(pipeline, _seen(fitted, rows, material.unknown), material.unknown, (strange, weights)),
    )


def _seen(fitted: Fitted, rows: Rows, photos: Photoset) -> EngineRows:
    """Return what the engine will give for the photos, (N, D + 1)."""
    expected = expected_of(fitted.expectation, rows, photos.rows)
    return join_rows(embed(fitted.head, rows, photos.rows), expected)


def promise_of(fitted: Fitted, settings: Settings) -> dict[str, Any]:
    """Return what the bundle's manifest promises, and for which mix."""
    certified = [cut for cut in fitted.groups if cut.certified]
    strict = [cut for cut in certified if cut.strict_confidence < np.inf]
    return {
        "accept_error": settings.targets.accept_error,
        "certainty": settings.targets.certainty,
        "near_unknown": settings.targets.near_unknown,
        "false_unknown": settings.false_unknown,
        "mix": "weight column of skus.csv" if settings.weighted else "uniform over products on sale",
        "seed": settings.seed,
        "copies": settings.copies,
        "products_covered": int(fitted.mix.covered.sum()),
        "certified": bool(certified),
        "degraded": {
            "accept_error": max((cut.strict_error for cut in strict), default=None),
            "near_unknown": max((cut.strict_near_unknown for cut in strict), default=None),
            "certified": bool(strict),
            "accepted": fitted.accepted_degraded,
        },
        "groups": {
            cut.group.name: {"certified": cut.certified, "error_bound": cut.error_bound, "share": cut.share}
            for cut in fitted.groups
        },
    }


def report_values(
    findings: Findings, fitted: Fitted, material: Material, settings: Settings, notes: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return the content of report.json; `notes` are lists of names: left out, unreadable, warnings and so on."""
    skus = [product.sku for product in material.products]
    outside = [sku for sku, covered in zip(skus, fitted.mix.covered, strict=True) if not covered]
    values = {
        "promise": promise_of(fitted, settings),
        "clean_photos_needed": clean_photos_needed(settings.targets.accept_error, 1.0 - settings.targets.certainty),
        "findings": asdict(findings),
        "groups": [_group(cut) for cut in fitted.groups],
        "alternatives": [asdict(alternative) for alternative in fitted.alternatives],
        "plug_in": asdict(fitted.plug_in),
        "detector": {
            "method": fitted.rules.ood.method,
            "false_unknown_budget": fitted.rules.ood.false_unknown_budget,
            "splits": FOLDS,
            "methods": [asdict(figure) for figure in fitted.detectors],
        },
        "shape": [asdict(trial) for trial in fitted.trials],
        "verify": asdict(fitted.verify),
        "reliability": asdict(fitted.reliability),
        **_rules(fitted),
        **_sizes(fitted),
        "twins": [{**asdict(pair), "first": skus[pair.first], "second": skus[pair.second]} for pair in fitted.twins],
        "catalogue": {"products": len(skus), **_photo_counts(material)},
        "notes": {
            name: {"count": len(names), "first": list(names)[:LISTED]}
            for name, names in {**notes, "outside_the_mix": outside}.items()
        },
    }
    plain: dict[str, Any] = _finite(values)
    return plain


def _group(cut: GroupCut) -> dict[str, Any]:
    """Return a group's cut points with its name, source and number of products in the place of their list."""
    group = {"source": cut.group.source, "products": len(cut.group.members)}
    return {"name": cut.group.name, **asdict(cut), "group": group}


def _rules(fitted: Fitted) -> dict[str, Any]:
    rules = fitted.rules
    return {
        "confidence": {
            "similarity_weight": rules.confidence.similarity_weight,
            "margin_weight": rules.confidence.margin_weight,
            "offset_deviation": float(rules.confidence.class_offset.std()),
        },
        "unknown_threshold": rules.ood.threshold,
        "quality": asdict(rules.quality),
    }


def _sizes(fitted: Fitted) -> dict[str, Any]:
    head, table = fitted.head, fitted.table
    return {
        "head": {
            "method": head.method,
            "dimension": head.dimension,
            "features": len(head.mean),
            "shrinkage": head.shrinkage,
            "photos": head.photos,
        },
        "expected": {"explained": fitted.expectation.explained, "strength": fitted.expectation.strength},
        "table": {
            "prototypes": len(table.owners),
            "bytes": int(table.prototypes.nbytes),
            "int8_agreement": fitted.int8_agreement,
        },
    }


def _photo_counts(material: Material) -> dict[str, int]:
    sets = ("reference", "fit", "certify", "test", "unknown")
    return {f"{name}_photos": len(getattr(material, name)) for name in sets}


def _tier(
    tier: str, decisions: Sequence[Decision], photos: Photoset, material: Material, weights: NDArray[np.float64]
) -> TierFigure:
    member = np.array([material.tiers[label] == tier for label in photos.labels], bool)
    chosen = np.flatnonzero(member)
    outcome = outcome_of([decisions[int(i)] for i in chosen], [photos.kinds[i] for i in chosen], weights[chosen])
    name = tier.split(" ", 1)[-1]
    share = outcome.shares[Route.ACCEPT.value]
    return TierFigure(name, material.tiers.count(tier), len(chosen), outcome.top1, share, outcome.accepted_error)


def _unknown(
    pipeline: Pipeline,
    seen: EngineRows,
    photos: Photoset,
    enrolled: tuple[NDArray[np.float32], NDArray[np.float64]],
) -> tuple[UnknownFigure, ...]:
    figures = []
    decisions = decide(pipeline, seen, photos)
    strange = np.array([d.ood_score for d in decisions], np.float32)
    for kind in sorted(set(photos.kinds)):
        chosen = np.array([i for i, name in enumerate(photos.kinds) if name == kind], np.intp)
        outcome = outcome_of([decisions[int(i)] for i in chosen], [""] * len(chosen), np.ones(len(chosen)))
        found = outcome.shares[Route.UNKNOWN.value]
        figures.append(UnknownFigure(Detection(kind, len(chosen), found, auroc(strange[chosen], *enrolled)), outcome))
    return tuple(figures)


def _finite(value: Any) -> Any:
    """Return the value with plain types only; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return int(value) if isinstance(value, np.integer) else value
