"""One rehearsal: heads, tables and scores for some of the products, as calibrating them would fit them.

`calibration.learning` teaches, on short features (`calibration.growth.compressed`); only whole groups of products are
not taken out, which shows figures and decides little. CERTIFY and test photos are scored as one pool, which
`calibration.growth.trial` divides many times.

Limits: with fewer than two products or no certifying photo nothing can be measured (None). Where validation photos are
split anew, some that teach have no copies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.fit import Settings, mix_for
from calibration.growth.compressed import Space
from calibration.learning import Learning
from calibration.photos.material import Material
from calibration.photos.mix import Mix, mix_of, photo_weights
from calibration.photos.photoset import NONE, Photoset, joined
from calibration.photos.splits import CERTIFY, FIT, split
from calibration.rules.confidence_fit import confidence_from_scores
from calibration.rules.detector import BASELINE
from calibration.rules.lesson import Scored
from calibration.rules.ood_parameters import parameters_of
from calibration.rules.scores import join
from calibration.rules.twins import TwinPair, twins_from_scores
from edge.parameters import ConfidenceModel, OodModel
from edge.types import Embeddings

__all__ = ["Rehearsal", "narrowed", "rehearse", "resplit", "restricted"]


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """Everything that does not depend on which photos certify. `centres` are (C, D), `prototypes` is K."""

    material: Material
    mix: Mix
    learn: Scored
    pool: Scored
    detector: OodModel  # without a threshold
    confidence: ConfidenceModel
    twins: tuple[TwinPair, ...]
    centres: Embeddings
    prototypes: int

    @property
    def certifying(self) -> Scored:
        """The CERTIFY photos, scored by the head that all others taught: the one that would go live."""
        return self.pool.take(np.arange(len(self.material.certify)))

    @property
    def validation(self) -> Scored:
        """All validation photos, each scored by a head that it did not teach; fewer photos taught that of FIT ones."""
        return together([self.learn, self.certifying])

    @property
    def certify_counts(self) -> NDArray[np.int64]:
        """How many photos of each product certify, (C,)."""
        return np.bincount(self.material.certify.labels, minlength=len(self.material.products))


def together(parts: list[Scored]) -> Scored:
    """Return the photos of all parts, in order."""
    photos = joined([part.photos for part in parts])
    return Scored(photos, join([part.scores for part in parts]), join([part.unseen for part in parts]))


def narrowed(material: Material, kept: NDArray[np.bool_]) -> Material:
    """Return the material of the products `kept` (C,) alone, numbered anew; unknown things stay."""
    number = np.cumsum(kept) - 1
    names = tuple(np.flatnonzero(kept).tolist())

    def inside(photos: Photoset) -> Photoset:
        some = photos.take(np.flatnonzero((photos.labels != NONE) & kept[photos.labels]))
        return replace(some, labels=number[some.labels].astype(np.int32))

    return Material(
        products=tuple(material.products[i] for i in names),
        tiers=tuple(material.tiers[i] for i in names),
        reference=inside(material.reference),
        fit=inside(material.fit),
        certify=inside(material.certify),
        test=inside(material.test),
        unknown=material.unknown,
        left_out=material.left_out,
        copies=material.copies,
        crowded=material.crowded,
    )


def resplit(material: Material, seed: int) -> Material:
    """Return the material with its validation photos split anew into those that teach and those that certify."""
    validation = joined([material.fit, material.certify])
    parts = split(validation.labels, validation.digests, seed)
    return replace(
        material,
        fit=validation.take(np.flatnonzero(parts == FIT)),
        certify=validation.take(np.flatnonzero(parts == CERTIFY)),
    )


def rehearse(material: Material, space: Space, settings: Settings) -> Rehearsal | None:
    """Fit heads, tables and scores for all products of `material`, or return None where nothing can be measured."""
    if len(material.products) < 2 or len(material.certify) == 0:
        return None
    mix = mix_for(material, settings)
    most = (settings.dimension, settings.prototypes)
    learning = Learning(material, space.rows, *most, mix.share, settings.seed, space.shrinkage, brands=False)
    learnt = learning.cross_fits(_silent)
    pooled = replace(material, certify=joined([material.certify, material.test]))
    final = replace(learning, material=pooled).final(learnt, _silent)
    method = learning.method(learnt, final, settings.false_unknown) if learnt.parts else BASELINE
    detector = OodModel(method, np.inf, settings.false_unknown, parameters_of(method, final.parameters))
    learn, enrolled = learnt.scored(method), final.lesson.enrolled
    weight = photo_weights(mix.share, learn.scores.true)
    return Rehearsal(
        material=material,
        mix=mix,
        learn=learn,
        pool=final.lesson.scored(detector),
        detector=detector,
        confidence=confidence_from_scores(learn.scores, weight, len(material.products)),
        twins=tuple(twins_from_scores(enrolled.centres, learn.scores)),
        centres=enrolled.centres,
        prototypes=len(enrolled.table.owners),
    )


def _silent(_: str) -> None:
    """Take the name of a step and say nothing."""


def restricted(rehearsal: Rehearsal, kept: NDArray[np.bool_]) -> Rehearsal:
    """Return the rehearsal as if only photos of the products `kept` (C,) were taken; all products stay enrolled."""
    material = rehearsal.material

    def inside(photos: Photoset) -> Photoset:
        return photos.take(np.flatnonzero(kept[photos.labels]))

    def shown(scored: Scored) -> Scored:
        return scored.take(np.flatnonzero(kept[scored.scores.true]))

    own = replace(material, fit=inside(material.fit), certify=inside(material.certify), test=inside(material.test))
    learn = shown(rehearsal.learn)
    counts = np.bincount(own.certify.labels, minlength=len(kept))
    mix = mix_of(np.where(kept, rehearsal.mix.wanted, 0.0), counts)
    mix = replace(mix, covered=mix.covered | rehearsal.mix.covered)  # a photo can be accepted as any product
    weight = photo_weights(mix.share, learn.scores.true)
    return replace(
        rehearsal,
        material=own,
        mix=mix,
        learn=learn,
        pool=shown(rehearsal.pool),
        confidence=confidence_from_scores(learn.scores, weight, len(kept)),
    )
