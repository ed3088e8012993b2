"""The certificate taken many times on one rehearsal, and what each would do: automation in expectation, not by luck.

A walk over cut points ends at its first failed test, so the automation of one certificate scatters by several points.
CERTIFY and test photos are one pool here: of each product as many as CERTIFY holds are drawn to certify, and the others
measure. Without test photos those that certify are drawn with replacement, and those that were not drawn measure.

Shares are weighted to the wanted mix, as in the report of `edge-calibrate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from calibration.fit import Settings
from calibration.growth.rehearsal import Rehearsal
from calibration.photos.mix import photo_weights
from calibration.photos.photoset import joined
from calibration.rules.allowance import Allowance, accepted
from calibration.rules.groups import groups_of
from calibration.rules.lesson import Scored
from calibration.rules.ood_fit import ood_from_scores
from calibration.rules.quality import quality_from_photos
from calibration.rules.thresholds import Evidence, GroupCut, thresholds_from_scores
from calibration.rules.twins import twin_index
from calibration.rules.unseen import class_folds
from calibration.rules.verify_fit import MAX_SET, verify_from_scores
from edge.build_folder import InputSpec

__all__ = ["DRAWS", "Outcome", "Trial", "accepted_photos", "draw", "grown", "rich", "trial"]

DRAWS = 16
GROWN_DRAWS = 8

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the device would do with photos of enrolled products. `wrong` is the share of what is accepted.

    `near_unknown` is the share accepted of the same photos as if their products were not enrolled, None where nobody
    measured it.
    """

    top1: float
    accept: float
    verify: float
    review: float
    unknown: float
    wrong: float
    near_unknown: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome of every draw, and the size of the table: `products` C, `prototypes` K."""

    products: int
    prototypes: int
    outcomes: tuple[Outcome, ...]

    def mean(self, name: str) -> float:
        """Return the mean of a field of Outcome over the draws."""
        return float(np.mean([getattr(outcome, name) for outcome in self.outcomes]))

    def deviation(self, name: str) -> float:
        """Return how far single certificates scatter, as a standard deviation."""
        return float(np.std([getattr(outcome, name) for outcome in self.outcomes]))


def grown(rehearsal: Rehearsal, spec: InputSpec, settings: Settings, factor: float) -> Outcome:
    """Return the mean outcome of GROWN_DRAWS certificates on `factor` times the photos, drawn from the pool."""
    generator = np.random.default_rng([settings.seed, round(100 * factor)])
    labels, counts = rehearsal.pool.photos.labels, rehearsal.certify_counts
    order = np.argsort(labels, kind="stable")
    held = np.bincount(labels, minlength=len(counts))
    own = np.repeat(np.arange(len(counts)), np.rint(factor * counts).astype(np.int64))
    found = []
    for _ in range(GROWN_DRAWS):
        certify = order[(np.cumsum(held) - held)[own] + generator.integers(0, held[own])]
        found.append(_outcome(rehearsal, rehearsal.pool.take(certify), rehearsal.pool, spec, settings))
    return Outcome(**{f.name: float(np.mean([getattr(one, f.name) for one in found])) for f in fields(Outcome)})


def rich(rehearsal: Rehearsal, spec: InputSpec, settings: Settings, photos: int) -> Outcome:
    """Return the outcome if `photos` like those of the pool certified: what is lost then is not for want of photos."""
    everything = np.arange(len(rehearsal.pool.photos))
    certify = rehearsal.pool.take(np.repeat(everything, max(round(photos / max(len(everything), 1)), 1)))
    return _outcome(rehearsal, certify, rehearsal.pool, spec, settings)


def trial(rehearsal: Rehearsal, spec: InputSpec, settings: Settings, draws: int = DRAWS) -> Trial:
    """Take the certificate `draws` times; the same rehearsal and seed give the same outcomes."""
    generator = np.random.default_rng([settings.seed, len(rehearsal.material.products)])
    outcomes = []
    for _ in range(draws):
        certify, measure = draw(rehearsal, generator)
        outcomes.append(_outcome(rehearsal, rehearsal.pool.take(certify), rehearsal.pool.take(measure), spec, settings))
    return Trial(len(rehearsal.material.products), rehearsal.prototypes, tuple(outcomes))


def draw(rehearsal: Rehearsal, generator: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions in the pool that certify, and those that measure; every product keeps its number."""
    labels, counts = rehearsal.pool.photos.labels, rehearsal.certify_counts
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    first = np.searchsorted(labels[order], np.arange(len(counts)))
    here = labels[order]
    if len(rehearsal.material.test) == 0:
        picked = order[first[here] + generator.integers(0, counts[here])]
        return picked, np.setdiff1d(order, picked)
    certifies = np.arange(len(order)) - first[here] < counts[here]
    return order[certifies], order[~certifies]


