"""Opens a bundle and catalogues for work on features: the bundle's own engine, cut back to what is in front of its
head.

No build folder is needed, and the features are those of the device. A `--cache` that `edge-calibrate` filled is keyed
by the build that the bundle came from, so a catalogue that was just calibrated is not embedded again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.fit import Settings
from calibration.photos.catalogue import Catalogue
from calibration.photos.embed import embed_copies, embed_photos
from calibration.photos.feature_store import FeatureStore
from calibration.photos.fingerprint import fingerprint
from calibration.photos.material import Material, copies_wanted, material_from_embedded, material_with_copies
from calibration.report.screen import Screen
from calibration.rules.groups import Targets
from calibration.space.head import Head, Rows
from calibration.space.head_graph import cut_head
from edge.bundle import ENGINE_GRAPH, Bundle
from edge.engines import EngineSpec, open_reference
from edge.errors import CatalogueError

__all__ = ["Place", "Workshop", "check_products", "joint_catalogue", "only", "settings_of", "workshop"]

DIMENSION = 192  # asked for by edge-calibrate where nothing else is said


@dataclass(frozen=True, slots=True)
class Place:
    """Where features are kept and how they are made: `cache` folder or None, `scratch` folder, CPU threads, seed."""

    cache: Path | None
    scratch: Path
    threads: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Workshop:
    """Features by row, the photos sorted into their roles, the bundle's head, and what is worth a warning."""

    rows: Rows
    material: Material
    head: Head
    warnings: tuple[str, ...]


@contextmanager
def workshop(bundle: Bundle, catalogue: Catalogue, place: Place, screen: Screen) -> Iterator[Workshop]:
    """Embed what the cache lacks and yield the workshop; raises BundleError, CatalogueError, EngineError."""
    photos = fingerprint(catalogue.photos, place.threads, screen.count("read", len(catalogue.photos)))
    with tempfile.TemporaryDirectory() as folder:
        head = cut_head(bundle.graph, Path(folder) / ENGINE_GRAPH)
        spec = EngineSpec(threads=place.threads, max_batch=bundle.info.max_batch)
        with (
            FeatureStore(place.cache, place.scratch, bundle.info.build_id, len(head.mean)) as store,
            open_reference(bundle.info.engine, Path(folder) / ENGINE_GRAPH, spec) as engine,
        ):
            advance = screen.count("embed", len(photos.photos))
            embedded = embed_photos(engine, bundle.info.input, store, photos, place.threads, advance)
            material = material_from_embedded(catalogue, embedded, place.seed)
            count = settings_of(bundle, place.seed).copies
            advance = screen.count("copies", copies_wanted(material, count))
            material = material_with_copies(
                material,
                count,
                lambda some, names: embed_copies(engine, bundle.info.input, store, some, names, place.threads, advance),
            )
            unread = (f"{path}: not read" for path in (*embedded.unreadable, *embedded.not_finite))
            yield Workshop(store, material, head, (*catalogue.warnings, *photos.warnings, *unread))


def only(catalogue: Catalogue, skus: frozenset[str]) -> Catalogue:
    """Return the catalogue with some of its products; unknown things stay."""
    products = tuple(p for p in catalogue.products if p.sku in skus)
    photos = tuple(photo for photo in catalogue.photos if photo.role == "unknown" or photo.label in skus)
    return replace(catalogue, products=products, photos=photos)


def check_products(bundle: Bundle, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the catalogue's SKUs that the bundle does not know; raises CatalogueError when it lacks some of the
    bundle's.
    """
    known = {entry.sku for entry in bundle.classes}
    here = {product.sku for product in catalogue.products}
    missing = sorted(known - here)
    if missing:
        raise CatalogueError(
            f"{catalogue.path}: lacks {len(missing)} of the bundle's {len(known)} products ({', '.join(missing[:3])}), "
            "expected the catalogue that it was calibrated on; give that one, or calibrate again"
        )
    return tuple(sorted(here - known))


def joint_catalogue(first: Catalogue, second: Catalogue) -> Catalogue:
    """Return both as one; raises CatalogueError when a SKU is in both."""
    shared = sorted({p.sku for p in first.products} & {p.sku for p in second.products})
    if shared:
        raise CatalogueError(
            f"{second.path}: {', '.join(shared[:3])} ({len(shared)} SKUs) are in {first.path} already; expected new "
            "products only: remove them, or number them anew"
        )
    ordered = sorted((*first.products, *second.products), key=lambda product: product.sku)
    return Catalogue(
        path=first.path,
        products=tuple(ordered),
        photos=(*first.photos, *(photo for photo in second.photos if photo.role != "unknown")),
        left_out=(*first.left_out, *second.left_out),
        weighted=first.weighted and second.weighted,
        warnings=(*first.warnings, *second.warnings),
    )


def settings_of(bundle: Bundle, seed: int) -> Settings:
    """Return what the bundle was calibrated for, as far as a bundle says it; `seed` is that of the calibration."""
    promise = bundle.info.promise
    requested = bundle.info.dimension if bundle.info.dimension < bundle.info.classes - 1 else DIMENSION
    return Settings(
        targets=Targets(promise["accept_error"], promise["near_unknown"], promise["certainty"]),
        false_unknown=promise["false_unknown"],
        prototypes=int(np.bincount(bundle.table.owners).max()),
        dimension=max(requested, bundle.info.dimension),
        weighted=str(promise["mix"]).startswith("weight"),
        seed=seed,
        copies=promise["copies"],
    )
