"""The forecast of a larger catalogue: rehearsals at a quarter to the whole of it, and what lies beyond.

What is extrapolated
- What growth itself does: the same products alone and among all (`calibration.growth.extrapolate`), for the share of
  right best candidates and for the routes with photos in plenty (`rich`). A certificate on few photos accepts nothing
  below some number and little above it; a line through that would be a line through a step.
- What certifying costs with as many photos as the larger catalogue has, simulated on the whole one: `grown`.
- Both start from what the bundle does today. What it accepts is one certificate's luck, though: there it counts for
  TRUST, and the mean of the rehearsed certificates of the whole catalogue for the rest.

Limits: a forecast is of recalibrating with products and photos like those there are; nothing can be known of a new
kind of product. Where the bundle accepts nothing today, the rehearsal of the whole stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.fit import Settings
from calibration.growth.compressed import Space
from calibration.growth.extrapolate import Forecast, Pair, forecast_at, logit, slope_from_pairs
from calibration.growth.families import subset
from calibration.growth.rehearsal import Rehearsal, narrowed, rehearse, resplit, restricted
from calibration.growth.trial import Outcome, Trial, grown, rich, trial
from calibration.photos.material import Material
from edge.build_folder import InputSpec
from edge.errors import CatalogueError

__all__ = ["FACTORS", "Ahead", "Part", "Study", "Whole", "ahead", "rehearsals", "study"]

FRACTIONS = ((0.25, 4), (0.5, 4), (0.75, 2))  # of the catalogue, and how many subsets of each
WHOLES = 2  # splits of the whole catalogue's photos
FACTORS = (1.5, 2.0)
RICH_PHOTOS = 16_000
LEAST_PRODUCTS = 8
TRUST = 0.5  # one certificate scatters by some points, the rehearsals lie a point or two low
LEAST_ACCEPTED = 0.01  # a share under this says nothing about how it changes
NAMES = ("top1", "accept", "unknown", "review", "near_unknown")
LUCKY = ("accept", "review")  # shares that hang on where one walk over cut points ended


@dataclass(frozen=True, slots=True)
class Part:
    """A subset: its certificate as it would be taken; with photos in plenty, alone and among all products."""

    fraction: float
    trial: Trial
    inside: Outcome
    among: Outcome


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole catalogue under one split: its certificates, and those of each of FACTORS times the photos."""

    trial: Trial
    grown: dict[float, Outcome]


@dataclass(frozen=True, slots=True)
class Study:
    """All rehearsals of a catalogue of `products`."""

    products: int
    parts: tuple[Part, ...]
    wholes: tuple[Whole, ...]


@dataclass(frozen=True, slots=True)
class Ahead:
    """The forecast for `products`: a share and its interval per name of NAMES, and `verify` as the rest."""

    products: int
    factor: float
    shares: dict[str, Forecast]
    verify: float


def rehearsals() -> int:
    """Return how many rehearsals a study takes."""
    return WHOLES + sum(repeats for _, repeats in FRACTIONS)


def study(
    material: Material,
    families: Sequence[str],
    space: Space,
    spec: InputSpec,
    settings: Settings,
    advance: Callable[[int], None],
) -> Study:
    """Rehearse the whole catalogue and every subset on features of `space`; `advance` counts rehearsals.

    Raises CatalogueError when the catalogue is too small to be cut, or has no validation photos.
    """
    products = len(material.products)
    if products < LEAST_PRODUCTS or len(material.certify) == 0:
        raise CatalogueError(
            f"{products} products and {len(material.certify)} photos that certify, expected at least {LEAST_PRODUCTS} "
            "products with validation photos: a forecast is measured on subsets of them"
        )
    splits: list[tuple[Settings, Material, Rehearsal]] = []
    wholes, parts = [], []
    for number in range(WHOLES):
        ours = replace(settings, seed=settings.seed + number)
        anew = resplit(material, ours.seed)
        rehearsal = rehearse(anew, space, ours)
        advance(1)
        if rehearsal is not None:
            splits.append((ours, anew, rehearsal))
            more = {factor: grown(rehearsal, spec, ours, factor) for factor in FACTORS}
            wholes.append(Whole(trial(rehearsal, spec, ours), more))
    for fraction, repeats in FRACTIONS:
        for repeat in range(repeats):
            ours, anew, everything = splits[repeat % len(splits)]
            kept = subset(families, max(round(fraction * products), 2), settings.seed + 100 * repeat)
            small = rehearse(narrowed(anew, kept), space, ours)
            advance(1)
            if small is not None:
                inside = rich(small, spec, ours, RICH_PHOTOS)
                among = rich(restricted(everything, kept), spec, ours, RICH_PHOTOS)
                parts.append(Part(fraction, trial(small, spec, ours), inside, among))
    return Study(products, tuple(parts), tuple(wholes))


def ahead(found: Study, factor: float, present: Outcome, seed: int) -> Ahead:
    """Forecast `factor` times the products from a study and what the bundle does now (`present`)."""
    shares = {name: _forecast(found, name, factor, present, seed) for name in NAMES}
    rest = 1.0 - sum(shares[name].value for name in ("accept", "unknown", "review"))
    return Ahead(round(factor * found.products), factor, shares, max(rest, 0.0))


def _forecast(found: Study, name: str, factor: float, present: Outcome, seed: int) -> Forecast:
    pairs = [
        Pair(part.trial.products, getattr(part.inside, name), getattr(part.among, name))
        for part in found.parts
        if name == "top1" or min(part.inside.accept, part.among.accept) >= LEAST_ACCEPTED
    ]
    today = float(np.mean(logit(np.array([whole.trial.mean(name) for whole in found.wholes]))))
    later = float(np.mean(logit(np.array([getattr(whole.grown[factor], name) for whole in found.wholes]))))
    measured = getattr(present, name)
    unsure = name != "top1" and present.accept < LEAST_ACCEPTED
    trust = 0.0 if measured is None or unsure else TRUST if name in LUCKY else 1.0
    start = trust * float(logit(float(measured or 0.0))) + (1.0 - trust) * today
    price = 0.0 if name == "top1" else later - today
    return forecast_at(slope_from_pairs(pairs, found.products), factor, start + price, seed)
