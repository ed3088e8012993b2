"""A shrunken linear discriminant from the dot products of photos alone: what a graph's features can tell apart.

Fisher's discriminant with the within-class covariance S drawn towards a multiple of the identity, as calibration's head
(Ledoit & Wolf, J. Multivariate Analysis 88, 2004, with a fixed intensity): the directions v that maximise between /
within with v' S v = 1, every class counting once. There are more features than photos here, so everything is solved
among photos: with R the n residuals that taught, S^-1 is, by Woodbury's identity and but for a factor, the identity
less R' (R R' + c I)^-1 R. One matrix of dot products (N, N) thus serves every cross-fit.

A table of prototypes is made as calibration makes it: the mean direction, or spherical k-means (Dhillon & Modha,
Machine Learning 42, 2001) whose centres are drawn towards the mean, in int8 with one scale.

Left to calibration: augmented copies, the choice of dimension, cut points. So shares here lie under those of a bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.parameters import PrototypeTable
from edge.types import Embeddings

__all__ = ["Products", "dot_products", "embeddings_from", "table_from"]

SHRINKAGE = 0.1  # the least of calibration; of 0.01 to 0.3 none differs by a point on 1,000 rendered products
PULL = 4.0  # a centre of n photos counts as n / (n + PULL), the mean of its product as the rest
ROUNDS = 10

Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int32]
Places: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Dot products (N, N) of photos around their mean, and how many features they are summed over."""

    values: Floats
    features: int


def dot_products(features: Embeddings) -> Products:
    """Return the dot products of features (N, F)."""
    centred = features - features.mean(axis=0)
    return Products(np.asarray(centred @ centred.T, np.float64), features.shape[1])


def embeddings_from(products: Products, taught: Places, labels: Labels, dimension: int) -> Embeddings:
    """Return (N, d <= dimension) unit rows of all photos, by the head that the photos `taught` (n,) make.

    `labels` (n,) are their classes 0..C-1, each present. d is less than `dimension` where classes are few, 1 where
    nothing tells them apart.
    """
    mean = np.zeros((len(taught), int(labels.max()) + 1))
    mean[np.arange(len(taught)), labels] = 1.0 / np.bincount(labels)[labels]
    centre = mean.mean(axis=1)
    inner = products.values[np.ix_(taught, taught)]
    towards = products.values[:, taught] - centre @ inner  # all photos from the centre of the classes
    between = mean - centre[:, None]
    means, spread = inner @ between, towards @ between
    gram = between.T @ means
    residuals = inner  # from here on without the means of the classes, in place: it is as large as all photos squared
    residuals -= (mean.T @ residuals)[labels]
    residuals -= (residuals @ mean)[:, labels]
    total = float(np.trace(residuals))  # (n - C) times the variances of all features
    if total > max(1e-9 * float(np.trace(products.values)), 1e-30):
        lift = SHRINKAGE / (1.0 - SHRINKAGE) * total / products.features
        residuals[np.diag_indices(len(taught))] += lift
        pulled = means - (mean.T @ means)[labels]
        solved = np.linalg.solve(residuals, pulled)
        gram -= pulled.T @ solved
        towards -= (towards @ mean)[:, labels]
        spread -= towards @ solved
    values, vectors = np.linalg.eigh((gram + gram.T) / 2.0)
    kept = np.flatnonzero(values > max(1e-9 * float(values[-1]), 1e-30))[::-1][:dimension]
    if len(kept) == 0:
        return _unit(np.zeros((len(products.values), 1)))
    return _unit(spread @ (vectors[:, kept] / np.sqrt(values[kept])))


def table_from(embeddings: Embeddings, labels: Labels, count: int) -> PrototypeTable:
    """Return the int8 table of unit rows (n, D) of classes 0..C-1, each present; at most `count` rows a class."""
    order = np.argsort(labels, kind="stable")
    borders = np.flatnonzero(np.diff(labels[order])) + 1
    found = [_centres(embeddings[members], count) for members in np.split(order, borders)]
    owners = np.repeat(np.arange(len(found), dtype=np.int32), [len(rows) for rows in found])
    rows = np.concatenate(found)
    scale = max(float(np.abs(rows).max()), 1e-12) / 127.0
    return PrototypeTable(np.rint(rows / np.float32(scale)).astype(np.int8), scale, owners)


def _centres(photos: Embeddings, count: int) -> Embeddings:
    mean = _unit(photos.mean(axis=0, keepdims=True, dtype=np.float64))
    if count == 1 or len(photos) <= 1:
        return mean
    chosen = [int((photos @ mean[0]).argmax())]
    nearest = photos @ photos[chosen[0]]
    while len(chosen) < min(count, len(photos)) and nearest.min() <= 1.0 - 1e-6:
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, photos @ photos[chosen[-1]])
    centres, owner = photos[chosen], np.zeros(0, np.intp)
    for _ in range(ROUNDS):
        nearer = (photos @ centres.T).argmax(axis=1)
        if np.array_equal(nearer, owner):
            break
        owner = nearer
        members = owner[None, :] == np.arange(len(centres))[:, None]
        sizes = members.sum(axis=1, keepdims=True)
        centres = np.where(sizes > 0, _unit(members.astype(np.float64) @ photos), centres)
    trust = sizes / (sizes + PULL)
    return _unit(trust * centres + (1.0 - trust) * mean)


def _unit(rows: NDArray[np.floating]) -> Embeddings:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    first = np.eye(1, rows.shape[1])
    return np.where(norms > 1e-12, rows / np.where(norms > 1e-12, norms, 1.0), first).astype(np.float32)