@dataclass(frozen=True, slots=True, eq=False)
class _Routed:
    """What becomes of photos under one certificate."""

    seen: Evidence
    cuts: tuple[GroupCut, ...]
    taken: Flags
    shown: Flags
    strange: Flags


def accepted_photos(
    rehearsal: Rehearsal, measure: Scored, spec: InputSpec, settings: Settings, draws: int
) -> NDArray[np.float64]:
    """Return for each photo of `measure` (N,) in how many of `draws` certificates it is accepted, as a share."""
    generator = np.random.default_rng([settings.seed, draws])
    total = np.zeros(len(measure.photos))
    for _ in range(draws):
        certify = rehearsal.pool.take(draw(rehearsal, generator)[0])
        total += _routed(rehearsal, certify, measure, spec, settings).taken
    return total / draws


def _outcome(rehearsal: Rehearsal, certify: Scored, measure: Scored, spec: InputSpec, settings: Settings) -> Outcome:
    routed = _routed(rehearsal, certify, measure, spec, settings)
    return _shares(routed, _near_unknown(routed.cuts, rehearsal, routed.seen))


def _routed(rehearsal: Rehearsal, certify: Scored, measure: Scored, spec: InputSpec, settings: Settings) -> _Routed:
    material, mix, learn = rehearsal.material, rehearsal.mix, rehearsal.learn
    weight = photo_weights(mix.share, certify.scores.true)
    allowance = _allowance(rehearsal, certify, weight, spec, settings)
    evidence = allowance.evidence(certify.photos, certify.scores, certify.unseen, weight)
    learn_weight = photo_weights(mix.share, learn.scores.true)
    learnt = allowance.evidence(learn.photos, learn.scores, learn.unseen, learn_weight)
    names = [product.sku for product in material.products]
    photos = np.bincount(certify.scores.true, minlength=len(names))
    groups = groups_of(names, material.tiers, mix.share, photos, settings.targets)
    cuts = thresholds_from_scores(learnt, evidence, groups, len(names), settings.targets)
    left = allowance.usable(certify.photos, certify.scores) & ~accepted(cuts, mix, evidence)
    verify = verify_from_scores(certify.scores, weight, evidence.confidence, left)
    share = photo_weights(mix.wanted, measure.scores.true)
    seen = allowance.evidence(measure.photos, measure.scores, measure.unseen, share)
    taken = accepted(cuts, mix, seen)
    shown = allowance.usable(measure.photos, measure.scores) & ~taken & (seen.confidence >= verify.confidence)
    shown &= measure.scores.set_size(verify.set_gap) <= MAX_SET
    strange = ~(measure.scores.strange <= allowance.ood.threshold)
    return _Routed(seen, tuple(cuts), taken, shown, strange & ~taken & ~shown)


def _allowance(
    rehearsal: Rehearsal, certify: Scored, weight: NDArray[np.float64], spec: InputSpec, settings: Settings
) -> Allowance:
    validation = joined([rehearsal.material.fit, certify.photos])
    return Allowance(
        confidence=rehearsal.confidence,
        ood=ood_from_scores(rehearsal.detector, certify.scores.strange, weight, settings.false_unknown),
        quality=quality_from_photos(spec, validation.sides_px, validation.sharpness),
        twin=twin_index(rehearsal.twins, len(rehearsal.material.products)),
        discontinued=np.array([product.status == "discontinued" for product in rehearsal.material.products]),
        fold=class_folds([product.sku for product in rehearsal.material.products], settings.seed),
    )


def _near_unknown(cuts: Sequence[GroupCut], rehearsal: Rehearsal, seen: Evidence) -> float:
    """Return the weighted share accepted of the photos as if their products were not enrolled; 0 without any."""
    if len(seen.unseen) == 0:
        return 0.0
    nothing = np.zeros(0, np.float32)
    as_seen = Evidence(
        scores=seen.unseen,
        weight=seen.unseen_weight,
        confidence=seen.unseen_confidence,
        allowed=seen.unseen_allowed,
        unseen=seen.unseen,
        unseen_weight=seen.unseen_weight,
        unseen_confidence=nothing,
        unseen_allowed=nothing > 0,
    )
    return _mean(accepted(cuts, rehearsal.mix, as_seen), seen.unseen_weight)


def _shares(routed: _Routed, near_unknown: float) -> Outcome:
    seen, taken, shown, strange = routed.seen, routed.taken, routed.shown, routed.strange
    return Outcome(
        top1=_mean(seen.scores.correct, seen.weight),
        accept=_mean(taken, seen.weight),
        verify=_mean(shown, seen.weight),
        review=_mean(~(taken | shown | strange), seen.weight),
        unknown=_mean(strange, seen.weight),
        wrong=_mean(~seen.scores.correct[taken], seen.weight[taken]),
        near_unknown=near_unknown,
    )


def _mean(flags: Flags, weight: NDArray[np.float64]) -> float:
    total = float(weight.sum())
    return min(float(weight @ flags) / total, 1.0) if total > 0 else 0.0
