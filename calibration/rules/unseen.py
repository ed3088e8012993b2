"""What products look like that are not enrolled and resemble ones that are: simulated with the catalogue's own
products.

In rounds a share of the products is taken out, out of the table and out of what the head was fitted to tell apart, and
their photos are looked up among the rest. To delete only their prototypes is not enough: a head that was fitted to
separate two sisters still pushes the deleted one away from the other. Taking out every FOLDS-th product leaves most of
a family enrolled (look-alikes); taking out whole groups leaves none of it (new brands).

The within-class covariance keeps the residuals of the products taken out; it is pooled over all and theirs are few.
Whatever else was fitted with the product enrolled must not be known there either: that its sister was called its twin,
for one (`calibration.rules.allowance`).

Limits: every FOLDS-th sister is missing too, so families of two are simulated a little too easy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.photos.photoset import Photoset
from calibration.rules.ood_parameters import parameters_from_photos
from calibration.rules.scores import Scores, in_order, nothing, scores_from_embeddings
from calibration.space.head import Discriminant, Rows, embed
from calibration.space.shape import Shape
from calibration.space.table import table_from_embeddings
from edge import ood
from edge.ood.method import Parameters
from edge.parameters import OodModel, PrototypeTable
from edge.types import Embeddings, Expected

__all__ = ["FOLDS", "Round", "Unseen", "class_folds", "group_folds", "unseen_scores"]

FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """Photos looked up where some classes are missing: all photos' embeddings (N, D) under the head of the others.

    `kept` (C,) are the classes in the table, whose own numbering is theirs in order; `outside` (N,) says which photos
    are of a class that is missing. `parameters` are what every detector needs, fitted on the kept classes.
    """

    kept: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    embeddings: Embeddings
    table: PrototypeTable
    parameters: Parameters
    expected: Expected  # (N,), zeros until it is known

    def with_expected(self, expected: Expected, fitted: Parameters) -> Round:
        """Return the round with the photos' expected similarities and the parameters fitted on these."""
        return replace(self, expected=expected, parameters={**self.parameters, **fitted})

    def strangeness(self, method: str) -> ood.Score:
        """Return a detector made ready for this round's table."""
        return ood.prepare(OodModel(method, 0.0, 0.0, self.parameters), self.table)


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """What rounds are made of: `taught` are the photos that teach, copies included; `temperature` is of detectors."""

    discriminant: Discriminant
    rows: Rows
    taught: Photoset
    shape: Shape
    temperature: float
    seed: int

    def rounds(self, photos: Photoset, fold: NDArray[np.int64]) -> Iterator[Round]:
        """Yield a round for each number in `fold` (C,), the round in which a class is out. Fewer than two: none."""
        if len(np.unique(fold)) < 2 or len(photos) == 0:
            return
        for number in np.unique(fold).tolist():
            outside = fold[photos.labels] == number
            if outside.any():
                yield self._round(photos, fold != number, outside)

    def _round(self, photos: Photoset, kept: NDArray[np.bool_], outside: NDArray[np.bool_]) -> Round:
        head = self.discriminant.head(self.rows, self.shape.dimension, self.seed, kept)
        taught = self.taught.take(np.flatnonzero(kept[self.taught.labels]))
        number = np.cumsum(kept) - 1  # of each kept class among the kept ones
        labels = number[taught.labels].astype(np.int32)
        embeddings = embed(head, self.rows, taught.rows)
        table = table_from_embeddings(embeddings, labels, self.shape.prototypes)
        parameters = parameters_from_photos(embeddings, labels, self.temperature)
        found = embed(head, self.rows, photos.rows)
        return Round(kept, outside, found, table, parameters, np.zeros(len(photos), np.float32))


def unseen_scores(rounds: Sequence[Round], method: str) -> Scores:
    """Return the scores of the rounds' photos as if their products were not enrolled, in order; `true` is NONE.

    Every photo is outside in exactly one round. Without rounds nothing is scored and the result is empty.
    """
    if not rounds:
        return nothing()
    parts, positions = [], []
    for one in rounds:
        outside = np.flatnonzero(one.outside)
        nobody = np.zeros(len(outside), np.int32)
        seen, expected = one.embeddings[outside], one.expected[outside]
        scores = scores_from_embeddings(one.table, seen, nobody, one.strangeness(method), expected)
        parts.append(scores.renumbered(np.flatnonzero(one.kept)))
        positions.append(outside)
    return in_order(parts, np.concatenate(positions))


def class_folds(keys: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return the round, 0 to FOLDS - 1, in which each class (C,) is taken out; only its own name and rank decide."""
    order = sorted(range(len(keys)), key=lambda index: hashlib.sha256(f"unseen {seed} {keys[index]}".encode()).digest())
    fold = np.empty(len(keys), np.int64)
    fold[order] = np.arange(len(keys)) % min(FOLDS, max(len(keys), 1))
    return fold


def group_folds(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return the round in which each class (C,) is taken out, whole groups together; all 0 with under FOLDS groups."""
    names = sorted(set(groups))
    if len(names) < FOLDS:
        return np.zeros(len(groups), np.int64)
    fold = dict(zip(names, class_folds(names, seed).tolist(), strict=True))
    return np.array([fold[name] for name in groups], np.int64)
