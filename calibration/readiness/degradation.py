"""How accuracy falls as the catalogue grows, measured inside it: the best candidate among random parts of it.

Parts of 25, 50, 75 and 100 % of the products, drawn several times (seeded), once by whole families (column `family` of
skus.csv, if any) and once product by product: what the second loses beyond the first, siblings cost. Every product
counts alike.

Limits: head and prototypes were fitted on the whole catalogue, so small parts look a little better or worse than a
bundle made for them; what a larger catalogue will do is not said here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.readiness.evidence import Evidence
from edge import lookup

__all__ = ["Step", "degradation", "parts_of_families"]

SHARES = (0.25, 0.5, 0.75, 1.0)
DRAWS = 5
MIN_PRODUCTS = 20
MOST_PHOTOS = 4000
_BLOCK = 256

Members = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Step:
    """Mean top-1 over products at `products` products, the lowest and the highest of the draws.

    `drawn` says how the parts came about: `whole families` or `one by one`.
    """

    drawn: str
    products: int
    top1: float
    low: float
    high: float


def degradation(evidence: Evidence, seed: int) -> list[Step]:
    """Return the curve, smallest part first; nothing for a catalogue too small or without photos."""
    known = {info.sku: index for index, info in enumerate(evidence.bundle.classes)}
    photos = evidence.measured
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.permutation(len(photos))[:MOST_PHOTOS])
    labels = np.array([known[photos.kinds[i]] for i in chosen.tolist()], np.intp)
    if len(known) < MIN_PRODUCTS or len(labels) == 0:
        return []
    family = {product.sku: product.extra.get("family", "") or product.sku for product in evidence.material.products}
    skus = [info.sku for info in evidence.bundle.classes]
    single = parts_of_families(skus, seed)
    whole = parts_of_families([family.get(sku, sku) for sku in skus], seed) if _has_families(family) else []
    right = _right(evidence, photos.rows[chosen], labels, single + whole)
    accuracy = [_uniform(right[number], labels, members) for number, members in enumerate(single + whole)]
    found = _steps("one by one", single, accuracy[: len(single)])
    return (_steps("whole families", whole, accuracy[len(single) :]) + found) if whole else found


def _has_families(family: Mapping[str, str]) -> bool:
    return len(set(family.values())) < len(family)


def _right(evidence: Evidence, rows: NDArray[np.int64], labels: NDArray[np.intp], parts: Sequence[Members]) -> Members:
    """Return (parts, N): whether the best candidate among the members of each part is the photo's own product."""
    index = lookup.index_from_table(evidence.bundle.table)
    right = np.zeros((len(parts), len(labels)), bool)
    for start in range(0, len(labels), _BLOCK):
        block = slice(start, start + _BLOCK)
        scores = lookup.similarities(index, evidence.embeddings[rows[block]])
        for number, members in enumerate(parts):
            best = np.where(members[None, :], scores, -2.0).argmax(axis=1)
            right[number, block] = best == labels[block]
    return right


def _steps(drawn: str, parts: Sequence[Members], accuracy: Sequence[float | None]) -> list[Step]:
    found = []
    for start in range(0, len(parts), DRAWS):
        values = [value for value in accuracy[start : start + DRAWS] if value is not None]
        if values:
            products = int(np.mean([members.sum() for members in parts[start : start + DRAWS]]))
            found.append(Step(drawn, products, float(np.mean(values)), min(values), max(values)))
    return found


def parts_of_families(families: Sequence[str], seed: int) -> list[Members]:
    """Return DRAWS parts (C,) per share: whole families in random order until the share is reached."""
    names, member_of = np.unique(np.array(families), return_inverse=True)
    sizes = np.bincount(member_of)
    parts = []
    for share in SHARES:
        for draw in range(DRAWS):
            order = np.random.default_rng([seed, draw]).permutation(len(names))
            before = np.cumsum(sizes[order]) - sizes[order]
            taken = np.zeros(len(names), bool)
            taken[order[before < share * len(families) - 1e-9]] = True
            parts.append(taken[member_of])
    return parts


def _uniform(right: Members, labels: NDArray[np.intp], members: Members) -> float | None:
    """Return the mean over the products of the part of their shares right; None when none has a photo."""
    used = members[labels]
    photos = np.bincount(labels[used], minlength=len(members))
    hits = np.bincount(labels[used & right], minlength=len(members))
    seen = photos > 0
    return float((hits[seen] / photos[seen]).mean()) if seen.any() else None
