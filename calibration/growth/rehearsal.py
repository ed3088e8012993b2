"""One rehearsal: heads, tables and scores for some of the products, as calibrating them would fit them.

The order is that of `calibration.fit`: head and prototypes on reference and FIT photos, scores of FIT photos by
cross-fitting, confidence and twins from these. CERTIFY and test photos are scored as one pool, which
`calibration.growth.trial` divides many times. Features are short (`calibration.growth.compressed`), no augmented copy
teaches, and the detector is the baseline: growth is the difference of two such rehearsals.

Limits: with fewer than two products or no certifying photo nothing can be measured (None).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.fit import Settings, mix_for
from calibration.growth.compressed import Space
from calibration.photos.material import Material
from calibration.photos.mix import Mix, mix_of, photo_weights
from calibration.photos.photoset import NONE, Photoset, joined
from calibration.photos.splits import CERTIFY, FIT, folds, split
from calibration.rules.confidence_fit import confidence_from_scores
from calibration.rules.detector import BASELINE
from calibration.rules.lesson import Scored
from calibration.rules.scores import join, nothing, scores_from_embeddings
from calibration.rules.twins import TwinPair, twins_from_scores
from calibration.rules.unseen import Unseen, class_folds, unseen_scores
from calibration.space.head import Discriminant, embed
from calibration.space.shape import Shape
from calibration.space.table import centroids, table_from_embeddings
from edge import ood
from edge.parameters import ConfidenceModel, OodModel
from edge.types import Embeddings

__all__ = ["Rehearsal", "narrowed", "rehearse", "resplit", "restricted"]

TEMPERATURE = 0.1  # of detectors, none of which reads it here


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """Everything that does not depend on which photos certify. `centres` are (C, D), `prototypes` is K."""

    material: Material
    mix: Mix
    learn: Scored
    pool: Scored
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
    taught = joined([material.reference, material.fit])
    fresh = joined([material.certify, material.test])
    pool, centres, prototypes = _enrol_and_score(material, space, taught, fresh, settings)
    learn = _learn(material, space, settings)
    mix = mix_for(material, settings)
    weight = photo_weights(mix.share, learn.scores.true)
    return Rehearsal(
        material=material,
        mix=mix,
        learn=learn,
        pool=pool,
        confidence=confidence_from_scores(learn.scores, weight, len(material.products)),
        twins=tuple(twins_from_scores(centres, learn.scores)),
        centres=centres,
        prototypes=prototypes,
    )


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


def _enrol_and_score(
    material: Material, space: Space, taught: Photoset, fresh: Photoset, settings: Settings
) -> tuple[Scored, Embeddings, int]:
    """Return scores of `fresh`, the centroids (C, D) and the number of prototypes."""
    rows = space.rows
    discriminant = Discriminant.of(rows, taught.rows, taught.labels, space.shrinkage)
    head = discriminant.head(rows, settings.dimension, settings.seed)
    embeddings = embed(head, rows, taught.rows)
    table = table_from_embeddings(embeddings, taught.labels, settings.prototypes)
    strange = ood.prepare(OodModel(BASELINE, 0.0, 0.0), table)
    found = embed(head, rows, fresh.rows)
    scores = scores_from_embeddings(table, found, fresh.labels, strange)
    fold = class_folds([product.sku for product in material.products], settings.seed)
    shape = Shape(settings.dimension, settings.prototypes)
    unseen = Unseen(discriminant, rows, taught, shape, TEMPERATURE, settings.seed)
    rounds = tuple(unseen.rounds(fresh, fold))
    centres = centroids(embeddings, taught.labels, len(material.products))
    return Scored(fresh, scores, unseen_scores(rounds, BASELINE)), centres, len(table.owners)


def _learn(material: Material, space: Space, settings: Settings) -> Scored:
    """Score the FIT photos, each with a head and a table that it did not teach."""
    fold = folds(material.fit.labels, material.fit.digests, settings.seed)
    parts = []
    for number in (0, 1):
        outside = material.fit.take(np.flatnonzero(fold == number))
        if len(outside):
            inside = joined([material.reference, material.fit.take(np.flatnonzero(fold != number))])
            parts.append(_enrol_and_score(material, space, inside, outside, settings)[0])
    if not parts:
        return Scored(material.fit, nothing(), nothing())
    return together(parts)
