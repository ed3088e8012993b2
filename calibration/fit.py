"""From photos with features to everything the device obeys: the only file that knows the order of the fits.

    shape -> head -> prototypes -> expected similarity -> unknown detector -> confidence -> quality -> twins -> accept
    cut points -> verify

Who may look at what
- Reference and FIT photos, and augmented copies of them, teach head and prototypes. FIT photos are also scored by heads
  that did not see them (`calibration.learning`): shape, expected similarity, detector, confidence, twins and the path
  of cut points come from these scores ("learn").
- CERTIFY photos walk that path, and set unknown threshold and verify set. Nothing above was fitted on them.
- Test and unknown photos are not looked at here.
Every figure is for the stated mix (`calibration.photos.mix`). Products outside the mix are never accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from calibration.learning import Learning
from calibration.photos.material import Material
from calibration.photos.mix import Mix, mix_of, photo_weights
from calibration.photos.photoset import joined
from calibration.rules.allowance import Allowance, accepted, rules_of, share_degraded
from calibration.rules.confidence_fit import Reliability, confidence_from_scores, reliability
from calibration.rules.detector import MethodFigure
from calibration.rules.groups import Targets, groups_of
from calibration.rules.lesson import Scored
from calibration.rules.ood_fit import ood_from_scores
from calibration.rules.plug_in import PlugIn, plug_in_from_evidence
from calibration.rules.quality import quality_from_photos
from calibration.rules.thresholds import Evidence, GroupCut, thresholds_from_scores
from calibration.rules.twins import TwinPair, twin_index, twins_from_scores
from calibration.rules.unseen import class_folds
from calibration.rules.verify_fit import VerifyRule, verify_from_scores
from calibration.space.expected import Expectation
from calibration.space.head import Head, Rows
from calibration.space.shape import Trial
from calibration.space.table import agreement
from edge.build_folder import InputSpec
from edge.bundle import Rules
from edge.engine_row import join_rows
from edge.parameters import OodModel, PrototypeTable
from edge.types import Embeddings, EngineRows

__all__ = [
    "Alternative",
    "Certified",
    "Fitted",
    "Settings",
    "allowance_from_learn",
    "certified_from_scores",
    "fit",
    "mix_for",
]

_MOST = 0.99  # of a limit


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for. `weighted` takes the sales mix of the catalogue, else every product on sale counts alike;
    `copies` are the augmented ones of each photo that teaches.
    """

    targets: Targets
    false_unknown: float
    prototypes: int
    dimension: int
    weighted: bool
    seed: int
    copies: int = 2


