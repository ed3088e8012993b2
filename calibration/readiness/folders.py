"""Folders under the wrong name: the photos of two products swapped, or one product's photos that show another.

For a role (validation, test) with photo means v and reference centroids r, the gain of taking product a for b is
g(a, b) = v_a . r_b - v_a . r_a: negative when the labels are right. Two rules, both on robust statistics, since the
head was fitted with the wrong labels too and draws swapped products together:

swapped     g(a, b) > 0 and g(b, a) > 0, each at least half of the best gain over all products; their mean is at
            least LEAST_GAIN of the distance between r_a and r_b (a full swap gives up to +1 of it, right labels about
            -1, twins 0), and at least SURE standard errors. The noise of one photo along r_b - r_a grows with its
            length; its scale is the median over all products.
misplaced   v_a . r_a lies FAR robust deviations under that of the products, and v_a . r_b among the usual ones.

Limits: products that lie as close as twins cannot be told apart by this, swapped or not. When reference and validation
photos are swapped alike, nothing contradicts and nothing is found. Which of two folders is the wrong one cannot be told
from two of them alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.photos.photoset import Photoset
from calibration.space.table import centroids
from edge.types import Embeddings

__all__ = ["FolderFinding", "wrong_folders"]

LEAST_GAIN, NEAR_BEST, SURE, FAR, USUAL = 0.25, 0.5, 4.0, 6.0, 4.0
MIN_PHOTOS = 2
_MOST = (
    400  # products looked at pairwise: more of them under suspicion means that labels and photos do not belong together
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FolderFinding:
    """The photos of `first` in `role` look like reference photos of `second`, and for `swapped` the reverse too.

    `strength` is in standard errors (swapped) or robust deviations (misplaced).
    """

    kind: str
    role: str
    first: int
    second: int
    photos: int
    strength: float


@dataclass(frozen=True, slots=True, eq=False)
class _Space:
    """Reference centroids (C, D), photo means (C, D) of a role, numbers of photos (C,), own similarity (C,)."""

    centres: Embeddings
    means: Embeddings
    photos: NDArray[np.int64]
    own: Floats
    noise: float  # of one photo, per unit of the length of r_b - r_a

    def gains(self, chosen: NDArray[np.intp]) -> Floats:
        """Return (len(chosen), C): g(a, c) for the chosen products a and every product c; -2 where c is a."""
        found: Floats = (self.means[chosen] @ self.centres.T).astype(np.float64) - self.own[chosen, None]
        found[np.arange(len(chosen)), chosen] = -2.0
        return found


def wrong_folders(embeddings: Embeddings, reference: Photoset, photos: Photoset, role: str) -> list[FolderFinding]:
    """Return what is wrong with the folders of a role; every class needs a reference photo. Strongest first."""
    classes = int(reference.labels.max()) + 1 if len(reference) else 0
    if classes < 2 or len(photos) == 0:
        return []
    space = _space(embeddings, reference, photos, classes)
    best = _best_gain(space)
    suspects = np.flatnonzero((space.photos >= MIN_PHOTOS) & (best > 0))
    suspects = suspects[np.argsort(-best[suspects], kind="stable")[:_MOST]]
    if len(suspects) == 0:
        return []
    gains = space.gains(suspects)
    swapped = _swapped(space, suspects, gains, role)
    taken = {c for finding in swapped for c in (finding.first, finding.second)}
    return swapped + [f for f in _misplaced(space, suspects, gains, role) if f.first not in taken]


def _space(embeddings: Embeddings, reference: Photoset, photos: Photoset, classes: int) -> _Space:
    centres = centroids(embeddings[reference.rows], reference.labels, classes)
    counts = np.bincount(photos.labels, minlength=classes)
    means = np.zeros_like(centres)
    rows = embeddings[photos.rows]
    np.add.at(means, photos.labels, rows)
    means /= np.maximum(counts, 1)[:, None].astype(np.float32)
    own = np.einsum("cd,cd->c", means, centres).astype(np.float64)
    return _Space(centres, means, counts, own, _noise(rows, photos.labels, centres, means, counts))


def _noise(
    rows: Embeddings, labels: NDArray[np.int32], centres: Embeddings, means: Embeddings, counts: NDArray[np.int64]
) -> float:
    """Return the median over products of a photo's deviation along the way to the nearest other product."""
    towards = np.empty(len(centres), np.intp)
    for start in range(0, len(centres), 1024):
        block = centres[start : start + 1024] @ centres.T
        block[np.arange(len(block)), start + np.arange(len(block))] = -2.0
        towards[start : start + 1024] = block.argmax(axis=1)
    way = centres[towards] - centres
    length = np.linalg.norm(way, axis=1)
    along = np.einsum("nd,nd->n", rows - means[labels], way[labels]) / np.maximum(length[labels], 1e-6)
    variance = np.bincount(labels, np.square(along), len(centres)) / np.maximum(counts - 1, 1)
    usable = (counts > MIN_PHOTOS) & (length > 1e-6)
    return max(float(np.sqrt(np.median(variance[usable]))) if usable.any() else 0.1, 1e-3)


def _best_gain(space: _Space) -> Floats:
    """Return (C,): the largest gain of each product over all others; -2 without photos."""
    best = np.empty(len(space.own))
    for start in range(0, len(best), 1024):
        best[start : start + 1024] = space.gains(np.arange(start, min(start + 1024, len(best)))).max(axis=1)
    return np.where(space.photos > 0, best, -2.0)


def _swapped(space: _Space, suspects: NDArray[np.intp], gains: Floats, role: str) -> list[FolderFinding]:
    mutual = gains[:, suspects]
    wanted = (mutual > 0) & (mutual >= NEAR_BEST * gains.max(axis=1)[:, None])
    found = []
    for i, j in np.argwhere(wanted & wanted.T).tolist():
        if i >= j:
            continue
        first, second = sorted((int(suspects[i]), int(suspects[j])))
        n = space.photos[suspects[[i, j]]]
        gain = float((n[0] * mutual[i, j] + n[1] * mutual[j, i]) / n.sum())
        distance = 1.0 - float(space.centres[first] @ space.centres[second])
        error = space.noise * float(np.sqrt(2.0 * max(distance, 1e-9) / n.sum()))
        if gain >= LEAST_GAIN * distance and gain >= SURE * error:
            found.append(FolderFinding("swapped", role, first, second, int(n.sum()), gain / error))
    found.sort(key=lambda finding: (-finding.strength, finding.first, finding.second))
    taken: set[int] = set()
    chosen = []
    for finding in found:
        if not taken & {finding.first, finding.second}:
            taken |= {finding.first, finding.second}
            chosen.append(finding)
    return chosen


def _misplaced(space: _Space, suspects: NDArray[np.intp], gains: Floats, role: str) -> list[FolderFinding]:
    known = space.own[space.photos > 0]
    usual = float(np.median(known))
    deviation = max(1.4826 * float(np.median(np.abs(known - usual))), 1e-3)
    found = []
    for row, own in enumerate(suspects.tolist()):
        other = int(gains[row].argmax())
        below = (usual - space.own[own]) / deviation
        fits = space.own[own] + gains[row, other] >= usual - USUAL * deviation
        if below >= FAR and fits:
            found.append(FolderFinding("misplaced", role, own, other, int(space.photos[own]), float(below)))
    return sorted(found, key=lambda finding: (-finding.strength, finding.first))
