"""Fits the head: features (F) -> embedding (D), so that photos of one product fall together and products apart.

Linear discriminant analysis with a shrunken within-class covariance: features are standardised, the pooled covariance S
of the residuals x - (mean of its class) becomes (1 - a) S + a mean(diag S) I, and the D directions v that maximise
(between / within) with v' S v = 1 are kept. Every class counts once in the between part, however many photos it has.
The embedding is (x - mean) @ projection, brought to unit length by whoever uses it.

The intensity a is Ledoit & Wolf's (J. Multivariate Analysis 88, 2004), at least LEAST_SHRINKAGE: theirs is the best for
the covariance itself, and with many photos too small for telling products apart. On 1,000 rendered products (F 6280, D
128, 15,200 photos and two copies of each, one mean per product) 0.05 gives 85.9 % of other photos right, 0.15 85.3 %,
0.3 84.3 %; without copies 0.006 (theirs), 0.15 and 0.3 gave 74.1, 78.1 and 77.6 % on another catalogue.

Photos stream through twice, so memory is F x F and C x F floats whatever the number of photos; of few photos what
they span is enough (`calibration.space.within`). Up to EXACT classes, or features, the eigenproblem is solved
exactly; where both are more, by seeded subspace iteration (Halko, Martinsson & Tropp, SIAM Review 53, 2011), whose
last directions, which differ little in what they tell apart, are approximate.

Limits, and what is done there (`Head.method` says it, the report repeats it)
- Two classes give one direction, on which a cosine is only a sign: the space is filled up to PADDED directions with the
  principal directions of the residuals ("lda+pca").
- One class, or photos that are all alike: uncentred principal directions of what there is ("pca"), or the first D
  features ("identity") when even these are missing.
- Rows of zeros (the engine gave nothing) must be left out by the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.space.within import Shape, Within, within_of
from edge.types import Embeddings

__all__ = ["Discriminant", "Head", "Rows", "embed", "first_dimensions", "project"]

LEAST_SHRINKAGE = 0.1
EXACT = 2048
PADDED = 16
BLOCK = 1024
_SAMPLE = 2048
_OVERSAMPLING, _ITERATIONS = 32, 8

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Labels = NDArray[np.int32]


class Rows(Protocol):
    """Features that may lie on disk."""

    @property
    def dimension(self) -> int:
        """F, the length of a row."""
        ...

    def read(self, rows: Indices) -> Floats:
        """Return these rows, (len(rows), dimension)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A linear map: `mean` (F,), `projection` (F, D). `shrinkage` is the intensity, `photos` how many taught it."""

    mean: Floats
    projection: Floats
    method: str
    shrinkage: float
    photos: int

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return int(self.projection.shape[1])

    def first(self, dimension: int) -> Head:
        """Return the head of the first directions only, the ones that tell most apart."""
        return replace(self, projection=np.ascontiguousarray(self.projection[:, :dimension]))


@dataclass(frozen=True, slots=True, eq=False)
class _Scatter:
    """Class means, and the residuals' covariance, in standardised features (raw / scale; a dead feature is 0)."""

    inverse_scale: Floats  # (F,)
    centre: Floats  # (F,), raw: the mean of the class means
    means: Floats  # (C, F), standardised, around the centre
    solved: Floats  # (F, C): within^-1 means'
    within: Within  # (F, F)
    shrinkage: float

    def centre_of(self, kept: Indices) -> Floats:
        """Return the mean of some class means, raw, (F,)."""
        scale = np.where(self.inverse_scale > 0, 1.0 / np.where(self.inverse_scale > 0, self.inverse_scale, 1.0), 0.0)
        return np.asarray(self.centre + self.means[kept].mean(axis=0) * scale, np.float32)

    def solve(self, mixture: Floats, kept: Indices) -> Floats:
        """Return (F, k): within^-1 times mixtures (n, k) of the kept classes' means around their own centre."""
        spread = np.zeros((len(self.means), mixture.shape[1]), np.float32)
        spread[kept] = mixture - mixture.mean(axis=0)
        return self.solved @ spread

    def compare(self, directions: Floats, kept: Indices) -> Floats:
        """Return (n, k): the kept classes' means around their own centre along directions (F, k)."""
        along = (self.means @ directions)[kept]
        return np.asarray(along - along.mean(axis=0))


