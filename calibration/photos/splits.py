"""Who teaches and who measures: each validation photo has one of two parts, for good.

    FIT      the smaller half: teaches the head and the prototypes, together with the reference photos; its scores for
             the confidence model come from a head that has not seen the photo (two folds, cross-fitting)
    CERTIFY  the larger half: sets the cut points, and nothing that the cut points are applied to was fitted on it

The part depends on the photo's own sha256 and the seed, not on names, order or number of the others: adding a product
moves no photo of another one. A product's only validation photo goes to CERTIFY.

Limits: photos of one burst land in both halves; take validation photos on different days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["CERTIFY", "FIT", "folds", "split"]

FIT, CERTIFY = 0, 1


def split(labels: NDArray[np.int32], digests: Sequence[bytes], seed: int) -> NDArray[np.int8]:
    """Return FIT or CERTIFY for each validation photo (N,); of n photos of a class, n - n // 2 certify."""
    parts = np.full(len(labels), CERTIFY, np.int8)
    for members in _shuffled(labels, digests, f"split {seed}"):
        parts[members[: len(members) // 2]] = FIT
    return parts


def folds(labels: NDArray[np.int32], digests: Sequence[bytes], seed: int) -> NDArray[np.int8]:
    """Return fold 0 or 1 for each photo (N,), alternating within each class."""
    numbers = np.zeros(len(labels), np.int8)
    for members in _shuffled(labels, digests, f"fold {seed}"):
        numbers[members[1::2]] = 1
    return numbers


def _shuffled(labels: NDArray[np.int32], digests: Sequence[bytes], salt: str) -> list[NDArray[np.intp]]:
    """Return the photos of each class in an order that only the photos' bytes and the salt decide."""
    keys = [hashlib.sha256(salt.encode() + digest).digest() for digest in digests]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.intp)
    by_class = order[np.argsort(labels[order], kind="stable")]
    borders = np.flatnonzero(np.diff(labels[by_class])) + 1
    return list(np.split(by_class, borders)) if len(by_class) else []