@dataclass(frozen=True, slots=True)
class Alternative:
    """What another promise would cost: the weighted share of photos that would be accepted. Each holds by itself.

    `claimed` are the parts of the catalogue of which the error is claimed by itself. A stricter promise may be claimed
    of fewer of them, for want of photos, and then accept more.
    """

    accept_error: float
    near_unknown: float
    accepted: float
    claimed: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Everything that was fitted, and what the CERTIFY photos say about it."""

    head: Head
    expectation: Expectation
    table: PrototypeTable
    rules: Rules
    mix: Mix
    groups: tuple[GroupCut, ...]
    accepted_degraded: float  # weighted share of the certifying photos
    alternatives: tuple[Alternative, ...]
    plug_in: PlugIn
    twins: tuple[TwinPair, ...]
    verify: VerifyRule
    reliability: Reliability
    trials: tuple[Trial, ...]
    detectors: tuple[MethodFigure, ...]
    certify_rows: EngineRows
    int8_agreement: float


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """Everything that cut points are chosen from; `learn` and `certify` share no photo."""

    material: Material
    mix: Mix
    learn: Evidence
    certify: Evidence

    def cuts(self, targets: Targets, strict: bool) -> list[GroupCut]:
        """Return the cut points for these targets, and those for a degraded device where `strict`."""
        tiers = self.material.tiers
        photos = np.bincount(self.certify.scores.true, minlength=len(tiers))
        names = [product.sku for product in self.material.products]
        groups = groups_of(names, tiers, self.mix.share, photos, targets)
        return thresholds_from_scores(self.learn, self.certify, groups, len(tiers), targets, strict)

    def alternatives(self, targets: Targets) -> tuple[Alternative, ...]:
        """Return what half and twice each of the two limits would accept."""
        found = []
        for factor_error, factor_near in ((1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 2.0), (2.0, 2.0)):
            error = min(targets.accept_error * factor_error, _MOST)
            near = min(targets.near_unknown * factor_near, _MOST)
            cuts = self.cuts(Targets(error, near, targets.certainty), strict=False)
            taken = self.certify.weight[accepted(cuts, self.mix, self.certify)].sum()
            claimed = tuple(part.name for cut in cuts for part in cut.parts if part.error_bound < 1.0)
            found.append(Alternative(error, near, float(taken / max(self.certify.weight.sum(), 1e-300)), claimed))
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Certified:
    """Everything that certifying photos set, and what they say at it."""

    allowance: Allowance
    cuts: list[GroupCut]
    verify: VerifyRule
    evidence: Evidence
    learnt: Evidence
    alternatives: Callable[[], tuple[Alternative, ...]]


def fit(material: Material, rows: Rows, spec: InputSpec, settings: Settings, step: Callable[[str], None]) -> Fitted:
    """Fit everything. `step` is told the name of each step as it begins."""
    mix = mix_for(material, settings)
    learning = Learning(material, rows, settings.dimension, settings.prototypes, mix.share, settings.seed)
    learnt = learning.cross_fits(step)
    final = learning.final(learnt, step)
    step("unknown detector")
    detector, figures = learning.detector(learnt, final, settings.false_unknown)
    step("cut points")
    learn, enrolled = learnt.scored(detector.method), final.lesson.enrolled
    twins = twins_from_scores(enrolled.centres, learn.scores)
    before = allowance_from_learn(material, learn, (detector, enrolled.centres), spec, settings)
    done = certified_from_scores(material, mix, learn, final.lesson.scored(detector), (before, settings))
    right = done.evidence.scores.correct
    rules = rules_of(done.allowance, (done.cuts, done.verify), enrolled.table, material, mix)
    return Fitted(
        head=enrolled.head,
        expectation=learnt.expectation,
        table=enrolled.table,
        rules=rules,
        mix=mix,
        groups=tuple(done.cuts),
        accepted_degraded=share_degraded(rules.cuts, done.evidence),
        alternatives=done.alternatives(),
        plug_in=plug_in_from_evidence(
            done.learnt, done.evidence, len(material.products), settings.targets.accept_error
        ),
        twins=tuple(twins),
        verify=done.verify,
        reliability=reliability(done.evidence.confidence, right, done.evidence.weight, settings.seed),
        trials=learnt.trials,
        detectors=figures,
        certify_rows=join_rows(final.lesson.found, final.lesson.expected),
        int8_agreement=agreement(final.lesson.found, enrolled.prototypes, enrolled.table),
    )


def mix_for(material: Material, settings: Settings) -> Mix:
    """Return the mix that the settings ask for; discontinued products are not in it."""
    on_sale = np.array([product.status != "discontinued" for product in material.products])
    weight = np.array([product.weight for product in material.products])
    wanted = np.where(on_sale, weight if settings.weighted else 1.0, 0.0)
    return mix_of(wanted, np.bincount(material.certify.labels, minlength=len(on_sale)))


def allowance_from_learn(
    material: Material, learn: Scored, chosen: tuple[OodModel, Embeddings], spec: InputSpec, settings: Settings
) -> Allowance:
    """Return what is fitted before the cut points: confidence, quality, twins; `chosen` are the detector, without a
    threshold yet, and the centroids (C, D).
    """
    detector, centres = chosen
    mix = mix_for(material, settings)
    classes = len(material.products)
    validation = joined([material.fit, material.certify])
    return Allowance(
        confidence=confidence_from_scores(learn.scores, photo_weights(mix.share, learn.scores.true), classes),
        ood=detector,
        quality=quality_from_photos(spec, validation.sides_px, validation.sharpness),
        twin=twin_index(twins_from_scores(centres, learn.scores), classes),
        discontinued=np.array([product.status == "discontinued" for product in material.products]),
        fold=class_folds([product.sku for product in material.products], settings.seed),
    )


def certified_from_scores(
    material: Material, mix: Mix, learn: Scored, certify: Scored, given: tuple[Allowance, Settings]
) -> Certified:
    """Return what the certifying photos set: unknown threshold, cut points, verify rule. `learn` lays the path."""
    before, settings = given
    weight = photo_weights(mix.share, certify.scores.true)
    learn_weight = photo_weights(mix.share, learn.scores.true)
    unknown = ood_from_scores(before.ood, certify.scores.strange, weight, settings.false_unknown)
    allowance = replace(before, ood=unknown)
    evidence = allowance.evidence(certify.photos, certify.scores, certify.unseen, weight)
    learnt = allowance.evidence(learn.photos, learn.scores, learn.unseen, learn_weight)
    choice = _Choice(material, mix, learnt, evidence)
    cuts = choice.cuts(settings.targets, strict=True)
    left = allowance.usable(certify.photos, certify.scores) & ~accepted(cuts, mix, evidence)
    verify = verify_from_scores(certify.scores, weight, evidence.confidence, left)
    return Certified(allowance, cuts, verify, evidence, learnt, partial(choice.alternatives, settings.targets))
