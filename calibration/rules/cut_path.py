"""The path of cut points that certification walks, laid on photos that do not certify.

Photos lie in cells: by the part of the catalogue that their best candidate belongs to, and by its band of crowding
(`calibration.space.crowding`). A step is one confidence for all and one nearness for each band, nearness being minus
the score of the unknown detector. Confidence and nearness open together: at t of the way the confidence is the one
that t * q of the photos reach, and each band lets in t * k of the look-alikes that it could let in and still prove its
claim. A path that rides along one of its limits from the start would end at the first bad luck.

Many (q, k) are tried. Of the paths that should accept nearly the most before they fail (NEARLY), the one with the
fewest errors is taken. It starts at the first step that is as good as passed (EASY), or else at the likeliest: further
back there are too few photos to prove anything, further on too many look-alikes.

What is expected of a step is its p-value if other photos came out like these, with two corrections. Errors lie between
those seen and those that the confidence itself expects, which count as much as PRIOR photos do: few photos tell little
about one error in a hundred. Look-alikes are let in more often, by GROWS (the head that runs was taught by more photos
and lets more of everything in) and by SCATTER standard errors.

Limits: nothing here is certified; a bad path costs automation, never the promise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.rules.bounds import p_value

__all__ = ["EASY", "Claims", "Path", "Side", "Sides", "Sums", "path_from_learn", "sums_along", "walked"]

STEPS = 64
FURTHEST = 1.3  # of the way: how far past its expected end a path goes on
CONFIDENCES = 120
LEVELS = 100
QUANTILES = tuple(np.linspace(0.1, 1.0, 19).tolist())  # q
OPENINGS = (1.0, 0.75, 0.5, 0.3)  # k
NEARLY = 0.98  # of what the best path should accept
PRIOR = 200.0
GROWS = 1.2
SCATTER = 1.5
EASY = 0.02  # of the level: a forecast p-value under this is as good as passed
ENDS = 0.5  # of the level: a forecast p-value above this is the end of a walk

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a step is tested for, each claim at the level `miss`.

    Of all that is accepted at most `accept_error` is wrong, and of all look-alikes at most `near_unknown` are accepted;
    `by_part` says that the first is claimed of each part too, `by_band` that the second is claimed of each band too.
    """

    accept_error: float
    near_unknown: float
    miss: float
    by_part: bool
    by_band: bool


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Photos of one cell that may be accepted, n of them: confidence, nearness, weight, wrong or not.

    `rest_...` are photos as if their products were not enrolled, m of them. `rest_total` and `mass` are the weights of
    all photos whose best candidate is in the cell, allowed or not, and `photos` their number.
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


Sides = Sequence[Sequence[Side]]  # [part][band]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Weight sums of what is accepted, (parts, bands, ...), over any grid or path of cut points.

    `wrong` are photos of other products, `rest` photos as if their products were not enrolled; `..._squares` sum the
    squared weights and `doubt` the weights times 1 - confidence. `rest_total` (parts, bands) is the weight of all
    look-alikes, `largest` that of the heaviest photo. A `forecast` stands for other photos than those summed.
    """

    total: Floats
    wrong: Floats
    wrong_squares: Floats
    doubt: Floats
    rest: Floats
    rest_squares: Floats
    rest_total: Floats
    largest: float
    forecast: bool

    def along(self, steps: NDArray[np.intp], levels: Sequence[NDArray[np.intp]]) -> Sums:
        """Return the sums of paths through a grid (parts, bands, S, L): confidence `steps` (..., T), a nearness level
        for each of them in every band.
        """

        def taken(values: Floats) -> Floats:
            return np.stack([values[:, band][:, steps, level] for band, level in enumerate(levels)], axis=1)

        return Sums(
            taken(self.total),
            taken(self.wrong),
            taken(self.wrong_squares),
            taken(self.doubt),
            taken(self.rest),
            taken(self.rest_squares),
            self.rest_total,
            self.largest,
            self.forecast,
        )

    def errors(self, axes: tuple[int, ...] = (0, 1)) -> tuple[Floats, Floats]:
        """Return the weight of the wrong photos and their squares, summed over axes: all cells, or (1,) by part."""
        wrong, squares = self.wrong.sum(axes), self.wrong_squares.sum(axes)
        if self.forecast:
            total = self.total.sum(axes)
            seen = total / (total + PRIOR * self.largest)
            wrong = seen * wrong + (1.0 - seen) * self.doubt.sum(axes)
            squares = wrong * self.largest
        return np.asarray(wrong), np.asarray(squares)

    def look_alikes(self, axes: tuple[int, ...] = (0, 1)) -> tuple[Floats, Floats]:
        """Return the weight of the look-alikes accepted and its squares, over all cells, or (0,) by band."""
        rest, squares = self.rest.sum(axes), self.rest_squares.sum(axes)
        if self.forecast:
            rest = GROWS * rest + SCATTER * np.sqrt(squares)
        return np.asarray(rest), np.asarray(squares)

    def p_value(self, claims: Claims) -> Floats:
        """Return the p-value of "one of the claims is false" along paths (parts, bands, ..., T), (..., T)."""
        parts: list[tuple[int, ...]] = [(0, 1), (1,)] if claims.by_part else [(0, 1)]
        bands: list[tuple[int, ...]] = [(0, 1), (0,)] if claims.by_band else [(0, 1)]
        found = [self._error(axes, claims.accept_error) for axes in parts]
        found += [self._near(axes, claims.near_unknown) for axes in bands]
        shape = self.total.shape[2:]
        return np.asarray(np.max([p.reshape(-1, *shape).max(axis=0) for p in found], axis=0))

    def _error(self, axes: tuple[int, ...], target: float) -> Floats:
        wrong, squares = self.errors(axes)
        return p_value(self.total.sum(axes), wrong, squares, self.largest, target)

    def _near(self, axes: tuple[int, ...], target: float) -> Floats:
        rest, squares = self.look_alikes(axes)
        everything = np.asarray(self.rest_total.sum(axes))
        everything = everything.reshape(everything.shape + (1,) * (rest.ndim - everything.ndim))
        return p_value(np.broadcast_to(everything, rest.shape), rest, squares, self.largest, target)


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Step i is `confidences[i]` and, for band b, `nearest[b][i]`; the walk begins at step `start`.

    `expected` is the weight that should be accepted at its end.
    """

    confidences: Floats
    nearest: tuple[Floats, ...]
    start: int
    expected: float


