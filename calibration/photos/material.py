"""The photos of a catalogue as arrays: one row per photo, classes by number, roles by name.

Classes are the products with at least one usable reference photo, sorted by SKU, so the order of rows and files changes
nothing. A product whose reference photos all turn out unreadable is left out like one that has none, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from calibration.photos.augment import CROWDED, plain_copies
from calibration.photos.catalogue import ROLES, UNKNOWN, Catalogue, Product
from calibration.photos.embed import Embedded
from calibration.photos.photoset import NONE, Photoset, joined
from calibration.photos.splits import CERTIFY, FIT, split
from edge.errors import CatalogueError

__all__ = ["Material", "copies_wanted", "material_from_embedded", "material_with_copies", "tier_of"]

TIERS = ((5, "0 tail"), (10, "1 mid"))  # fewer reference photos than this; the rest is the head
HEAD_TIER = "2 head"
PROBE = 500


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What calibration works on. `fit` and `certify` are the two parts of the validation photos.

    `copies` (rows of the store, R) holds the rows of R augmented copies of each teaching photo, and a photo's own row
    where it has none; empty means none at all. `crowded` (R, 0 or 1) is the same for copies with other packs looking in
    from the sides, of FIT photos alone: these teach what such a picture does to a similarity, and not the head.
    `shifted` are the photos of `probe` with the rows of their augmented copies.
    """

    products: tuple[Product, ...]
    tiers: tuple[str, ...]
    reference: Photoset
    fit: Photoset
    certify: Photoset
    test: Photoset
    unknown: Photoset
    left_out: tuple[str, ...]
    copies: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    crowded: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    shifted: Photoset = field(default_factory=Photoset.none)

    @property
    def probe(self) -> Photoset:
        """Up to PROBE certifying photos, spread by their sha256: what darkening and blur do to known products."""
        order = sorted(range(len(self.certify)), key=self.certify.digests.__getitem__)
        return self.certify.take(np.array(sorted(order[:PROBE]), np.intp))

    @property
    def teaching(self) -> Photoset:
        """The photos that may teach: reference and fit."""
        return joined([self.reference, self.fit])

    def with_copies(self, photos: Photoset) -> Photoset:
        """Return the photos with their augmented copies behind them; a copy stands for its photo in all but its row."""
        return _behind(photos, self.copies)

    def with_crowded(self, photos: Photoset) -> Photoset:
        """Return the photos with all their copies, crowded ones too, behind them."""
        if self.crowded.size == 0:
            return self.with_copies(photos)
        return _behind(photos, np.concatenate([self.copies, self.crowded], axis=1))


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


def material_with_copies(
    material: Material, count: int, embed: Callable[[Photoset, Sequence[str]], NDArray[np.int64]]
) -> Material:
    """Return the material with `count` copies of each photo that teaches, and a crowded one of each FIT photo.

    `embed` is `calibration.photos.embed.embed_copies` of these photos and names.
    """
    copies = embed(material.teaching, plain_copies(count))
    crowded = embed(material.fit, (CROWDED,) if count else ())
    return replace(material, copies=copies, crowded=crowded[: len(copies)])


def copies_wanted(material: Material, count: int) -> int:
    """Return how many copies `material_with_copies` asks for."""
    return count * len(material.teaching) + (len(material.fit) if count else 0)


def tier_of(reference_photos: int) -> str:
    """Return the tier of a product by its number of reference photos; tiers sort from weakest to strongest."""
    return next((name for limit, name in TIERS if reference_photos < limit), HEAD_TIER)


def _behind(photos: Photoset, copies: NDArray[np.int64]) -> Photoset:
    if copies.size == 0:
        return photos
    rows = copies[photos.rows].T.ravel()
    own = np.tile(np.arange(len(photos)), copies.shape[1])
    has = np.flatnonzero(rows != photos.rows[own])
    return joined([photos, replace(photos.take(own[has]), rows=rows[has])])


def _label(role: str, label: str, position: dict[str, int]) -> int:
    return NONE if role == UNKNOWN else position.get(label, NONE)
