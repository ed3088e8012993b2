"""The photos of a catalogue as arrays: one row per photo, classes by number, roles by name.

Classes are the products with at least one usable reference photo, sorted by SKU, so the order of rows and files changes
nothing. A product whose reference photos all turn out unreadable is left out like one that has none, and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.photos.catalogue import ROLES, UNKNOWN, Catalogue, Product
from calibration.photos.embed import Embedded
from calibration.photos.splits import CERTIFY, FIT, split
from edge.errors import CatalogueError

__all__ = ["NONE", "Material", "Photoset", "joined", "material_from_embedded", "tier_of"]

NONE = -1  # no class
TIERS = ((5, "0 tail"), (10, "1 mid"))  # fewer reference photos than this; the rest is the head
HEAD_TIER = "2 head"


@dataclass(frozen=True, slots=True, eq=False)
class Photoset:
    """Some photos, n of them: rows of the feature store, classes (NONE for unknown things), and how good they are.

    `kinds` are the labels as the folders name them: SKUs, or kinds of unknown things.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int32]
    digests: tuple[bytes, ...]
    sides_px: NDArray[np.int64]
    sharpness: NDArray[np.float64]
    kinds: tuple[str, ...]
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: NDArray[np.intp]) -> Photoset:
        """Return some of the photos, by position."""
        return Photoset(
            self.rows[chosen],
            self.labels[chosen],
            tuple(self.digests[i] for i in chosen),
            self.sides_px[chosen],
            self.sharpness[chosen],
            tuple(self.kinds[i] for i in chosen),
            tuple(self.paths[i] for i in chosen),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What calibration works on. `fit` and `certify` are the two parts of the validation photos."""

    products: tuple[Product, ...]
    tiers: tuple[str, ...]
    reference: Photoset
    fit: Photoset
    certify: Photoset
    test: Photoset
    unknown: Photoset
    left_out: tuple[str, ...]


def joined(photosets: Sequence[Photoset]) -> Photoset:
    """Return the photos of all sets, at least one, in order."""
    return Photoset(
        np.concatenate([photos.rows for photos in photosets]),
        np.concatenate([photos.labels for photos in photosets]),
        tuple(chain.from_iterable(photos.digests for photos in photosets)),
        np.concatenate([photos.sides_px for photos in photosets]),
        np.concatenate([photos.sharpness for photos in photosets]),
        tuple(chain.from_iterable(photos.kinds for photos in photosets)),
        tuple(chain.from_iterable(photos.paths for photos in photosets)),
    )


def material_from_embedded(catalogue: Catalogue, embedded: Embedded, seed: int) -> Material:
    """Sort the photos into their roles; raises CatalogueError when no product is left."""
    taught = {photo.label for photo in embedded.photos if photo.role == ROLES[0]}
    products = tuple(product for product in catalogue.products if product.sku in taught)
    if not products:
        raise CatalogueError(f"{catalogue.path}: no reference photo could be read; expected JPEG or PNG pictures")
    position = {product.sku: index for index, product in enumerate(products)}
    roles = np.array([photo.role for photo in embedded.photos])
    labels = np.array([_label(photo.role, photo.label, position) for photo in embedded.photos], np.int32)
    everything = Photoset(
        embedded.rows,
        labels,
        embedded.digests,
        embedded.sides_px,
        embedded.sharpness,
        tuple(photo.label for photo in embedded.photos),
        tuple(photo.path for photo in embedded.photos),
    )
    known = {role: everything.take(np.flatnonzero((roles == role) & (labels != NONE))) for role in ROLES}
    validation = known["validation"]
    parts = split(validation.labels, validation.digests, seed)
    photos = np.bincount(known["reference"].labels, minlength=len(products))
    return Material(
        products=products,
        tiers=tuple(tier_of(int(count)) for count in photos),
        reference=known["reference"],
        fit=validation.take(np.flatnonzero(parts == FIT)),
        certify=validation.take(np.flatnonzero(parts == CERTIFY)),
        test=known["test"],
        unknown=everything.take(np.flatnonzero(roles == UNKNOWN)),
        left_out=tuple(sorted({*catalogue.left_out, *(p.sku for p in catalogue.products if p.sku not in taught)})),
    )


def tier_of(reference_photos: int) -> str:
    """Return the tier of a product by its number of reference photos; tiers sort from weakest to strongest."""
    return next((name for limit, name in TIERS if reference_photos < limit), HEAD_TIER)


def _label(role: str, label: str, position: dict[str, int]) -> int:
    return NONE if role == UNKNOWN else position.get(label, NONE)