@dataclass(frozen=True, slots=True, eq=False)
class _Walk:
    """A path through the grid with what is expected of it: accepted weight, least p-value, share that is wrong."""

    steps: NDArray[np.intp]
    levels: list[NDArray[np.intp]]
    start: int
    accepted: float
    least: float
    error: float


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


class _Along:
    """Photos that reach the cut points of each step of a path."""

    def __init__(self, confidence: Singles, nearness: Singles, confidences: Floats, nearest: Floats) -> None:
        self._reached = (confidence >= confidences[:, None]) & (nearness >= nearest[:, None])

    def sums(self, values: Floats) -> Floats:
        """Return (T,): the sum of the values of the photos that reach both cut points."""
        return np.asarray(self._reached @ values)


def path_from_learn(learn: Sides, largest: float, claims: Claims) -> Path:
    """Return the path for these claims, to be tested on photos as heavy as `largest`.

    `learn` has at least one photo that may be accepted.
    """
    grid = _Grid(learn, largest)
    walks = grid.walks(claims)
    most = max(walks, key=lambda walk: (walk.accepted, -walk.least))
    good = [walk for walk in walks if walk.accepted >= NEARLY * most.accepted] if most.accepted > 0 else [most]
    best = min(good, key=lambda walk: (walk.error, -walk.accepted))
    nearest = tuple(grid.nearest[levels] for levels in best.levels)
    return Path(grid.confidences[best.steps], nearest, best.start, best.accepted)


def walked(p: Floats, start: int, level: float) -> int:
    """Return where a walk that begins at step `start` ends: at the first p-value (T,) above `level`, or at T."""
    failed = np.flatnonzero(p[start:] > level)
    return start + int(failed[0]) if len(failed) else len(p)


def sums_along(sides: Sides, path: Path, largest: float) -> Sums:
    """Return the sums of photos along a path, (parts, bands, T)."""

    def count(side: Side, band: int) -> tuple[_Along, _Along]:
        at = (path.confidences, path.nearest[band])
        return _Along(side.confidence, side.nearness, *at), _Along(side.rest_confidence, side.rest_nearness, *at)

    return _summed(sides, count, largest, forecast=False)


