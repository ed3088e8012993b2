"""The figures of a forecast as plain values (forecast.json), and what the bundle does today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from calibration.fit import Settings
from calibration.growth.forecast import FRACTIONS, NAMES, Ahead, Study
from calibration.growth.room import Room, TableSize
from calibration.growth.trial import Outcome
from calibration.photos.material import Material
from calibration.photos.mix import photo_weights
from calibration.report.evaluate import decide, outcome_of
from calibration.space.head import Head, Rows, embed
from edge.bundle import Bundle
from edge.pipeline import Pipeline
from edge.ports import Engine

__all__ = ["Present", "forecast_values", "present_from_bundle", "room_values"]

ALL = ("top1", "accept", "verify", "review", "unknown", "wrong", "near_unknown")


@dataclass(frozen=True, slots=True)
class Present:
    """What the bundle decides by the device's own code on `photos` photos of `measured_on`."""

    outcome: Outcome
    photos: int
    measured_on: str


def present_from_bundle(
    bundle: Bundle, engine: Engine, head: Head, rows: Rows, material: Material, settings: Settings
) -> Present:
    """Decide about test photos (without any, about those that certify) with the bundle as it is.

    `near_unknown` is None: a table cannot tell what it would do without one of its products.
    """
    on_test = len(material.test) > 0
    photos = material.test if on_test else material.certify
    decisions = decide(Pipeline(bundle, engine), embed(head, rows, photos.rows), photos)
    on_sale = np.array([product.status != "discontinued" for product in material.products])
    weight = np.array([product.weight if settings.weighted else 1.0 for product in material.products])
    found = outcome_of(decisions, photos.kinds, photo_weights(np.where(on_sale, weight, 0.0), photos.labels))
    outcome = Outcome(
        top1=found.top1,
        accept=found.shares["accept"],
        verify=found.shares["verify"],
        review=found.shares["review"],
        unknown=found.shares["unknown"],
        wrong=found.accepted_error,
        near_unknown=None,
    )
    return Present(outcome, len(photos), "test" if on_test else "validation")


def forecast_values(
    bundle: Bundle,
    found: Study,
    present: Present,
    ahead: Sequence[Ahead],
    sizes: dict[int, TableSize],
    other: dict[str, Any],
) -> dict[str, Any]:
    """Return the content of forecast.json; `sizes` has an entry per number of products, `other` is added as it is."""
    groups = [
        (fraction, [part.trial for part in found.parts if part.fraction == fraction]) for fraction, _ in FRACTIONS
    ]
    groups.append((1.0, [whole.trial for whole in found.wholes]))
    measured = [
        {
            "fraction": fraction,
            "outcome": {name: float(np.mean([one.mean(name) for one in here])) for name in ALL},
            **asdict(sizes[here[0].products]),
        }
        for fraction, here in groups
        if here
    ]
    rehearsals = [
        {
            "products": one.products,
            "outcome": {name: one.mean(name) for name in ALL},
            "one_certificate_deviation": {name: one.deviation(name) for name in NAMES},
        }
        for _, here in groups
        for one in here
    ]
    pairs = [
        {"products": part.trial.products, "alone": asdict(part.inside), "among_all": asdict(part.among)}
        for part in found.parts
    ]
    return {
        "bundle": bundle.id,
        "products": found.products,
        "promise": bundle.info.promise,
        "now": {**asdict(present), **asdict(sizes[found.products])},
        "measured": measured,
        "rehearsals": rehearsals,
        "pairs": pairs,
        "ahead": [{**asdict(sizes[one.products]), **asdict(one)} for one in ahead],
        **other,
    }


def room_values(room: Room | None) -> dict[str, Any] | None:
    """Return the room as plain values."""
    return asdict(room) if room is not None else None