def project(head: Head, features: Floats) -> Embeddings:
    """Return (N, D) rows of unit length; a row without a direction becomes zeros."""
    raw = (features - head.mean) @ head.projection
    norms = np.linalg.norm(raw.astype(np.float64), axis=1, keepdims=True)
    usable = np.isfinite(norms) & (norms > 1e-12)
    unit: Embeddings = np.where(usable, raw / np.where(usable, norms, 1.0), 0.0).astype(np.float32)
    return unit


def embed(head: Head, rows: Rows, photos: Indices) -> Embeddings:
    """Return the embeddings of many photos, (len(photos), D), block by block."""
    blocks = [project(head, block) for block in _blocks(rows, photos)]
    return np.concatenate(blocks) if blocks else np.zeros((0, head.dimension), np.float32)


def first_dimensions(embeddings: Embeddings, dimension: int) -> Embeddings:
    """Return what `Head.first` would give: the first columns of (N, D) unit rows, of unit length again."""
    cut = embeddings[:, :dimension]
    norms = np.linalg.norm(cut, axis=1, keepdims=True)
    return np.asarray(np.where(norms > 1e-12, cut / np.maximum(norms, 1e-12), 0.0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Discriminant:
    """What a head is made of, so that heads for some of the classes cost one small eigenproblem instead of a new fit.

    `scatter` is None where the photos have no classes to tell apart.
    """

    photos: Indices
    labels: Labels
    scatter: _Scatter | None

    @staticmethod
    def of(rows: Rows, photos: Indices, labels: Labels, shrinkage: float | None = None) -> Discriminant:
        """Gather the statistics of `photos` (N,) rows with class `labels` (N,) in 0..C-1, every class present.

        `shrinkage` fixes the intensity in [0, 1]. The result does not depend on the order of photos beyond rounding.
        """
        order = np.argsort(labels, kind="stable")
        photos, labels = photos[order], labels[order]
        classes = int(labels[-1]) + 1
        scatter = _scatter(rows, photos, labels, classes, shrinkage) if classes > 1 else None
        return Discriminant(photos, labels, scatter)

    def head(self, rows: Rows, dimension: int, seed: int = 0, kept: NDArray[np.bool_] | None = None) -> Head:
        """Return the head with D <= min(dimension, classes - 1, F), for all classes or those `kept` (C,).

        The residuals of all classes shape the covariance either way; only the kept ones say what is to be told apart.
        """
        if self.scatter is None:
            return _principal(rows, self.photos, dimension)
        scatter = self.scatter
        classes = np.arange(len(scatter.means)) if kept is None else np.flatnonzero(kept)
        directions = _discriminants(scatter, classes, min(dimension, len(classes) - 1, rows.dimension), seed)
        if directions.shape[1] == 0:
            return _principal(rows, self.photos, dimension)
        method, wanted = "lda", min(PADDED, dimension, rows.dimension)
        if directions.shape[1] < wanted:
            residuals = _residuals(rows, self.photos[:_SAMPLE], self.labels[:_SAMPLE], scatter)
            directions = _fill(directions, residuals, scatter.within, wanted)
            method = "lda+pca"
        projection = (directions * scatter.inverse_scale[:, None]).astype(np.float32)
        centre = scatter.centre_of(classes)
        return Head(centre, np.ascontiguousarray(projection), method, scatter.shrinkage, len(self.photos))


def _blocks(rows: Rows, photos: Indices) -> Iterator[Floats]:
    for start in range(0, len(photos), BLOCK):
        yield rows.read(photos[start : start + BLOCK])


def _scatter(rows: Rows, photos: Indices, labels: Labels, classes: int, shrinkage: float | None) -> _Scatter | None:
    """Return the statistics of the photos (sorted by label), or None when the photos do not differ at all."""
    means = np.zeros((classes, rows.dimension), np.float32)  # of many products a large part of the memory: one copy
    total, squares = np.zeros(rows.dimension), np.zeros(rows.dimension)
    for start, block in zip(range(0, len(photos), BLOCK), _blocks(rows, photos), strict=True):
        here, first = np.unique(labels[start : start + BLOCK], return_index=True)
        means[here] += np.add.reduceat(block, first, axis=0)
        total += block.sum(axis=0, dtype=np.float64)
        squares += np.square(block, dtype=np.float64).sum(axis=0)
    deviation = np.sqrt(np.maximum(squares / len(photos) - np.square(total / len(photos)), 0.0))
    alive = deviation > 1e-6 * max(float(np.sqrt(squares.max() / len(photos))), 1e-30)
    if not alive.any():
        return None
    inverse_scale = np.where(alive, 1.0 / np.where(alive, deviation, 1.0), 0.0).astype(np.float32)
    means /= np.bincount(labels, minlength=classes)[:, None].astype(np.float32)
    centre = means.mean(axis=0)
    shape = Shape(len(photos), rows.dimension, len(photos) - classes)
    around = _around(rows, photos, labels, (means, inverse_scale))
    within, shrinkage = within_of(around, shape, shrinkage, LEAST_SHRINKAGE)
    means -= centre
    means *= inverse_scale
    return _Scatter(inverse_scale, centre, means, within.solve(means.T), within, shrinkage)


def _around(rows: Rows, photos: Indices, labels: Labels, standard: tuple[Floats, Floats]) -> Iterator[Floats]:
    """Yield the residuals around the raw class means, scaled, block by block."""
    means, inverse_scale = standard
    for start, block in zip(range(0, len(photos), BLOCK), _blocks(rows, photos), strict=True):
        yield (block - means[labels[start : start + BLOCK]]) * inverse_scale


def _discriminants(scatter: _Scatter, kept: Indices, count: int, seed: int) -> Floats:
    """Return (F, <= count) directions v with v' within v = 1 that tell the `kept` classes apart, best first.

    Directions without any spread are dropped. The problem is solved in class space: v is a mixture of within^-1 means.
    """
    features = scatter.means.shape[1]
    if len(kept) <= min(features, EXACT):
        basis = np.eye(len(kept), dtype=np.float32)
    elif features <= EXACT:  # the means span no more directions than there are features
        basis = np.linalg.qr(scatter.compare(np.eye(features, dtype=np.float32), kept))[0]
    else:
        random = np.random.default_rng(seed).standard_normal((len(kept), count + _OVERSAMPLING))
        basis = random.astype(np.float32)
        for _ in range(_ITERATIONS):
            basis = np.linalg.qr(scatter.compare(scatter.solve(basis, kept), kept))[0]
    solved = scatter.solve(basis, kept)
    gram = (basis.T @ scatter.compare(solved, kept)).astype(np.float64)
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    spread = values > 1e-6 * max(float(values.max(initial=0.0)), 1e-30)
    return np.asarray(solved @ (vectors[:, spread] / np.sqrt(values[spread])).astype(np.float32))


def _residuals(rows: Rows, photos: Indices, labels: Labels, scatter: _Scatter) -> Floats:
    """Return the standardised residuals of a few photos, (n, F)."""
    return (rows.read(photos) - scatter.centre) * scatter.inverse_scale - scatter.means[labels]


def _fill(directions: Floats, residuals: Floats, within: Within, wanted: int) -> Floats:
    """Add principal directions of the residuals, each orthogonal to all before it in the metric `within`, length 1."""
    extra = np.linalg.svd(residuals, full_matrices=False)[2] if len(residuals) else np.zeros((0, len(directions)))
    filled = [column.astype(np.float64) for column in directions.T]
    images = [within.image(column) for column in filled]  # within times each, once
    for candidate in (*extra, *np.eye(wanted, len(directions))):
        if len(filled) == wanted:
            break
        vector = candidate.astype(np.float64)
        before = float(vector @ within.image(vector))
        for other, image in zip(filled, images, strict=True):
            vector = vector - other * float(image @ vector)
        image = within.image(vector)
        length = float(vector @ image)
        if length > 1e-4 * before > 0:
            filled.append(vector / np.sqrt(length))
            images.append(image / np.sqrt(length))
    return np.stack(filled, axis=1).astype(np.float32)


def _principal(rows: Rows, photos: Indices, dimension: int) -> Head:
    """Return a head without classes: uncentred principal directions, or single features where there are none."""
    block = rows.read(photos[:_SAMPLE])
    _, strength, directions = np.linalg.svd(block, full_matrices=False)
    kept = directions[strength > 1e-4 * max(float(strength[0]), 1e-30)][:dimension]
    method = "pca"
    if len(kept) < 2:
        kept, method = np.eye(min(dimension, rows.dimension), rows.dimension, dtype=np.float32), "identity"
    mean = np.zeros(rows.dimension, np.float32)
    return Head(mean, np.ascontiguousarray(kept.T.astype(np.float32)), method, 1.0, len(photos))
