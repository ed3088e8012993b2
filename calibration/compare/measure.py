"""What two builds recognise of the same photos, product by product.

Each build teaches a head of its own with the reference and FIT photos and looks up the certifying and test photos, at
one shape for both: the same steps as in calibration, without copies, which would cost twice the time and change the
difference little. Products count alike. Paired by photo, so what a photo is like does not blur the difference;
intervals by a bootstrap over products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from calibration.photos.material import Material
from calibration.photos.photoset import joined
from calibration.rules.lesson import Taught
from calibration.space.head import Rows
from calibration.space.shape import Shape
from edge import lookup

__all__ = ["ALL", "Compared", "Line", "Loss", "compared", "recognised"]

DIMENSION = 128
DRAWS = 1000
ALL, BOTTOM = "all", "worst tenth of products"
MIN_PHOTOS = 500  # below, a difference of a point is luck
NAMED = 20
_BLOCK = 1024

Indices = NDArray[np.int32]


class Line(Struct, frozen=True, kw_only=True):
    """Some products: share of photos right by each build, products alike; `low` and `high` bound the loss at 95 %."""

    name: str
    products: int
    photos: int
    baseline: float
    build: float
    low: float
    high: float

    @property
    def loss(self) -> float:
        """What the build recognises less than the baseline, a share."""
        return self.baseline - self.build

    @property
    def has_interval(self) -> bool:
        """Whether the loss has bounds; that of the worst tenth, which is another one for each build, has none."""
        return math.isfinite(self.low)

    @property
    def is_judged(self) -> bool:
        """Whether there are bounds, and photos enough, to judge the loss."""
        return self.has_interval and self.photos >= MIN_PHOTOS


class Loss(Struct, frozen=True, kw_only=True):
    """A product of which the build recognises fewer photos."""

    sku: str
    name: str
    tier: str
    photos: int
    baseline: int
    build: int


class Compared(Struct, frozen=True, kw_only=True):
    """Everything, the tiers, and the worst tenth; `same` is the share of photos with the same best candidate."""

    lines: tuple[Line, ...]
    same: float
    lost_most: tuple[Loss, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Recognised:
    """The photos that one build looked up: digests, true classes (N,), best classes (N,)."""

    digests: tuple[bytes, ...]
    true: Indices
    best: Indices


def recognised(material: Material, rows: Rows, seed: int) -> Recognised:
    """Teach with the photos that may, and look up all others of the catalogue's products."""
    fresh = joined([material.certify, material.test])
    taught = Taught.of(rows, material.teaching, fresh, DIMENSION, seed)
    shape = Shape(min(DIMENSION, taught.head.dimension), 1)
    index, found = lookup.index_from_table(taught.table(shape)), taught.at(shape)
    parts = [lookup.similarities(index, found[at : at + _BLOCK]).argmax(axis=1) for at in range(0, len(found), _BLOCK)]
    best = np.concatenate(parts).astype(np.int32) if parts else np.zeros(0, np.int32)
    return Recognised(fresh.digests, fresh.labels, best)


def compared(material: Material, baseline: Recognised, build: Recognised, seed: int) -> Compared:
    """Compare photo by photo; a photo that only one build could read is left out."""
    place = {digest: index for index, digest in enumerate(build.digests)}
    pairs = [(index, place[digest]) for index, digest in enumerate(baseline.digests) if digest in place]
    one, two = (np.array(side, np.intp) for side in zip(*pairs, strict=True)) if pairs else (np.zeros(0, np.intp),) * 2
    true, first, second = baseline.true[one], baseline.best[one], build.best[two]
    classes = len(material.products)
    photos = np.bincount(true, minlength=classes)
    right = [np.bincount(true[best == true], minlength=classes) for best in (first, second)]
    groups = [(ALL, np.flatnonzero(photos > 0))]
    for tier in sorted(set(material.tiers)):
        groups.append((tier.partition(" ")[2], np.flatnonzero([t == tier for t in material.tiers] & (photos > 0))))
    lines = [_line(name, members, photos, right, seed) for name, members in groups if len(members)]
    lines += _bottom(groups[0][1], photos, right)
    return Compared(
        lines=tuple(lines),
        same=float((first == second).mean()) if len(first) else 1.0,
        lost_most=_lost_most(material, photos, right),
    )


def _line(
    name: str, members: NDArray[np.intp], photos: NDArray[np.int64], right: Sequence[NDArray[np.int64]], seed: int
) -> Line:
    shares = [hits[members] / photos[members] for hits in right]
    drawn = np.random.default_rng(seed).integers(0, len(members), (DRAWS, len(members)))
    losses = (shares[0] - shares[1])[drawn].mean(axis=1)
    low, high = np.quantile(losses, [0.025, 0.975])
    return Line(
        name=name,
        products=len(members),
        photos=int(photos[members].sum()),
        baseline=float(shares[0].mean()),
        build=float(shares[1].mean()),
        low=float(low),
        high=float(high),
    )


def _bottom(
    members: NDArray[np.intp], photos: NDArray[np.int64], right: Sequence[NDArray[np.int64]]
) -> tuple[Line, ...]:
    """Return the tenth of the products that each build recognises worst, its own tenth for each."""
    count = len(members) // 10
    if count == 0:
        return ()
    means = [float(np.sort(hits[members] / photos[members])[:count].mean()) for hits in right]
    least = np.sort(photos[members])[:count]
    return (
        Line(
            name=BOTTOM,
            products=count,
            photos=int(least.sum()),
            baseline=means[0],
            build=means[1],
            low=float("nan"),
            high=float("nan"),
        ),
    )


def _lost_most(material: Material, photos: NDArray[np.int64], right: Sequence[NDArray[np.int64]]) -> tuple[Loss, ...]:
    fewer = right[0] - right[1]
    order = sorted(np.flatnonzero(fewer > 0).tolist(), key=lambda i: (-fewer[i] / photos[i], -fewer[i], i))
    return tuple(
        Loss(
            sku=material.products[i].sku,
            name=material.products[i].name,
            tier=material.tiers[i].partition(" ")[2],
            photos=int(photos[i]),
            baseline=int(right[0][i]),
            build=int(right[1][i]),
        )
        for i in order[:NAMED]
    )
