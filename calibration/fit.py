"""From photos with features to everything the device obeys: the only file that knows the order of the fits.

    shape -> head -> prototypes -> unknown detector -> confidence -> quality -> twins -> accept cut points -> verify

Who may look at what
- Reference and FIT photos, and augmented copies of them, teach head and prototypes. FIT photos are also scored by heads
  that did not see them (`calibration.learning`): shape, confidence, twins and the path of cut points come from these
  scores ("learn").
- CERTIFY photos choose the detector among a few methods, walk that path, and set unknown threshold and verify set.
  Nothing else was fitted on them.
- Test and unknown photos are not looked at here.
Every figure is for the stated mix (`calibration.photos.mix`). Products outside the mix are never accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibration.learning import Learning
from calibration.photos.material import Material
from calibration.photos.mix import Mix, mix_of, photo_weights
from calibration.photos.photoset import joined
from calibration.rules.allowance import Allowance, accepted, rules_of
from calibration.rules.confidence_fit import Reliability, confidence_from_scores, reliability
from calibration.rules.detector import MethodFigure
from calibration.rules.ood_fit import ood_from_scores
from calibration.rules.quality import quality_from_photos
from calibration.rules.thresholds import Evidence, GroupCut, Targets, groups_from_tiers, thresholds_from_scores
from calibration.rules.twins import TwinPair, twin_index, twins_from_scores
from calibration.rules.verify_fit import VerifyRule, verify_from_scores
from calibration.space.head import Head, Rows
from calibration.space.shape import Trial
from calibration.space.table import agreement
from edge.build_folder import InputSpec
from edge.bundle import Rules
from edge.parameters import PrototypeTable
from edge.types import Embeddings

__all__ = ["Alternative", "Fitted", "Settings", "fit"]

_MOST = 0.99  # of a limit


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for. `weighted` takes the sales mix of the catalogue, else every product on sale counts alike."""

    targets: Targets
    false_unknown: float
    prototypes: int
    dimension: int
    weighted: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Alternative:
    """What another promise would cost: the weighted share of photos that would be accepted. Each holds by itself."""

    accept_error: float
    near_unknown: float
    accepted: float


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Everything that was fitted, and what the CERTIFY photos say about it."""

    head: Head
    table: PrototypeTable
    rules: Rules
    mix: Mix
    groups: tuple[GroupCut, ...]
    alternatives: tuple[Alternative, ...]
    twins: tuple[TwinPair, ...]
    verify: VerifyRule
    reliability: Reliability
    trials: tuple[Trial, ...]
    detectors: tuple[MethodFigure, ...]
    certify_embeddings: Embeddings
    int8_agreement: float


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """Everything that cut points are chosen from; `learn` and `certify` share no photo."""

    material: Material
    mix: Mix
    learn: Evidence
    certify: Evidence

    def cuts(self, targets: Targets) -> list[GroupCut]:
        """Return the cut points for these targets."""
        tiers = self.material.tiers
        photos = np.bincount(self.material.certify.labels, minlength=len(tiers))
        groups = groups_from_tiers(tiers, self.mix.share, photos, targets)
        return thresholds_from_scores(self.learn, self.certify, groups, tiers, targets)

    def alternatives(self, targets: Targets) -> tuple[Alternative, ...]:
        """Return what half and twice each of the two limits would accept."""
        found = []
        for factor_error, factor_near in ((1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 2.0), (2.0, 2.0)):
            error = min(targets.accept_error * factor_error, _MOST)
            near = min(targets.near_unknown * factor_near, _MOST)
            cuts = self.cuts(Targets(error, near, targets.certainty))
            taken = self.certify.weight[accepted(cuts, self.material, self.mix, self.certify)].sum()
            found.append(Alternative(error, near, float(taken / max(self.certify.weight.sum(), 1e-300))))
        return tuple(found)


def fit(material: Material, rows: Rows, spec: InputSpec, settings: Settings, step: Callable[[str], None]) -> Fitted:
    """Fit everything. `step` is told the name of each step as it begins."""
    mix = _mix(material, settings)
    learning = Learning(material, rows, settings.dimension, settings.prototypes, mix.share, settings.seed)
    learnt = learning.cross_fits(step)
    taught = learning.final(learnt, step)
    step("unknown detector")
    detector, figures = learning.detector(taught, settings.false_unknown)
    step("cut points")
    certify, learn = taught.lesson.scored(detector), learnt.scored(detector.method)
    weight, learn_weight = photo_weights(mix.share, certify.scores.true), photo_weights(mix.share, learn.scores.true)
    classes = len(material.products)
    enrolled = taught.lesson.enrolled
    twins = twins_from_scores(enrolled.centres, learn.scores)
    validation = joined([material.fit, material.certify])
    allowance = Allowance(
        confidence=confidence_from_scores(learn.scores, learn_weight, classes),
        ood=ood_from_scores(detector, certify.scores.strange, weight, settings.false_unknown),
        quality=quality_from_photos(spec, validation.sides_px, validation.sharpness),
        twin=twin_index(twins, classes),
        discontinued=np.array([product.status == "discontinued" for product in material.products]),
    )
    evidence = allowance.evidence(certify.photos, certify.scores, certify.unseen, weight)
    choice = _Choice(
        material, mix, allowance.evidence(learn.photos, learn.scores, learn.unseen, learn_weight), evidence
    )
    cuts = choice.cuts(settings.targets)
    left = allowance.usable(certify.photos, certify.scores) & ~accepted(cuts, material, mix, evidence)
    verify = verify_from_scores(certify.scores, weight, evidence.confidence, left)
    return Fitted(
        head=enrolled.head,
        table=enrolled.table,
        rules=rules_of(allowance, cuts, verify, material, mix),
        mix=mix,
        groups=tuple(cuts),
        alternatives=choice.alternatives(settings.targets),
        twins=tuple(twins),
        verify=verify,
        reliability=reliability(evidence.confidence, certify.scores.correct, weight, settings.seed),
        trials=learnt.trials,
        detectors=figures,
        certify_embeddings=taught.lesson.found,
        int8_agreement=agreement(taught.lesson.found, enrolled.prototypes, enrolled.table),
    )


def _mix(material: Material, settings: Settings) -> Mix:
    on_sale = np.array([product.status != "discontinued" for product in material.products])
    weight = np.array([product.weight for product in material.products])
    wanted = np.where(on_sale, weight if settings.weighted else 1.0, 0.0)
    return mix_of(wanted, np.bincount(material.certify.labels, minlength=len(on_sale)))
