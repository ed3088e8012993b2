"""Single photos under the wrong name: far from the others of their product, and at home with those of another.

For each reference and validation photo: its similarity to a product is the median cosine to the product's photos (its
own left out), so one wrong photo among several moves nothing. With s the usual deviation of that similarity within a
product (1.4826 MAD over all photos), a photo is a suspect when all hold:
- it lies at least 2.5 s under the median of its own product's photos;
- another product is nearer by at least 2 s: the gain;
- it falls short of that product's own photos by no more than 2 s or half of the gain: the other product explains it. A
  dark or blurred photo is far from everything and stays out.

Suspects are for a person to look at: on 1,000 rendered products with 20 photos moved, 11 were found and nothing else;
those that were missed had mostly gone to a sibling.
Limits: a product with fewer than MIN_PHOTOS photos cannot say what is usual for it. Photos that taught drew the head
towards their wrong name, which hides some.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from calibration.photos.photoset import Photoset
from edge.types import Embeddings

__all__ = ["Stray", "stray_photos"]

MIN_PHOTOS = 4
BELOW, NEARER, SHORT = 2.5, 2.0, 2.0
_CANDIDATES = 6
_BLOCK = 1024

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stray:
    """Photo number `photo` (of the photoset) of product `own` that looks like product `other`; median cosines."""

    photo: int
    own: int
    other: int
    own_similarity: float
    other_similarity: float

    @property
    def gain(self) -> float:
        """Return how much nearer the other product is."""
        return self.other_similarity - self.own_similarity


@dataclass(frozen=True, slots=True, eq=False)
class _Grouped:
    """Unit rows (N, D) with labels (N,), and the members of each of C classes."""

    rows: Embeddings
    labels: NDArray[np.int32]
    members: tuple[NDArray[np.intp], ...]


def stray_photos(embeddings: Embeddings, photos: Photoset, classes: int) -> list[Stray]:
    """Return the suspects among photos of `classes` products, the largest gain first."""
    order = np.argsort(photos.labels, kind="stable")
    borders = np.searchsorted(photos.labels[order], np.arange(classes + 1))
    members = tuple(order[a:b] for a, b in pairwise(borders))
    grouped = _Grouped(embeddings[photos.rows], photos.labels, members)
    own = _own_similarity(grouped)
    usual = np.array([np.median(own[m]) if len(m) >= MIN_PHOTOS else np.nan for m in members])
    drop = own - usual[photos.labels]
    known = np.isfinite(drop)
    if not known.any():
        return []
    scale = max(1.4826 * float(np.median(np.abs(drop[known]))), 1e-3)
    candidates = np.flatnonzero(known & (drop <= -BELOW * scale))
    found = []
    for photo, others in zip(candidates.tolist(), _near_classes(grouped, candidates), strict=True):
        values = [_to_class(grouped, photo, int(c)) if np.isfinite(usual[c]) else -2.0 for c in others]
        best = int(np.argmax(values))
        other, similarity = int(others[best]), float(values[best])
        gain, short = similarity - own[photo], usual[other] - similarity
        if gain >= NEARER * scale and short <= max(SHORT * scale, gain / 2):
            found.append(Stray(photo, int(photos.labels[photo]), other, float(own[photo]), similarity))
    return sorted(found, key=lambda stray: (-stray.gain, stray.photo))


def _own_similarity(grouped: _Grouped) -> Floats:
    """Return (N,): the median cosine of each photo to the others of its product, NaN for a lone one."""
    own = np.full(len(grouped.labels), np.nan)
    for member in grouped.members:
        if len(member) > 1:
            cosines = (grouped.rows[member] @ grouped.rows[member].T).astype(np.float64)
            np.fill_diagonal(cosines, np.nan)
            own[member] = np.nanmedian(cosines, axis=1)
    return own


def _to_class(grouped: _Grouped, photo: int, other: int) -> float:
    return float(np.median(grouped.rows[grouped.members[other]] @ grouped.rows[photo]))


def _near_classes(grouped: _Grouped, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return (len(chosen), k): the products, other than its own, whose mean lies nearest to each chosen photo."""
    counts = np.array([max(len(member), 1) for member in grouped.members])
    means = np.zeros((len(counts), grouped.rows.shape[1]), np.float32)
    np.add.at(means, grouped.labels, grouped.rows)
    means /= counts[:, None].astype(np.float32)
    count = min(_CANDIDATES, len(counts) - 1)
    near = np.zeros((len(chosen), max(count, 0)), np.intp)
    for start in range(0, len(chosen), _BLOCK):
        some = chosen[start : start + _BLOCK]
        scores = grouped.rows[some] @ means.T
        scores[np.arange(len(some)), grouped.labels[some]] = -2.0
        near[start : start + _BLOCK] = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return near
