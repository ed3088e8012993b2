"""Photos whose product is known: a sub-folder per product, for measuring what a graph recognises.

Two layouts: one sub-folder per product (`reference/<sku>/`), or a whole catalogue, whose reference, validation and test
photos then all count. Where there are more than wanted, products are drawn, each with all its photos: how many teach a
product is part of what is measured. A photo that stands there twice is taken once: its copy would be judged by a head
that it taught. Pixels are never kept: each graph that is measured has them decoded again.

A product's tier is set by the number of its reference photos, as in calibration: fewer than 5 tail, fewer than 10 mid.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builder.photos import BATCH, SUFFIXES, decoded
from edge.build_folder import InputSpec
from edge.errors import InputError
from edge.preprocess import fit_into
from edge.types import Crops

__all__ = ["TIERS", "Labelled", "find_labelled", "read_labelled", "tier_of"]

ROLES = ("reference", "validation", "test")  # of a catalogue folder
TIERS = ("tail", "mid", "head")
TAIL, MID = 5, 10  # fewer reference photos than this
LEAST_PHOTOS = 2  # of a product: one teaches, one is judged
LEAST_PRODUCTS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """N photos of C products: `labels` (N,) are positions in `skus` and `tiers` (C,). `left_out` photos do not count.

    They cannot be decoded, stand there twice, or are the only one of their product.
    """

    paths: tuple[Path, ...]
    labels: NDArray[np.int32]
    skus: tuple[str, ...]
    tiers: tuple[str, ...]
    left_out: int


def find_labelled(folder: Path, most: int, seed: int) -> Labelled | None:
    """Return up to `most` labelled photos below `folder`; None where it has no sub-folder per product.

    Photos that cannot be decoded are found, and left out, on the way. Raises InputError where `folder` is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; --labelled takes one with a sub-folder per product, or a catalogue")
    piles = _piles(folder)
    tiers = {sku: tier_of(sum(1 for role, _ in photos if role == ROLES[0])) for sku, photos in piles.items()}
    taken, left_out = _distinct(piles, most, seed)
    products = sorted(sku for sku, paths in taken.items() if len(paths) >= LEAST_PHOTOS)
    if len(products) < LEAST_PRODUCTS:
        return None
    paths = [path for sku in products for path in taken[sku]]
    return Labelled(
        paths=tuple(paths),
        labels=np.repeat(np.arange(len(products), dtype=np.int32), [len(taken[sku]) for sku in products]),
        skus=tuple(products),
        tiers=tuple(tiers[sku] for sku in products),
        left_out=left_out + sum(len(paths) for sku, paths in taken.items() if sku not in set(products)),
    )


def read_labelled(labelled: Labelled, spec: InputSpec) -> Iterator[Crops]:
    """Yield all photos in their order, fitted to `spec`, in small batches.

    Raises InputError for one that could be read when it was found and can no longer be.
    """
    for start in range(0, len(labelled.paths), BATCH):
        paths = labelled.paths[start : start + BATCH]
        crops = np.empty((len(paths), spec.height_px, spec.width_px, 3), np.uint8)
        for path, crop in zip(paths, crops, strict=True):
            image = decoded(path)
            if image is None:
                raise InputError(f"{path}: can no longer be read; leave the photos alone until edge-build is done")
            fit_into(image, spec, crop)
        yield crops


def tier_of(reference_photos: int) -> str:
    """Return the tier of a product by its number of reference photos."""
    if reference_photos < TAIL:
        return "tail"
    return "mid" if reference_photos < MID else "head"


def _piles(folder: Path) -> dict[str, list[tuple[str, Path]]]:
    """Return the photos of each product with their role; photos of a plain folder are all reference photos."""
    is_catalogue = (folder / ROLES[0]).is_dir()
    piles: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for role in ROLES if is_catalogue else ROLES[:1]:
        place = folder / role if is_catalogue else folder
        for path in sorted(place.glob("*/*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                piles[path.parent.name].append((role, path))
    return piles


def _distinct(piles: dict[str, list[tuple[str, Path]]], most: int, seed: int) -> tuple[dict[str, list[Path]], int]:
    """Return the usable photos of products drawn until `most` are reached, and how many photos were left out."""
    skus = sorted(piles)
    taken: dict[str, list[Path]] = defaultdict(list)
    seen: set[bytes] = set()
    left_out = 0
    for place in np.random.default_rng(seed).permutation(len(skus)):
        sku = skus[place]
        if len(taken) >= LEAST_PRODUCTS and len(seen) + len(piles[sku]) > most:
            break
        for _, path in piles[sku]:
            digest = _digest(path)
            if digest is None or digest in seen or decoded(path) is None:
                left_out += 1
                continue
            seen.add(digest)
            taken[sku].append(path)
    return taken, left_out


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None