class _Grid:
    """Sums of the photos over a grid of cut points: confidences falling, levels of nearness rising; the last of these
    lets nothing in.
    """

    def __init__(self, learn: Sides, largest: float) -> None:
        sides = [side for part in learn for side in part]
        confidence = np.concatenate([side.confidence for side in sides])
        weight = np.concatenate([side.weight for side in sides])
        order = np.argsort(-confidence, kind="stable")
        mass = np.cumsum(weight[order]) / weight.sum()
        at = np.searchsorted(mass, np.arange(1, CONFIDENCES + 1) / CONFIDENCES - 1e-9).clip(max=len(order) - 1)
        reached = confidence[order][at].astype(np.float64)
        self.confidences = np.unique(reached)[::-1]
        self._step = np.searchsorted(-self.confidences, -reached)  # of each quantile
        nearness = np.concatenate([side.nearness for side in sides])
        levels = np.quantile(nearness, np.arange(LEVELS) / LEVELS).astype(np.float32)
        self.nearest = np.append(np.unique(levels).astype(np.float64), np.inf)
        self._sums = _summed(learn, self._count, largest, forecast=True)
        self._look_alikes, _ = self._sums.look_alikes((0,))  # (bands, S, L)
        bands = list(zip(*learn, strict=True))
        weights = [np.concatenate([side.rest_weight for side in band]) for band in bands]
        self._unit = [float(w @ w) / max(float(w.sum()), 1e-300) for w in weights]
        self._band_total = self._sums.rest_total.sum(axis=0)

    def walks(self, claims: Claims) -> list[_Walk]:
        """Return the paths of all q and k."""
        way = FURTHEST * np.arange(1, STEPS + 1) / STEPS
        kinds = np.array([(q, k) for q in QUANTILES for k in OPENINGS])
        share = (way * kinds[:, :1] * CONFIDENCES).astype(np.intp)
        steps = self._step[np.clip(share, 1, CONFIDENCES) - 1]  # (paths, T)
        opening, levels = way * kinds[:, 1:], []
        for band, everything in enumerate(self._band_total.tolist()):
            most = _provable(everything, self._unit[band], self._sums.largest, claims) * everything
            let_in = self._look_alikes[band][steps]  # (paths, T, L)
            levels.append((let_in <= (opening * most)[..., None]).argmax(axis=-1))
        sums = self._sums.along(steps, levels)
        p, total, (wrong, _) = sums.p_value(claims), sums.total.sum(axis=(0, 1)), sums.errors()
        return [
            _walk(steps[n], [level[n] for level in levels], (p[n], total[n], wrong[n]), claims.miss)
            for n in range(len(kinds))
        ]

    def _count(self, side: Side, _: int) -> tuple[_Binned, _Binned]:
        at = (self.confidences, self.nearest)
        return _Binned(side.confidence, side.nearness, *at), _Binned(side.rest_confidence, side.rest_nearness, *at)


def _walk(
    steps: NDArray[np.intp], levels: list[NDArray[np.intp]], seen: tuple[Floats, Floats, Floats], miss: float
) -> _Walk:
    """Return how a walk should end; `seen` are p-value, accepted and wrong weight of each step."""
    p, total, wrong = seen
    easy = np.flatnonzero(p <= EASY * miss)
    start = int(easy[0]) if len(easy) else int(p.argmin())
    end = walked(p, start, ENDS * miss)
    if end == start:
        return _Walk(steps, levels, start, 0.0, float(p.min()), 1.0)
    last = start + int(total[start:end].argmax())
    error = float(wrong[last]) / max(float(total[last]), 1e-300)
    return _Walk(steps, levels, start, float(total[last]), float(p.min()), error)


def _summed(
    sides: Sides,
    count: Callable[[Side, int], tuple[_Binned, _Binned] | tuple[_Along, _Along]],
    largest: float,
    forecast: bool,
) -> Sums:
    """Return the sums of all cells; `count` says which photos of a side in a band reach which cut points."""
    cells = []
    for part in sides:
        for band, side in enumerate(part):
            own, rest = count(side, band)
            wrong = side.weight * side.wrong
            cells.append(
                (
                    own.sums(side.weight),
                    own.sums(wrong),
                    own.sums(wrong * side.weight),
                    own.sums(side.weight * (1.0 - side.confidence.astype(np.float64))),
                    rest.sums(side.rest_weight),
                    rest.sums(side.rest_weight**2),
                )
            )
    shape = (len(sides), len(sides[0]))
    total, wrong, wrong_squares, doubt, rest_, rest_squares = (
        np.array(values).reshape(*shape, *values[0].shape) for values in zip(*cells, strict=True)
    )
    rest_total = np.array([[side.rest_total for side in part] for part in sides])
    return Sums(total, wrong, wrong_squares, doubt, rest_, rest_squares, rest_total, largest, forecast)


def _provable(everything: float, unit: float, largest: float, claims: Claims) -> float:
    """Return the largest share of look-alikes that may be accepted with the claim still proved; 0 when none can.

    `everything` is their weight, and an accepted one weighs `unit`.
    """
    low, high = 0.0, claims.near_unknown
    for _ in range(30):
        middle = (low + high) / 2
        taken = np.array(middle * everything)
        p = float(p_value(np.array(everything), taken, taken * unit, largest, claims.near_unknown))
        low, high = (middle, high) if p <= ENDS * claims.miss else (low, middle)
    return low
