"""Products that the backbone cannot tell apart, and products that replace others.

A twin pair lies in the bottom SEPARATION of the distances from a product to its nearest neighbour (centroids in the
head's space), and is confused: of the photos of both, at least CONFUSED took one for the other. Both conditions count:
near products that are told apart are no twins, and a confused product far from the other has bad photos. A product
names one twin, the one of its most confused pair; in a group of three the third names one of the others, so none of a
confused pair is ever accepted. Only photos that do not certify may be given: to drop a product
because its certifying photos were wrong would be to hide errors from the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.photos.catalogue import Product
from calibration.photos.photoset import NONE
from calibration.rules.scores import Scores
from calibration.space.crowding import nearest_cosine
from edge.types import Embeddings

__all__ = [
    "CONFUSED",
    "SEPARATION",
    "TwinPair",
    "successors_of",
    "twin_index",
    "twins_from_scores",
]

SEPARATION = 0.05
CONFUSED = 0.15
MIN_CONFUSIONS = 2


@dataclass(frozen=True, slots=True)
class TwinPair:
    """Two classes by index, `first` < `second`; `cosine` of their centroids, and photos confused out of all of both."""

    first: int
    second: int
    cosine: float
    confused: int
    photos: int


def twins_from_scores(centres: Embeddings, scores: Scores) -> list[TwinPair]:
    """Return the pairs for centroids (C, D), most confused first."""
    if len(centres) < 2:
        return []
    nearest = np.quantile(nearest_cosine(centres), 1.0 - SEPARATION, method="lower")
    limit = float(nearest) - 1e-6  # equal but for rounding
    photos = np.bincount(scores.true, minlength=len(centres))
    wrong = ~scores.correct
    pairs, counts = np.unique(
        np.sort(np.stack([scores.true[wrong], scores.best[wrong]], axis=1), axis=1), axis=0, return_counts=True
    )
    found = []
    for (a, b), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        cosine, seen = float(centres[a] @ centres[b]), int(photos[a] + photos[b])
        if cosine >= limit and count >= max(MIN_CONFUSIONS, CONFUSED * seen):
            found.append(TwinPair(a, b, cosine, count, seen))
    found.sort(key=lambda pair: (-pair.confused / pair.photos, -pair.cosine, pair.first, pair.second))
    return found


def twin_index(pairs: Sequence[TwinPair], classes: int) -> NDArray[np.int32]:
    """Return (C,): the twin that each class names, or NONE; `pairs` are the most confused first."""
    twin = np.full(classes, NONE, np.int32)
    for pair in pairs:
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            if twin[one] == NONE:
                twin[one] = other
    return twin


def successors_of(products: Sequence[Product]) -> NDArray[np.int32]:
    """Return (C,): the class that replaces each discontinued product, or NONE (also when that one was left out)."""
    position = {product.sku: index for index, product in enumerate(products)}
    return np.array(
        [position.get(p.successor, NONE) if p.status == "discontinued" else NONE for p in products], np.int32
    )
