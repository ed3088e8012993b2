"""What the device's lookup says about photos, as arrays: the material of every fit that follows.

`scores_from_embeddings` runs `edge.lookup` and the detector in blocks and adds what only calibration knows: the true
product, and how far it lies behind the best one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from calibration.photos.photoset import NONE
from calibration.space.crowding import crowding
from edge import lookup
from edge.ood import Score
from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected

__all__ = ["DEPTH", "Scores", "in_order", "join", "nothing", "scores_from_embeddings"]

DEPTH = 6  # candidates kept per photo: the largest verify set and one more
_BLOCK = 1024

Floats = NDArray[np.float32]
Classes = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One row per photo, N rows. A missing second candidate counts as similarity -1, as on the device."""

    true: Classes  # (N,), NONE for something that is not enrolled
    best: Classes  # (N,)
    similarity: Floats  # (N,), cosine to the best class
    margin: Floats  # (N,), its lead over the next class
    own_gap: Floats  # (N,), best similarity minus that of the true class, >= 0; 3 when there is none
    strange: Floats  # (N,), the detector's score; higher is stranger
    top: Floats  # (N, DEPTH), falling; -3 where there are fewer classes
    crowding: Floats  # (N,), of the best class (`calibration.space.crowding`)

    def __len__(self) -> int:
        return len(self.true)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the best class is the true one, (N,)."""
        return np.asarray(self.best == self.true)

    def set_size(self, gap: float) -> NDArray[np.int64]:
        """Return how many classes lie within `gap` of the best, (N,), counted up to DEPTH."""
        return np.asarray((self.top >= self.similarity[:, None] - np.float32(gap)).sum(axis=1), np.int64)

    def take(self, chosen: NDArray[np.intp]) -> Scores:
        """Return the rows of some photos, by position, with repetitions."""
        return Scores(**{f.name: getattr(self, f.name)[chosen] for f in fields(Scores)})

    def renumbered(self, classes: NDArray[np.intp]) -> Scores:
        """Return the scores with best class c called `classes[c]`, of photos whose products are not enrolled."""
        nobody = np.full(len(self), NONE, np.int32)
        return replace(self, true=nobody, best=classes[self.best].astype(np.int32))


def scores_from_embeddings(
    table: PrototypeTable, embeddings: Embeddings, true: Classes, strange: Score, expected: Expected | None = None
) -> Scores:
    """Look (N, D) embeddings up; `true` (N,) are their classes or NONE, `strange` is the detector made ready.

    `expected` (N,) are the expected similarities, None for a detector that does not look at them.
    """
    index, crowded = lookup.index_from_table(table), crowding(table)
    usual = np.zeros(len(true), np.float32) if expected is None else expected
    parts = [slice(start, start + _BLOCK) for start in range(0, max(len(true), 1), _BLOCK)]
    blocks = [_block((index, crowded), (embeddings[part], usual[part]), true[part], strange) for part in parts]
    return join(blocks)


def join(parts: list[Scores]) -> Scores:
    """Return the rows of all parts, in order."""
    return Scores(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Scores)})


def in_order(parts: list[Scores], positions: NDArray[np.intp]) -> Scores:
    """Return the rows of all parts, row i moved to `positions[i]`, a permutation."""
    return join(parts).take(np.argsort(positions))


def nothing() -> Scores:
    """Return the scores of no photo."""
    none, empty = np.zeros(0, np.int32), np.zeros(0, np.float32)
    return Scores(none, none, empty, empty, empty, empty, np.zeros((0, DEPTH), np.float32), empty)


def _block(
    known: tuple[lookup.Index, Floats], seen: tuple[Embeddings, Expected], true: Classes, strange: Score
) -> Scores:
    index, crowded = known
    embeddings, expected = seen
    every = lookup.similarities(index, embeddings)
    best = lookup.top(every, DEPTH)
    values = np.take_along_axis(every, best, axis=1)
    missing = DEPTH - best.shape[1]
    values = np.pad(values, ((0, 0), (0, missing)), constant_values=-3.0)
    own = np.take_along_axis(every, np.maximum(true, 0)[:, None].astype(np.intp), axis=1)[:, 0]
    own_gap = np.where(true == NONE, np.float32(3.0), values[:, 0] - own)
    return Scores(
        true=true.astype(np.int32),
        best=best[:, 0].astype(np.int32),
        similarity=values[:, 0],
        margin=values[:, 0] - np.maximum(values[:, 1], -1.0),
        own_gap=own_gap.astype(np.float32),
        strange=strange(every, embeddings, expected) if len(every) else np.zeros(0, np.float32),
        top=values.astype(np.float32),
        crowding=crowded[best[:, 0]],
    )
