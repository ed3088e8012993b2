"""Which products go together when a catalogue is cut smaller: a subset that splits families would look too easy.

A family is the column `family` of skus.csv; without it, brand and category; without a brand, chains of products whose
centroids are each other's nearest (the share LINKED of products that is nearest to its neighbour is linked to it).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.photos.catalogue import Product
from edge.types import Embeddings

__all__ = ["families_from_products", "subset"]

LINKED = 0.5


def families_from_products(products: Sequence[Product], centres: Embeddings) -> tuple[tuple[str, ...], str]:
    """Return a family name per product (C,), and where it comes from; `centres` (C, D) are used without columns."""
    for keys in (("family",), ("brand", "category")):
        named = [tuple(p.category if key == "category" else p.extra.get(key, "") for key in keys) for p in products]
        if all(name[0] for name in named):
            return tuple("/".join(name) for name in named), " and ".join(keys)
    return _clusters(centres), "clusters of centroids"


def subset(families: Sequence[str], wanted: int, seed: int) -> NDArray[np.bool_]:
    """Return flags (C,) of about `wanted` products: whole families in a random order, the last one cut to fit."""
    generator = np.random.default_rng(seed)
    names = sorted(set(families))
    rank = dict(zip(names, generator.permutation(len(names)).tolist(), strict=True))
    order = np.argsort([rank[name] for name in families], kind="stable")
    kept = np.zeros(len(families), np.bool_)
    kept[order[:wanted]] = True
    return kept


def _clusters(centres: Embeddings) -> tuple[str, ...]:
    """Link each product to its nearest neighbour where that one is nearer than most nearest neighbours are."""
    count = len(centres)
    if count < 3:
        return tuple(str(index) for index in range(count))
    nearest = np.empty(count, np.int64)
    cosine = np.empty(count)
    for index in range(count):
        row = centres @ centres[index]
        row[index] = -2.0
        nearest[index], cosine[index] = int(row.argmax()), float(row.max())
    near = cosine >= np.quantile(cosine, 1.0 - LINKED)
    root = np.arange(count)

    def find(index: int) -> int:
        while root[index] != index:
            index = int(root[index])
        return index

    for index in np.flatnonzero(near).tolist():
        first, second = sorted((find(index), find(int(nearest[index]))))
        root[second] = first
    return tuple(str(find(index)) for index in range(count))
