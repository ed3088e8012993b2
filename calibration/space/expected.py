"""Fits the expected similarity: how near a photo taken like this one should be to its own product, from its features.

Dark, blurred, covered and turned photos are less like their product than clear ones, and the features show it. Ridge
regression (Hoerl & Kennedy, Technometrics 12, 1970) of the cosine to the own product on standardised features, on
photos, and copies of them, that did not teach the head that looked them up. The strength is the one of
STRENGTHS that predicts the other part's photos best; where none beats the plain mean, the mean it is.

The equations are gathered in one pass over the photos per part (F x F floats, one for each of two parts; of few
photos their rows are kept instead) and solved for all strengths at once by conjugate gradients, which the ridge makes
quick. On 1,000 rendered products (F 6280, 11,000 photos) it explains 56 % of the variance of the cosine on photos of
the test set.

Copies with other packs looking in from the sides teach it too, and not the head, which lost 1.5 points of top-1 by
them. On clips of two catalogues made for tuning (1,000 and 500 products, full baskets) products at rest, in view and
well boxed were then called unknown in 17 and 19 % of decisions instead of 24 and 26 %, and no enrolled one was accepted
wrongly; on another clip, of 500 products, one pack was taken for its sister in a row of decisions (`benchmarks/`).
Covering up to 25 % a pack instead of 15 % gained nothing more (the 1,000).

Limits: a straight line in the features; a photo unlike any of the catalogue's (a product behind a hand) gets an
extrapolated value, which the detector that uses it keeps within what calibration saw: it may be called unknown where
the cosine alone would not have done so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.space.head import Rows
from edge.types import Expected

__all__ = ["Expectation", "Regression", "expectation_from_parts", "expected_of", "flat_expectation"]

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of features of unit variance and weights that sum to 1
WORTH = 0.02  # of the variance, that must be explained on other photos
BLOCK = 1024
THIN = 2  # rows are kept from so many times more features than photos on
_STEPS, _EXACT = 300, 1e-4

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """expected = bias + features @ weights, weights (F,). `explained` is the share of the variance on other photos."""

    weights: Singles
    bias: float
    strength: float
    explained: float


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """Photos to learn from: rows of the store (N,), their cosine to the own product (N,), and weights (N,) >= 0."""

    photos: Indices
    cosine: Singles
    weight: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Normal:
    """Normal equations of standardised, weighted features Z (N, F): moment (F,), and the sum of the weights.

    `matrix` is Z'Z (F, F), or `thin` Z itself.
    """

    matrix: Singles
    thin: bool
    moment: Floats
    total: float

    def plus(self, other: _Normal) -> _Normal:
        if self.thin:
            matrix = np.concatenate([self.matrix, other.matrix])
        else:
            matrix = self.matrix
            matrix += other.matrix
        return _Normal(matrix, self.thin, self.moment + other.moment, self.total + other.total)

    def times(self, directions: Singles) -> Singles:
        """Return Z'Z times `directions` (F, S)."""
        return self.matrix.T @ (self.matrix @ directions) if self.thin else self.matrix @ directions


def flat_expectation(dimension: int, mean: float) -> Expectation:
    """Return the expectation that is the same for every photo."""
    return Expectation(np.zeros(dimension, np.float32), mean, np.inf, 0.0)


def expected_of(expectation: Expectation, rows: Rows, photos: Indices) -> Expected:
    """Return the expected similarity of many photos, (len(photos),)."""
    bias = np.float32(expectation.bias)
    blocks = [block @ expectation.weights + bias for block in _blocks(rows, photos)]
    return np.concatenate(blocks).astype(np.float32) if blocks else np.zeros(0, np.float32)


