"""How many errors can hide behind those that were seen: exact binomial bounds, also for weighted photos.

- `p_value` tests "the true rate is above the target" and `upper_bound` inverts it. With equal weights both are exactly
  Clopper & Pearson (Biometrika 26, 1934): 230 photos without an error certify 1 % at 90 %.
- With unequal weights the effective count of Fay & Feuer (Statistics in Medicine 16, 1997: intervals for directly
  standardised rates) is used: with y = sum of the errors' weights, v = sum of their squares and m = the largest weight
  that any photo has, an error counts as (v + m^2) / (y + m). An error that was not seen is taken to be of the largest
  weight, so a rare heavy group cannot hide behind many light photos. For unequal weights the cover is not proven; Fay &
  Feuer found it conservative wherever they simulated, and so does tests/unit/calibration/test_calibration_certificate.

Why not the effective sample size of Kish: photos of few weights that hold all the errors make it too small a bound.
Limits: photos are independent given their class; several views of one pack on one day are not. Rates, not counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["clean_photos_needed", "p_value", "regularised_beta", "upper_bound"]

Floats = NDArray[np.float64]
_ITERATIONS, _EXACT = 300, 1e-13
_TINY = 1e-300


def clean_photos_needed(target: float, miss: float) -> int:
    """Return how many photos without any error certify `target` with error probability `miss`: 230 for 0.01, 0.1."""
    return math.ceil(math.log(miss) / math.log1p(-target))


def p_value(total: Floats, errors: Floats, squares: Floats, largest: float, target: float) -> Floats:
    """Return P(at most these errors | rate = target), elementwise; small means certified.

    `total` is the sum of the weights of the accepted photos, `errors` and `squares` the sums of weights and squared
    weights of those that are wrong, `largest` the largest weight of any photo. Nothing accepted gives 1.
    """
    total, errors, squares = (np.asarray(a, np.float64) for a in (total, errors, squares))
    unit, shape = _effective(errors, squares, largest)
    count = total / unit
    rest = count - shape + 1.0
    usable = (count > 0) & (rest > 0)
    beta = regularised_beta(np.where(usable, rest, 1.0), shape, np.full(count.shape, 1.0 - target))
    return np.where(usable, beta, 1.0)


def upper_bound(total: float, errors: float, squares: float, largest: float, miss: float) -> float:
    """Return the rate that the true one exceeds with probability `miss` at most; 1 when nothing was accepted."""
    if not total > 0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        sure = p_value(np.array(total), np.array(errors), np.array(squares), largest, middle) <= miss
        low, high = (low, middle) if sure else (middle, high)
    return high


def regularised_beta(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return I_x(a, b) for a, b > 0 and 0 <= x <= 1, elementwise, by Lentz's continued fraction."""
    a, b, x = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64), np.asarray(x, np.float64))
    flip = x > (a + 1.0) / (a + b + 2.0)
    p, q, z = np.where(flip, b, a), np.where(flip, a, b), np.where(flip, 1.0 - x, x)
    inside = (z > 0) & (z < 1)
    z = np.where(inside, z, 0.5)
    front = np.exp(_gamma(p + q) - _gamma(p) - _gamma(q) + p * np.log(z) + q * np.log1p(-z)) / p
    lower = np.where(inside, front * _fraction(p, q, z), 0.0)
    return np.clip(np.where(flip, 1.0 - lower, lower), 0.0, 1.0)


def _effective(errors: Floats, squares: Floats, largest: float) -> tuple[Floats, Floats]:
    """Return the weight that one error counts as, and the number of such errors plus the one that was not seen."""
    unit = (squares + largest * largest) / (errors + largest)
    return unit, (errors + largest) / unit


def _fraction(p: Floats, q: Floats, z: Floats) -> Floats:
    if z.size == 1:  # as in every step of a bisection: ten times as quick in plain numbers, and the same bits
        alone = _continued(p.item(), q.item(), z.item(), _away_alone, lambda change: abs(change - 1.0) < _EXACT)
        return np.full(z.shape, alone)
    every: Floats = _continued(p, q, z, _away, lambda change: np.all(np.abs(change - 1.0) < _EXACT))
    return every


def _continued(p: Any, q: Any, z: Any, away: Callable[[Any], Any], is_settled: Callable[[Any], Any]) -> Any:
    """Return the fraction of arrays or of plain numbers; `away` keeps a denominator off zero."""
    c: Any = 1.0
    d = result = 1.0 / away(1.0 - (p + q) * z / (p + 1.0))
    for m in range(1, _ITERATIONS):
        even = m * (q - m) * z / ((p + 2 * m - 1) * (p + 2 * m))
        d, c = 1.0 / away(1.0 + even * d), away(1.0 + even / c)
        result = result * (d * c)
        odd = -(p + m) * (p + q + m) * z / ((p + 2 * m) * (p + 2 * m + 1))
        d, c = 1.0 / away(1.0 + odd * d), away(1.0 + odd / c)
        change = d * c
        result = result * change
        if is_settled(change):
            break
    return result


def _away(value: Floats) -> Floats:
    away: Floats = np.where(np.abs(value) < _TINY, _TINY, value)
    return away


def _away_alone(value: float) -> float:
    return _TINY if abs(value) < _TINY else value


_gamma = np.vectorize(math.lgamma, otypes=[np.float64])
