"""A lesson: some photos teach a head and a table, others are looked up, enrolled and as if they were not.

Whoever holds a lesson holds one covariance (F x F) at most; `Taught` is the part before the shape is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.photos.photoset import Photoset
from calibration.rules.scores import Scores, scores_from_embeddings
from calibration.rules.unseen import Round, Unseen, unseen_scores
from calibration.space.head import Discriminant, Head, Rows, embed, first_dimensions
from calibration.space.shape import Shape
from calibration.space.table import centroids, prototypes_of, quantise, table_from_embeddings
from edge import lookup, ood
from edge.ood.method import Parameters
from edge.parameters import OodModel, PrototypeTable
from edge.types import Embeddings, Expected

__all__ = ["Enrolled", "Lesson", "Scored", "Taught"]

_BLOCK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """A head with the table that its photos make; `prototypes` are the float rows of `table`, `centres` the means."""

    head: Head
    table: PrototypeTable
    prototypes: Embeddings
    centres: Embeddings
    embeddings: Embeddings  # of the photos that teach


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Photos with what the lookup says about them, and what it would say if their products were not enrolled."""

    photos: Photoset
    scores: Scores
    unseen: Scores  # empty where nothing was simulated

    def take(self, chosen: NDArray[np.intp]) -> Scored:
        """Return some of the photos, by position, with repetitions."""
        unseen = self.unseen.take(chosen) if len(self.unseen) else self.unseen
        return Scored(self.photos.take(chosen), self.scores.take(chosen), unseen)


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """What `taught` (copies included) teach at `most` dimensions, and `fresh` photos under it."""

    discriminant: Discriminant
    head: Head
    taught: Photoset
    fresh: Photoset
    embeddings: Embeddings  # of the photos that teach
    found: Embeddings  # of the fresh ones

    @staticmethod
    def of(
        rows: Rows, taught: Photoset, fresh: Photoset, most: int, seed: int, shrinkage: float | None = None
    ) -> Taught:
        """Fit the head and embed both sets; `shrinkage` None lets the head choose it."""
        discriminant = Discriminant.of(rows, taught.rows, taught.labels, shrinkage)
        head = discriminant.head(rows, most, seed)
        return Taught(discriminant, head, taught, fresh, embed(head, rows, taught.rows), embed(head, rows, fresh.rows))

    def top1(self, shape: Shape, weights: NDArray[np.float64]) -> float:
        """Return the sum of the weights (N,) of the fresh photos that a table of this shape gets right."""
        index, found = lookup.index_from_table(self.table(shape)), self.at(shape)
        right = 0.0
        for start in range(0, len(found), _BLOCK):
            part = slice(start, start + _BLOCK)
            best = lookup.similarities(index, found[part]).argmax(axis=1)
            right += float(weights[part] @ (best == self.fresh.labels[part]))
        return right

    def table(self, shape: Shape) -> PrototypeTable:
        """Return the table that the teaching photos make at a shape."""
        embeddings = first_dimensions(self.embeddings, shape.dimension)
        return table_from_embeddings(embeddings, self.taught.labels, shape.prototypes)

    def at(self, shape: Shape) -> Embeddings:
        """Return the fresh photos' embeddings at a shape."""
        return first_dimensions(self.found, shape.dimension)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What was taught at the chosen shape; `rounds` look the fresh photos up where some classes are missing."""

    enrolled: Enrolled
    fresh: Photoset
    found: Embeddings
    rounds: tuple[Round, ...]
    expected: Expected  # (N,) of the fresh photos, zeros until it is known

    @staticmethod
    def of(taught: Taught, shape: Shape, unseen: Unseen, fold: NDArray[np.int64]) -> Lesson:
        """Enrol at `shape` and run the rounds of `fold` (C,)."""
        labels = taught.taught.labels
        embeddings = first_dimensions(taught.embeddings, shape.dimension)
        prototypes, owners = prototypes_of(embeddings, labels, shape.prototypes)
        enrolled = Enrolled(
            head=taught.head.first(shape.dimension),
            table=quantise(prototypes, owners),
            prototypes=prototypes,
            centres=centroids(embeddings, labels, int(labels.max()) + 1),
            embeddings=embeddings,
        )
        found = taught.at(shape)
        rounds = tuple(unseen.rounds(taught.fresh, fold))
        return Lesson(enrolled, taught.fresh, found, rounds, np.zeros(len(found), np.float32))

    def with_expected(self, expected: Expected, fitted: Parameters) -> Lesson:
        """Return the lesson with the fresh photos' expected similarities and the parameters fitted on these."""
        rounds = tuple(one.with_expected(expected, fitted) for one in self.rounds)
        return replace(self, rounds=rounds, expected=expected)

    def scored(self, detector: OodModel) -> Scored:
        """Return the fresh photos' scores; of `detector` the method and arrays count, not the threshold."""
        table = self.enrolled.table
        strange = ood.prepare(detector, table)
        scores = scores_from_embeddings(table, self.found, self.fresh.labels, strange, self.expected)
        return Scored(self.fresh, scores, unseen_scores(self.rounds, detector.method))
