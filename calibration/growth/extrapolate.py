"""From shares measured at several catalogue sizes to a larger one: a straight line in logit(share) over log2(products).

Two parameters and no more: a catalogue gives some ten noisy points, and a curve with a bend follows the noise. Points
weigh by their number of products, for a rehearsal of twice the products scatters half as much in variance. The interval
is a prediction interval: residuals are drawn anew (bootstrap; Stine, J. American Statistical Association 80, 1985), the
line is fitted to each draw, and a residual is added for the one calibration that will happen.

Limits: the line must hold beyond the largest size seen; nothing here can know of a new kind of product. Subsets of one
catalogue overlap, so the interval is somewhat too narrow the nearer a size is to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forecast", "Line", "expit", "forecast_at", "line_through", "logit"]

DRAWS = 1000
LEVEL = 0.9
EDGE = 0.002  # a share nearer to 0 or 1 counts as this near

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A share and its prediction interval at LEVEL."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """logit(share) = `intercept` + `slope` * log2(products), fitted at `sizes` (n,) with `weights` (n,) of mean 1.

    `residuals` (n,) are those of a point of weight 1, made larger for the two parameters that were fitted.
    """

    intercept: float
    slope: float
    sizes: Floats
    weights: Floats
    residuals: Floats

    def at(self, products: float) -> float:
        """Return logit(share) at a size."""
        return self.intercept + self.slope * float(np.log2(products))


def logit(share: float | Floats) -> Floats:
    """Return log(share / (1 - share)), shares held off 0 and 1."""
    held = np.clip(np.asarray(share, np.float64), EDGE, 1.0 - EDGE)
    return np.asarray(np.log(held / (1.0 - held)))


def expit(value: float | Floats) -> Floats:
    """Return the share whose logit is `value`."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(value, np.float64))))


def line_through(products: Sequence[int], shares: Sequence[float]) -> Line:
    """Fit the line to one share per rehearsal; with a single size it is level."""
    sizes = np.asarray(products, np.float64)
    weights = sizes / sizes.mean()
    values = logit(np.asarray(shares, np.float64))
    intercept, slope = (float(value) for value in _fit(np.log2(sizes), values, weights))
    inflation = np.sqrt(len(sizes) / max(len(sizes) - 2, 1))
    residuals = (values - intercept - slope * np.log2(sizes)) * np.sqrt(weights) * inflation
    return Line(intercept, slope, sizes, weights, residuals)


def forecast_at(line: Line, products: float, shift: float, seed: int) -> Forecast:
    """Return the share at a size, its logit moved by `shift` (the anchor on a calibration that exists)."""
    generator = np.random.default_rng(seed)
    x, count = np.log2(line.sizes), len(line.sizes)
    scatter = generator.choice(line.residuals, (DRAWS, count + 1))
    scatter /= np.sqrt(np.append(line.weights, line.weights.max()))
    intercept, slope = _fit(x, line.intercept + line.slope * x + scatter[:, :-1], line.weights)
    drawn = intercept + slope * float(np.log2(products)) + scatter[:, -1]
    low, high = expit(np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) + shift).tolist()
    value = float(expit(line.at(products) + shift))
    return Forecast(value, min(value, low), max(value, high))


def _fit(x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return intercepts and slopes of the weighted least-squares lines through (x, y[..., :]); slope 0 for one x."""
    middle = float(np.average(x, weights=weights))
    spread = float(weights @ np.square(x - middle))
    slope = y @ (weights * (x - middle)) / spread if spread > 1e-12 else np.zeros(y.shape[:-1])
    return np.average(y, axis=-1, weights=weights) - slope * middle, slope