def expectation_from_parts(rows: Rows, parts: Sequence[Regression]) -> tuple[Expectation, tuple[Expectation, ...]]:
    """Return the expectation that all parts teach, and for each part the one that the others teach.

    With fewer than two parts, or too few photos, every one of them is flat.
    """
    known = [(part.weight, part.cosine.astype(np.float64)) for part in parts]
    total = sum(float(weight.sum()) for weight, _ in known)
    mean = sum(float(weight @ cosine) for weight, cosine in known) / total if total > 0 else 0.0
    flat = flat_expectation(rows.dimension, mean)
    if len(parts) != 2 or min(float(weight.sum()) for weight, _ in known) <= 0:
        return flat, (flat,) * len(parts)
    centre, inverse = _standard(rows, parts)
    gather = _gather_thin if THIN * sum(len(part.photos) for part in parts) <= rows.dimension else _gather
    normal = [gather(rows, part, mean, (centre, inverse)) for part in parts]
    found = [_solve(one, STRENGTHS) for one in normal]  # (F, S) each
    losses = np.zeros(len(STRENGTHS))
    for number, part in enumerate(parts):
        other, at = found[1 - number], 0
        for block in _blocks(rows, part.photos):
            some = slice(at, at + len(block))
            residual = (part.cosine[some] - mean)[:, None] - ((block - centre) * inverse) @ other
            losses += part.weight[some] @ np.square(residual.astype(np.float64))
            at += len(block)
    variance = sum(float(weight @ np.square(cosine - mean)) for weight, cosine in known)
    best = int(losses.argmin())
    explained = 1.0 - float(losses[best]) / variance if variance > 0 else 0.0
    if not explained >= WORTH:
        return flat, (flat, flat)
    strength = STRENGTHS[best]

    def made(solution: Singles) -> Expectation:
        weights = (solution * inverse).astype(np.float32)
        return Expectation(weights, float(mean - centre.astype(np.float64) @ weights), strength, explained)

    crossed = (made(found[1][:, best]), made(found[0][:, best]))
    whole = _solve(normal[0].plus(normal[1]), (strength,))
    return made(whole[:, 0]), crossed


def _blocks(rows: Rows, photos: Indices) -> Iterator[Singles]:
    for start in range(0, len(photos), BLOCK):
        yield rows.read(photos[start : start + BLOCK])


def _standard(rows: Rows, parts: Sequence[Regression]) -> tuple[Singles, Singles]:
    """Return the weighted mean of each feature and one over its deviation (0 for a dead one), (F,) each."""
    total, sums, squares = 0.0, np.zeros(rows.dimension), np.zeros(rows.dimension)
    for part in parts:
        at = 0
        for block in _blocks(rows, part.photos):
            weight = part.weight[at : at + len(block)]
            sums += weight @ block
            squares += weight @ np.square(block, dtype=np.float64)
            total += float(weight.sum())
            at += len(block)
    mean = sums / total
    deviation = np.sqrt(np.maximum(squares / total - np.square(mean), 0.0))
    alive = deviation > 1e-6 * max(float(np.sqrt(squares.max() / total)), 1e-30)
    inverse = np.where(alive, 1.0 / np.where(alive, deviation, 1.0), 0.0)
    return mean.astype(np.float32), inverse.astype(np.float32)


def _weighted(rows: Rows, part: Regression, standard: tuple[Singles, Singles]) -> Iterator[tuple[slice, Singles]]:
    """Yield the standardised features, times the root of each photo's weight, block by block."""
    centre, inverse = standard
    at = 0
    for block in _blocks(rows, part.photos):
        some = slice(at, at + len(block))
        yield some, (block - centre) * inverse * np.sqrt(part.weight[some]).astype(np.float32)[:, None]
        at += len(block)


def _gather(rows: Rows, part: Regression, mean: float, standard: tuple[Singles, Singles]) -> _Normal:
    gram = np.zeros((rows.dimension, rows.dimension), np.float32)
    product, moment = np.empty_like(gram), np.zeros(rows.dimension)
    goal = _goal(part, mean)
    for some, block in _weighted(rows, part, standard):
        gram += np.matmul(block.T, block, out=product)
        moment += goal[some] @ block
    return _Normal(gram, False, moment, float(part.weight.sum()))


def _gather_thin(rows: Rows, part: Regression, mean: float, standard: tuple[Singles, Singles]) -> _Normal:
    found = np.concatenate([block for _, block in _weighted(rows, part, standard)])
    return _Normal(found, True, (_goal(part, mean) @ found).astype(np.float64), float(part.weight.sum()))


def _goal(part: Regression, mean: float) -> Singles:
    """Return what is to be explained, (N,), times the root of each photo's weight."""
    return np.asarray(np.sqrt(part.weight).astype(np.float32) * (part.cosine - np.float32(mean)))


def _solve(normal: _Normal, strengths: Sequence[float]) -> Singles:
    """Return (F, S): the ridge solutions for all strengths, by conjugate gradients side by side."""
    ridge = np.asarray(strengths)[None, :] * normal.total
    residual = np.repeat(normal.moment[:, None], len(strengths), axis=1)
    solution, direction = np.zeros_like(residual), residual.copy()
    length = np.square(residual).sum(axis=0)
    enough = _EXACT**2 * np.maximum(length, 1e-300)
    for _ in range(_STEPS):
        image = normal.times(direction.astype(np.float32)) + ridge * direction
        step = length / np.maximum((direction * image).sum(axis=0), 1e-300)
        solution += step * direction
        residual -= step * image
        fresh = np.square(residual).sum(axis=0)
        if (fresh <= enough).all():
            break
        direction = residual + fresh / np.maximum(length, 1e-300) * direction
        length = fresh
    return solution.astype(np.float32)
