"""For which mix of products the figures hold: uniform over the products on sale, or the shares of the `weight` column.

Every certified figure is a weighted one: a photo of class c weighs w_c / n_c, w_c the share of the class in the mix and
n_c its photos. Products without photos to certify on cannot be in the mix: they are named, and never accepted.

A certificate is only as strong as its heaviest photo (see `calibration.rules.bounds`), so one product with a single
photo, or a best seller with three, could cost every other product its certificate. Those with the fewest photos for
their share are therefore left out of the mix too, up to DROP of it and only while that makes the certificate stronger.
Counts and shares alone decide, never how the photos came out, so nothing is biased by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DROP", "Mix", "mix_of", "photo_weights"]

DROP = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """`share` (C,) sums to 1 over the classes that are `covered` (C,), else 0; `wanted` (C,) over all on sale."""

    wanted: NDArray[np.float64]
    share: NDArray[np.float64]
    covered: NDArray[np.bool_]


def mix_of(wanted: NDArray[np.float64], photos: NDArray[np.int64]) -> Mix:
    """Return the mix for wanted shares (C,) >= 0 (any scale) and numbers of photos (C,) to certify on."""
    wanted = wanted / max(float(wanted.sum()), 1e-300)
    possible = (wanted > 0) & (photos > 0)
    share = np.where(possible, wanted, 0.0)
    if not possible.any():
        return Mix(wanted, np.zeros(len(wanted)), possible)
    share = share / share.sum()
    per_share = np.where(possible, photos / np.where(possible, share, 1.0), np.inf)
    best, strongest = 0.0, 0.0
    for floor in np.unique(per_share[possible]):
        kept = float(share[possible & (per_share >= floor)].sum())
        if kept < 1.0 - DROP:
            break
        if kept * floor > strongest * (1.0 + 1e-9):
            best, strongest = float(floor), kept * floor
    covered = possible & (per_share >= best)
    share = np.where(covered, share, 0.0)
    return Mix(wanted, share / share.sum(), covered)


def photo_weights(share: NDArray[np.float64], true: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the weight of each photo (N,) of class `true` (N,): each class has its `share` (C,), if it has photos."""
    counts = np.bincount(true, minlength=len(share))
    return (share / np.maximum(counts, 1))[true]
