"""The forecast of a larger catalogue: rehearsals at a quarter to the whole of it, and what lies beyond.

What is extrapolated
- The share of right best candidates, and the shares that would go to each route if photos that certify were plenty
  (`rich`), follow a line in logit over log2(products) (`calibration.growth.extrapolate`). A certificate on few photos
  accepts nothing below some number and little above it; a line through that would be a line through a step.
- The price of certifying with as many photos as a catalogue of that size has is simulated on the whole catalogue and
  put on top, in logits.
- All is moved by the difference between what the bundle does on its photos and what the rehearsal of the same split
  says about it (short features lose a little): the anchor.

Limits: a forecast is of recalibrating with products and photos like those there are; nothing can be known of a new
kind of product. Without test photos the anchor is taken on those that certified, under the seed of the calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.fit import Settings
from calibration.growth.compressed import Space
from calibration.growth.extrapolate import Forecast, forecast_at, line_through, logit
from calibration.growth.families import subset
from calibration.growth.rehearsal import narrowed, rehearse, resplit
from calibration.growth.trial import Outcome, Trial, grown, rich, trial
from calibration.photos.material import Material
from edge.build_folder import InputSpec
from edge.errors import CatalogueError

__all__ = ["FACTORS", "Ahead", "Sized", "Study", "ahead", "study"]

FRACTIONS = ((0.25, 4), (0.5, 3), (0.75, 2), (1.0, 2))  # of the catalogue, and how many subsets of each
FACTORS = (1.5, 2.0)
RICH_PHOTOS = 16_000
LEAST_PRODUCTS = 8
LEAST_ACCEPTED = 0.01  # a bundle that accepts less gives no anchor for what is accepted
NAMES = ("top1", "accept", "unknown", "review", "near_unknown")


@dataclass(frozen=True, slots=True)
class Sized:
    """One rehearsal: the certificate as it would be taken, and with photos in plenty."""

    fraction: float
    trial: Trial
    rich: Outcome


@dataclass(frozen=True, slots=True)
class Study:
    """All rehearsals; `priced` holds, per factor, those of the whole catalogue with that many times the photos."""

    products: int
    sizes: tuple[Sized, ...]
    priced: dict[float, tuple[Outcome, ...]]

    def whole(self) -> tuple[Sized, ...]:
        """Return the rehearsals of the whole catalogue; the first has the split of the calibration."""
        return tuple(sized for sized in self.sizes if sized.fraction == 1.0)


@dataclass(frozen=True, slots=True)
class Ahead:
    """The forecast for `products`: a share and its interval per name of NAMES, and `verify` as the rest."""

    products: int
    factor: float
    shares: dict[str, Forecast]
    verify: float


def study(
    material: Material,
    families: Sequence[str],
    space: Space,
    spec: InputSpec,
    settings: Settings,
    advance: Callable[[int], None],
) -> Study:
    """Rehearse every subset on features of `space`; `advance` counts rehearsals.

    Raises CatalogueError when the catalogue is too small to be cut, or has no validation photos.
    """
    products = len(material.products)
    if products < LEAST_PRODUCTS or len(material.certify) == 0:
        raise CatalogueError(
            f"{products} products and {len(material.certify)} photos that certify, expected at least {LEAST_PRODUCTS} "
            "products with validation photos: a forecast is measured on subsets of them"
        )
    sizes, priced = [], {factor: list[Outcome]() for factor in FACTORS}
    for fraction, repeats in FRACTIONS:
        for repeat in range(repeats):
            seed = settings.seed + repeat
            kept = subset(families, max(round(fraction * products), 2), seed)
            ours = replace(settings, seed=seed)
            rehearsal = rehearse(narrowed(resplit(material, seed), kept), space, ours)
            advance(1)
            if rehearsal is None:
                continue
            sizes.append(Sized(fraction, trial(rehearsal, spec, ours), rich(rehearsal, spec, ours, RICH_PHOTOS)))
            if fraction == 1.0:
                for factor in FACTORS:
                    priced[factor].append(grown(rehearsal, spec, ours, factor))
    return Study(products, tuple(sizes), {factor: tuple(found) for factor, found in priced.items()})


def ahead(found: Study, factor: float, present: Outcome, seed: int) -> Ahead:
    """Forecast `factor` times the products from a study and what the bundle does now (`present`)."""
    shares = {name: _forecast(found, name, factor, present, seed) for name in NAMES}
    rest = 1.0 - sum(shares[name].value for name in ("accept", "unknown", "review"))
    return Ahead(round(factor * found.products), factor, shares, max(rest, 0.0))


def _forecast(found: Study, name: str, factor: float, present: Outcome, seed: int) -> Forecast:
    line = line_through(
        [sized.trial.products for sized in found.sizes], [float(getattr(sized.rich, name)) for sized in found.sizes]
    )
    whole = found.whole()
    price = _mean_logit([getattr(outcome, name) for outcome in found.priced[factor]])
    price -= _mean_logit([getattr(sized.rich, name) for sized in whole])
    return forecast_at(line, factor * found.products, price + _anchor(whole[0], name, present), seed)


def _anchor(same_split: Sized, name: str, present: Outcome) -> float:
    """Return how far the bundle lies from its rehearsal, in logits; 0 where nothing is accepted yet."""
    measured = getattr(present, name)
    nothing = min(present.accept, same_split.trial.mean("accept")) < LEAST_ACCEPTED
    if measured is None or (name == "accept" and nothing):
        return 0.0
    return float(logit(float(measured)) - logit(same_split.trial.mean(name)))


def _mean_logit(shares: Sequence[float]) -> float:
    return float(np.mean(logit(np.asarray(shares, np.float64))))
