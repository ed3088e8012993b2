"""Fits P(the best candidate is right) from similarity, margin and a shrunken offset per class.

Penalised logistic regression by Newton steps in numpy: targets smoothed as Platt does (1999: (n+ + 1) / (n+ + 2) and
1 / (n- + 2)), slopes held at or above 0 so that nearer or further ahead never lowers the confidence, class offsets
drawn to 0 with the variance that maximises the Laplace-approximated evidence (empirical Bayes; 0 is one of the
choices). The class offsets enter the Hessian as a diagonal block, so a step costs photos + classes, whatever the number
of classes.

The photos must not have taught the head that scored them. With fewer than MIN_PHOTOS photos, or without any right one,
the model is flat at 1/2: nothing can be told from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.rules.scores import Scores
from edge.confidence import p_correct
from edge.parameters import ConfidenceModel

__all__ = ["MIN_PHOTOS", "Reliability", "confidence", "confidence_from_scores", "reliability"]

MIN_PHOTOS = 20
OFFSET_VARIANCES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
_SLOPE_PENALTY = 1e-2
_STEPS = 50
ECE_BINS = 15
ECE_MIN_PHOTOS = 500
_ECE_DRAWS = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """How honest the confidence is. `bins` holds (mean confidence, share right, share of the weight) per bin.

    `ece` is the plain expected calibration error, `ece_honest` what a perfectly calibrated model would show on as many
    photos, `ece_debiased` the difference, at least 0. Under ECE_MIN_PHOTOS photos `testable` is False.
    """

    photos: int
    testable: bool
    ece: float
    ece_honest: float
    ece_debiased: float
    bins: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Standardised slopes' features with a leading 1, (N, 3); smoothed targets, weights and classes, (N,)."""

    design: Floats
    target: Floats
    weight: Floats
    owner: NDArray[np.int32]
    classes: int


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    slopes: Floats  # (3,)
    offset: Floats  # (C,)
    evidence: float


def confidence(model: ConfidenceModel, scores: Scores) -> NDArray[np.float32]:
    """Return P(best is right), (N,), as the device computes it."""
    return p_correct(model, scores.best.astype(np.intp), scores.similarity, scores.margin)


def confidence_from_scores(scores: Scores, weights: Floats, classes: int) -> ConfidenceModel:
    """Fit on photos with `weights` (N,) >= 0, any scale; `classes` is C."""
    flat = ConfidenceModel(0.0, 0.0, 0.0, np.zeros(classes, np.float32))
    used = np.flatnonzero(weights > 0)
    right = scores.correct[used]
    if len(used) < MIN_PHOTOS or not right.any():
        return flat
    weight = weights[used] * (weights[used].sum() / np.square(weights[used]).sum())  # they sum to Kish's effective size
    plus, minus = float(weight[right].sum()), float(weight[~right].sum())
    target = np.where(right, (plus + 1.0) / (plus + 2.0), 1.0 / (minus + 2.0))
    raw = np.stack([scores.similarity[used], scores.margin[used]], axis=1).astype(np.float64)
    centre = np.average(raw, axis=0, weights=weight)
    scale = np.sqrt(np.average(np.square(raw - centre), axis=0, weights=weight))
    scale = np.where(scale > 1e-6, scale, np.inf)
    design = np.concatenate([np.ones((len(used), 1)), (raw - centre) / scale], axis=1)
    fit = _best(_Data(design, target, weight, scores.best[used], classes))
    slopes = fit.slopes[1:] / scale
    bias = float(fit.slopes[0] - slopes @ centre)
    return ConfidenceModel(float(slopes[0]), float(slopes[1]), bias, fit.offset.astype(np.float32))


def reliability(probability: NDArray[np.float32], right: NDArray[np.bool_], weights: Floats, seed: int) -> Reliability:
    """Measure calibration on photos that the model was not fitted on; bins hold equal weight.

    The bias that a finite number of photos gives is taken off as the mean ECE over outcomes drawn from the model's own
    confidence (consistency resampling: Broecker & Smith 2007, Vaicenavicius et al. 2019).
    """
    p = probability.astype(np.float64)
    if len(p) == 0 or not weights.sum() > 0:
        return Reliability(0, False, 0.0, 0.0, 0.0, ())
    order = np.argsort(p, kind="stable")
    share = weights[order] / weights.sum()
    bins = np.minimum((np.cumsum(share) - share / 2) * ECE_BINS, ECE_BINS - 1).astype(int)
    mass = np.bincount(bins, share, ECE_BINS)
    mean = np.bincount(bins, share * p[order], ECE_BINS)
    seen = np.bincount(bins, share * right[order], ECE_BINS)
    generator = np.random.default_rng(seed)
    honest = [
        np.abs(np.bincount(bins, share * (generator.random(len(p)) < p[order]), ECE_BINS) - mean).sum()
        for _ in range(_ECE_DRAWS)
    ]
    ece = float(np.abs(seen - mean).sum())
    rows = [(mean[b] / mass[b], seen[b] / mass[b], mass[b]) for b in range(ECE_BINS) if mass[b] > 0]
    return Reliability(
        photos=len(p),
        testable=len(p) >= ECE_MIN_PHOTOS,
        ece=ece,
        ece_honest=float(np.mean(honest)),
        ece_debiased=max(ece - float(np.mean(honest)), 0.0),
        bins=tuple((float(a), float(b), float(c)) for a, b, c in rows),
    )


