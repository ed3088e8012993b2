"""What products look like that are not enrolled and resemble ones that are: simulated with the catalogue's own
products.

In FOLDS rounds a share of the products is taken out, out of the table and out of what the head was fitted to tell
apart, and their photos are looked up among the rest. To delete only their prototypes is not enough: a head that was
fitted to separate two sisters still pushes the deleted one away from the other.

The within-class covariance keeps the residuals of the products taken out; it is pooled over all and theirs are few.
Limits: every FOLDS-th sister is missing too, so families of two are simulated a little too easy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.photos.material import NONE, Photoset
from calibration.rules.scores import Scores, in_order, nothing, scores_from_embeddings
from calibration.space.head import Discriminant, Rows, embed
from calibration.space.table import table_from_embeddings
from edge import lookup

__all__ = ["FOLDS", "Unseen", "class_folds"]

FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """One round: the classes `kept` (C,) and the lookup among them, under the head that tells only them apart."""

    discriminant: Discriminant
    rows: Rows
    taught: Photoset
    dimension: int
    prototypes: int
    seed: int

    def scores(self, photos: Photoset, fold: NDArray[np.int64]) -> Scores:
        """Return the scores of `photos` (N,) as if their products were not enrolled, in order; `true` is NONE.

        `fold` (C,) says in which round each class is out. With fewer than two rounds nothing is left to look among:
        then no photo is scored and the result is empty.
        """
        if len(np.unique(fold)) < 2 or len(photos) == 0:
            return nothing()
        parts, positions = [], []
        for number in np.unique(fold).tolist():
            outside = np.flatnonzero(fold[photos.labels] == number)
            if len(outside):
                parts.append(self._round(photos.take(outside), fold != number))
                positions.append(outside)
        return in_order(parts, np.concatenate(positions))

    def _round(self, photos: Photoset, kept: NDArray[np.bool_]) -> Scores:
        head = self.discriminant.head(self.rows, self.dimension, self.seed, kept)
        taught = self.taught.take(np.flatnonzero(kept[self.taught.labels]))
        number = np.cumsum(kept) - 1  # of each kept class among the kept ones
        labels = number[taught.labels].astype(np.int32)
        table = table_from_embeddings(embed(head, self.rows, taught.rows), labels, self.prototypes)
        found = embed(head, self.rows, photos.rows)
        scores = scores_from_embeddings(lookup.index_from_table(table), found, np.full(len(photos), NONE, np.int32))
        return replace(scores, best=np.flatnonzero(kept)[scores.best].astype(np.int32))


def class_folds(keys: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return the round, 0 to FOLDS - 1, in which each class (C,) is taken out; only its own name and rank decide."""
    order = sorted(range(len(keys)), key=lambda index: hashlib.sha256(f"unseen {seed} {keys[index]}".encode()).digest())
    fold = np.empty(len(keys), np.int64)
    fold[order] = np.arange(len(keys)) % min(FOLDS, max(len(keys), 1))
    return fold
