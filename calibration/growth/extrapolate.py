"""How a share changes as the catalogue grows: the same products, among few others and among all.

Products differ more than catalogue sizes do: two quarters of one catalogue lie ten points apart in accuracy. So sizes
are compared in pairs, the photos of the same products looked up in a catalogue of their own and in the whole one. The
difference in logit(share) is taken as proportional to 1 - sqrt(whole / products), one parameter fitted through the
origin and weighted by the number of products: what more products teach the head and the rules shrinks like that
(learning curves: Cortes, Jackel, Solla, Vapnik & Denker, NIPS 6, 1994). On two halves of one rendered catalogue carried
on from 250 to 500 products it was off by 2.4 and -1.7 points of acceptance, a straight line over log2(products) by 4.7
and 0.0, no change at all by -1.0 and -4.3.

The interval is a prediction interval by bootstrap: pairs are drawn anew and the slope is fitted to each draw; what new
products differ by is added, as the products of the subsets do differ among all others.

Limits: the shape must hold beyond the size there is; nothing here can know of a new kind of product. Subsets overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forecast", "Pair", "Slope", "expit", "forecast_at", "logit", "slope_from_pairs", "step_to"]

DRAWS = 2000
LEVEL = 0.9
EDGE = 0.002  # a share nearer to 0 or 1 counts as this near

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A share and its prediction interval at LEVEL."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A share of the photos of `products` products: looked up among themselves, and among all of the catalogue."""

    products: int
    inside: float
    among: float


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """`value` is what logit(share) gains per `step_to`; `steps` (n,) and `gains` (n,) are those of the pairs, `weights`
    (n,) their products; `spread` is the standard deviation that one catalogue's worth of products gives.
    """

    value: float
    steps: Floats
    gains: Floats
    weights: Floats
    spread: float


def logit(share: float | Floats) -> Floats:
    """Return log(share / (1 - share)), shares held off 0 and 1."""
    held = np.clip(np.asarray(share, np.float64), EDGE, 1.0 - EDGE)
    return np.asarray(np.log(held / (1.0 - held)))


def expit(value: float | Floats) -> Floats:
    """Return the share whose logit is `value`."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(value, np.float64))))


def step_to(factor: float | Floats) -> Floats:
    """Return how far a catalogue of `factor` times the products lies ahead, 0 for the whole one, negative for parts."""
    return np.asarray(1.0 - 1.0 / np.sqrt(np.asarray(factor, np.float64)))


def slope_from_pairs(pairs: Sequence[Pair], whole: int) -> Slope:
    """Fit the slope for a catalogue of `whole` products; without a pair it is 0."""
    products = np.array([pair.products for pair in pairs], np.float64)
    inside = logit(np.array([pair.inside for pair in pairs], np.float64))
    among = logit(np.array([pair.among for pair in pairs], np.float64))
    steps = step_to(products / whole)
    gains = inside - among
    return Slope(float(_fit(steps, gains, products)), steps, gains, products, _spread(products, among, whole))


def forecast_at(slope: Slope, factor: float, present: float, seed: int) -> Forecast:
    """Return the share at `factor` times the products, from logit(share) today, `present`."""
    generator = np.random.default_rng(seed)
    further, count = float(step_to(factor)), len(slope.steps)
    value = present + slope.value * further
    drawn = np.full(DRAWS, value)
    if count:
        chosen = generator.integers(0, count, (DRAWS, count))
        slopes = _fit(slope.steps[chosen], slope.gains[chosen], slope.weights[chosen])
        wider = np.sqrt(count / max(count - 1, 1))
        drawn = present + further * (slope.value + wider * (slopes - slope.value))
    added = (factor - 1.0) / factor  # the share of the products that nobody has seen yet
    drawn = drawn + added * slope.spread * np.sqrt(1.0 + 1.0 / (factor - 1.0)) * generator.standard_normal(DRAWS)
    low, high = expit(np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])).tolist()
    middle = float(expit(value))
    return Forecast(middle, min(middle, low), max(middle, high))


def _fit(steps: Floats, gains: Floats, weights: Floats) -> Floats:
    """Return the weighted least-squares slopes through the origin along the last axis; 0 where every step is 0."""
    square = (weights * np.square(steps)).sum(axis=-1)
    return np.asarray((weights * steps * gains).sum(axis=-1) / np.where(square > 0, square, 1.0))


def _spread(products: Floats, among: Floats, whole: int) -> float:
    """Return the deviation of `whole` products drawn from many, from that of parts drawn from the whole."""
    rest = 1.0 - products / whole
    usable = rest > 0
    if usable.sum() < 2:
        return 0.0
    scaled = (among[usable] - np.average(among[usable], weights=products[usable])) * np.sqrt(
        products[usable] / whole / rest[usable]
    )
    return float(np.sqrt(np.square(scaled).sum() / (usable.sum() - 1)))