def _best(data: _Data) -> _Fit:
    """Return the fit of the highest evidence among the variances, its slopes not negative."""
    fits = [_fit(data, variance, np.ones(3, bool)) for variance in OFFSET_VARIANCES]
    position = int(np.argmax([fit.evidence for fit in fits]))
    best, free = fits[position], np.ones(3, bool)
    while (best.slopes[1:] < 0).any():
        free[1 + int(np.argmin(best.slopes[1:]))] = False
        best = _fit(data, OFFSET_VARIANCES[position], free)
    return best


def _fit(data: _Data, variance: float, free: NDArray[np.bool_]) -> _Fit:
    """Maximise the penalised likelihood; columns that are not `free` stay at 0, variance 0 means no offsets."""
    penalty = np.where(free, np.array([0.0, _SLOPE_PENALTY, _SLOPE_PENALTY]), 1e12)
    precision = 1.0 / variance if variance > 0 else 1e12
    slopes, offset = np.zeros(3), np.zeros(data.classes)
    value = _objective(data, slopes, offset, penalty, precision)
    for _ in range(_STEPS):
        step_slopes, step_offset = _newton_step(data, slopes, offset, penalty, precision)
        size = 1.0
        while size > 1e-6:
            trial = _objective(data, slopes + size * step_slopes, offset + size * step_offset, penalty, precision)
            if trial >= value:
                break
            size /= 2
        slopes, offset = slopes + size * step_slopes, offset + size * step_offset
        if trial - value < 1e-9 * (1.0 + abs(value)):
            break
        value = trial
    return _Fit(slopes * free, offset, _evidence(data, slopes, offset, penalty, precision))


def _logit(data: _Data, slopes: Floats, offset: Floats) -> Floats:
    return np.asarray(np.clip(data.design @ slopes + offset[data.owner], -40.0, 40.0))


def _objective(data: _Data, slopes: Floats, offset: Floats, penalty: Floats, precision: float) -> float:
    logit = _logit(data, slopes, offset)
    likelihood = data.weight @ (data.target * logit - np.logaddexp(0.0, logit))
    return float(likelihood - 0.5 * (penalty @ slopes**2) - 0.5 * precision * (offset @ offset))


def _curvature(
    data: _Data, slopes: Floats, offset: Floats, penalty: Floats, precision: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the residuals (N,) and the Hessian's blocks: slopes (3, 3), slopes by class (3, C), classes (C,)."""
    p = 1.0 / (1.0 + np.exp(-_logit(data, slopes, offset)))
    spread = data.weight * p * (1.0 - p)
    corner = (data.design * spread[:, None]).T @ data.design + np.diag(penalty)
    side = np.array([np.bincount(data.owner, spread * column, data.classes) for column in data.design.T])
    diagonal = np.asarray(np.bincount(data.owner, spread, data.classes) + precision, np.float64)
    residual: Floats = data.weight * (data.target - p)
    return residual, corner, side, diagonal


def _newton_step(
    data: _Data, slopes: Floats, offset: Floats, penalty: Floats, precision: float
) -> tuple[Floats, Floats]:
    residual, corner, side, diagonal = _curvature(data, slopes, offset, penalty, precision)
    slope_gradient = data.design.T @ residual - penalty * slopes
    class_gradient = np.bincount(data.owner, residual, data.classes) - precision * offset
    schur = corner - (side / diagonal) @ side.T + 1e-9 * np.eye(3)
    step_slopes = np.linalg.solve(schur, slope_gradient - side @ (class_gradient / diagonal))
    return step_slopes, (class_gradient - side.T @ step_slopes) / diagonal


def _evidence(data: _Data, slopes: Floats, offset: Floats, penalty: Floats, precision: float) -> float:
    """Return the Laplace approximation of the log evidence, up to what all variances share."""
    _, corner, side, diagonal = _curvature(data, slopes, offset, penalty, precision)
    schur = corner - (side / diagonal) @ side.T
    log_determinant = float(np.log(diagonal / precision).sum() + np.linalg.slogdet(schur)[1])
    return _objective(data, slopes, offset, penalty, precision) - 0.5 * log_determinant
