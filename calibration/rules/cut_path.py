"""The path of cut points that certification walks, laid on photos that do not certify.

A step is a pair (confidence, nearness), nearness being minus the score of the unknown detector. Confidence falls by
equal shares of the photos that may be accepted. At each step the nearness is the least that keeps the look-alikes
accepted under a share of their cap; nearness also keeps errors out, so several shares are tried (CAUTIONS). Of the
paths that should accept nearly the most before they fail (NEARLY), the one with the fewest errors is taken. It starts
where both claims should pass with room to spare, so that the first test does not fail for want of photos.

What is expected of a step is its p-value if the certifying photos came out like these: wrong ones halfway between those
seen and those that the confidence itself expects, for a few photos tell little about one error in a hundred.

Limits: nothing here is certified; a bad path costs automation, never the promise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.rules.bounds import p_value

__all__ = ["Path", "Side", "Sums", "path_from_learn"]

STEPS = 60
LEVELS = 40
NEARLY = 0.98  # of what the best path should accept
CAUTIONS = (0.95, 0.85, 0.75, 0.5, 0.3, 0.15)  # shares of the near-unknown cap

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Weight sums of what is accepted, over any grid of cut points, and of the whole: all look-alikes, heaviest photo.

    `wrong` are photos of other products, `rest` photos as if their products were not enrolled; `..._squares` sum the
    squared weights and `doubt` the weights times 1 - confidence.
    """

    total: Floats
    wrong: Floats
    wrong_squares: Floats
    doubt: Floats
    rest: Floats
    rest_squares: Floats
    rest_total: float
    largest: float

    def at(self, levels: NDArray[np.intp]) -> Sums:
        """Return the sums of a path through a grid (S, L): step i at nearness `levels[i]`."""
        steps = np.arange(len(levels))
        return Sums(
            self.total[steps, levels],
            self.wrong[steps, levels],
            self.wrong_squares[steps, levels],
            self.doubt[steps, levels],
            self.rest[steps, levels],
            self.rest_squares[steps, levels],
            self.rest_total,
            self.largest,
        )

    def p_value(self, accept_error: float, near_unknown: float) -> Floats:
        """Return the p-value of "one of the two claims is false", elementwise."""
        error = p_value(self.total, self.wrong, self.wrong_squares, self.largest, accept_error)
        return np.maximum(error, self.rest_p_value(near_unknown))

    def rest_p_value(self, near_unknown: float) -> Floats:
        """Return the p-value of "too many look-alikes are accepted", elementwise; 1 when none were simulated."""
        everything = np.full(self.rest.shape, self.rest_total)
        return p_value(everything, self.rest, self.rest_squares, self.largest, near_unknown)

    def expected(self) -> Sums:
        """Return the sums to expect of other photos."""
        wrong = (self.wrong + self.doubt) / 2
        return Sums(
            self.total,
            wrong,
            wrong * self.largest,
            self.doubt,
            self.rest,
            self.rest_squares,
            self.rest_total,
            self.largest,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Photos that may be accepted as a product of one group, n of them: confidence, nearness, weight, wrong or not.

    `rest_...` are photos as if their products were not enrolled, m of them. `rest_total` and `mass` are the weights of
    all photos whose best candidate is of the group, allowed or not, and `photos` their number.
    """

    confidence: Singles
    nearness: Singles
    weight: Floats
    wrong: NDArray[np.bool_]
    rest_confidence: Singles
    rest_nearness: Singles
    rest_weight: Floats
    rest_total: float
    mass: float
    photos: int

    def sums(self, confidences: Floats, levels: Floats, largest: float) -> Sums:
        """Return the sums on the grid of `confidences` (S,), falling, and nearness `levels` (L,), rising."""
        own = _Binned(self.confidence, self.nearness, confidences, levels)
        rest = _Binned(self.rest_confidence, self.rest_nearness, confidences, levels)
        wrong = self.weight * self.wrong
        return Sums(
            total=own.sums(self.weight),
            wrong=own.sums(wrong),
            wrong_squares=own.sums(wrong * self.weight),
            doubt=own.sums(self.weight * (1.0 - self.confidence.astype(np.float64))),
            rest=rest.sums(self.rest_weight),
            rest_squares=rest.sums(self.rest_weight**2),
            rest_total=self.rest_total,
            largest=largest,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Step i is (`confidences[i]`, nearness `nearest[levels[i]]`), confidence falling; the walk begins at step
    `start`."""

    confidences: Floats
    nearest: Floats
    levels: NDArray[np.intp]
    start: int


class _Binned:
    """Photos counted into the cells between cut points, so that all sums over a grid cost one pass."""

    def __init__(self, confidence: Singles, nearness: Singles, confidences: Floats, nearest: Floats) -> None:
        self._shape = (len(confidences) + 1, len(nearest) + 1)
        first_step = np.searchsorted(-confidences, -confidence.astype(np.float64), side="left")
        levels = np.searchsorted(nearest, nearness.astype(np.float64), side="right")
        self._cell = first_step * self._shape[1] + levels

    def sums(self, values: Floats) -> Floats:
        """Return (S, L): the sum of the values of the photos that reach both cut points."""
        cells = np.bincount(self._cell, values, self._shape[0] * self._shape[1]).reshape(self._shape)
        reached = np.cumsum(cells, axis=0)[:-1]
        return np.asarray(np.cumsum(reached[:, ::-1], axis=1)[:, ::-1][:, 1:])


def path_from_learn(learn: Side, largest: float, targets: tuple[float, float], miss: float) -> Path:
    """Return the path for `targets` (accept_error, near_unknown), tested at level `miss` on photos as heavy as
    `largest`.

    `learn` has at least one photo.
    """
    order = np.argsort(-learn.confidence, kind="stable")
    mass = np.cumsum(learn.weight[order]) / learn.weight.sum()
    at = np.searchsorted(mass, np.arange(1, STEPS + 1) / STEPS - 1e-9).clip(max=len(order) - 1)
    confidences = np.unique(learn.confidence[order][at])[::-1].astype(np.float64)
    quantiles = np.quantile(learn.nearness, np.arange(LEVELS) / LEVELS)
    nearest = np.unique(quantiles.astype(np.float32)).astype(np.float64)
    expected = learn.sums(confidences, nearest, largest).expected()
    p = expected.p_value(*targets)
    paths = []
    for caution in CAUTIONS:
        fits = expected.rest_p_value(caution * targets[1]) <= miss / 4
        levels = np.where(fits.any(axis=1), fits.argmax(axis=1), len(nearest) - 1)
        steps = np.arange(len(levels))
        paths.append((*_walk(expected.at(levels), p[steps, levels], miss), levels))
    most = max(paths, key=lambda path: path[:2])
    good = [path for path in paths if path[0] >= NEARLY * most[0]] if most[0] > 0 else [most]
    _, _, _, start, levels = min(good, key=lambda path: (path[2], -path[0]))
    return Path(confidences, nearest, levels, start)


def _walk(path: Sums, p: Floats, miss: float) -> tuple[float, float, float, int]:
    """Return what should be accepted before the walk fails, minus the least p-value, the share that should be wrong
    of it, and where to start.
    """
    easy = np.flatnonzero(p <= miss / 4)
    start = int(easy[0]) if len(easy) else int(p.argmin())
    failed = np.flatnonzero(p[start:] > miss / 2)
    end = start + (int(failed[0]) if len(failed) else len(p) - start)
    if end == start:
        return 0.0, -float(p.min()), 1.0, start
    best = start + int(path.total[start:end].argmax())
    return float(path.total[best]), -float(p.min()), float(path.wrong[best] / max(path.total[best], 1e-300)), start
