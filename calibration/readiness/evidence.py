"""Everything the checks look at, gathered once: a bundle's own engine on every photo of a catalogue.

Photos are embedded with the engine inside the bundle (head included) and decided by the device's own pipeline, so the
report speaks of what will run. Figures come from test photos where there are any, else from the CERTIFY half of the
validation photos: neither taught head, prototypes or confidence. The half depends on the seed of edge-calibrate, which
must be the same here.

Limits: a product of the catalogue that the bundle does not know cannot be decided on; it is named and left out, and so
is a product of the bundle without photos here. A catalogue that shares no product with the bundle is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from calibration.photos.catalogue import Catalogue
from calibration.photos.embed import Embedded, embed_photos
from calibration.photos.feature_store import FeatureStore
from calibration.photos.fingerprint import fingerprint
from calibration.photos.material import Material, material_from_embedded
from calibration.photos.mix import photo_weights
from calibration.photos.photoset import Photoset
from calibration.readiness.calibration_error import Judged
from calibration.readiness.distances import Seen
from calibration.report.evaluate import decide
from calibration.report.screen import Screen
from edge.bundle import Bundle
from edge.engine_row import split_rows
from edge.engines import EngineSpec, open_reference
from edge.errors import BundleError, InputError
from edge.pipeline import Pipeline
from edge.types import Decision, Embeddings, EngineRows

__all__ = ["Evidence", "Options", "gather", "report_of"]

REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Options:
    """How photos are embedded: CPU threads, the seed that edge-calibrate had, a folder that keeps embeddings."""

    threads: int
    seed: int
    cache: Path | None
    scratch: Path


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Photos as arrays, their embeddings (P, D) by row of `Photoset.rows`, and decisions on `measured` photos.

    `never` (C,) says why the device never accepts a product by itself, "" where it can.
    """

    bundle: Bundle
    material: Material
    embeddings: Embeddings
    measured: Photoset
    measured_on: str
    decisions: tuple[Decision, ...]
    never: tuple[str, ...]
    notes: Mapping[str, tuple[str, ...]]

    @property
    def skus(self) -> tuple[str, ...]:
        """Return the SKUs (C,) in the order of the classes."""
        return tuple(product.sku for product in self.material.products)

    def seen(self) -> Seen:
        """Return product and best candidate of each measured photo."""
        position = {sku: index for index, sku in enumerate(self.skus)}
        best = [position.get(decision.sku or "", -1) for decision in self.decisions]
        return Seen(self.measured.labels, np.array(best, np.int32))

    def judged(self) -> Judged:
        """Return confidence and outcome of each measured photo, weighted to the mix that the bundle promises."""
        weighted = str(self.bundle.info.promise.get("mix", "")).startswith("weight")
        share = np.array(
            [0.0 if p.status == "discontinued" else (p.weight if weighted else 1.0) for p in self.material.products]
        )
        right = [d.sku == sku for d, sku in zip(self.decisions, self.measured.kinds, strict=True)]
        return Judged(
            np.array([decision.confidence for decision in self.decisions], np.float32),
            np.array(right, bool),
            self.measured.labels,
            photo_weights(share, self.measured.labels),
        )


def gather(bundle: Bundle, catalogue: Catalogue, options: Options, screen: Screen) -> Evidence:
    """Embed and decide; raises CatalogueError, InputError, EngineError."""
    known = {one.sku for one in bundle.classes}
    photos = fingerprint(catalogue.photos, options.threads, screen.count("read", len(catalogue.photos)))
    spec = EngineSpec(threads=options.threads, max_batch=bundle.info.max_batch)
    store = FeatureStore(options.cache, options.scratch, bundle.id, bundle.info.dimension + 1)
    with store, open_reference(bundle.info.engine, bundle.graph, spec) as engine:
        advance = screen.count("embed", len(photos.photos))
        embedded = embed_photos(engine, bundle.info.input, store, photos, options.threads, advance)
        material = material_from_embedded(catalogue, embedded, options.seed)
        screen.step("decide")
        rows = _unit(store.read(np.arange(1 + max(embedded.rows.tolist(), default=-1))))
        everything, measured_on = (
            (material.test, "test")
            if len(material.test)
            else (material.certify, "validation (the half that certified)")
        )
        enrolled = [i for i, sku in enumerate(everything.kinds) if sku in known]
        measured = everything.take(np.array(enrolled, np.intp))
        decisions = decide(Pipeline(bundle, engine), rows[measured.rows], measured)
    skus = {product.sku for product in material.products}
    if not skus & known:
        raise InputError(f"{catalogue.path}: shares no product with {bundle.path}; give the catalogue it was made from")
    return Evidence(
        bundle=bundle,
        material=material,
        embeddings=split_rows(rows)[0],
        measured=measured,
        measured_on=measured_on,
        decisions=tuple(decisions),
        never=_never(bundle, material),
        notes=_notes(catalogue, material, embedded, (*photos.warnings, *catalogue.warnings), known),
    )


def report_of(bundle: Bundle) -> Mapping[str, Any]:
    """Return the bundle's own report.json (verified with the bundle); raises BundleError."""
    try:
        report = msgspec.json.decode((bundle.path / REPORT).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{bundle.path / REPORT}: cannot be read ({error}); run edge-calibrate again") from None
    return report if isinstance(report, dict) else {}


def _unit(rows: EngineRows) -> EngineRows:
    """Return rows of unit length again: the store keeps 16 bits. Rows of zeros stay."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: EngineRows = rows / np.where(length > 0, length, np.float32(1.0))
    return unit


def _never(bundle: Bundle, material: Material) -> tuple[str, ...]:
    cuts = bundle.rules.cuts
    reasons: dict[str, str] = {}
    for index, info in enumerate(bundle.classes):
        if info.status == "discontinued":
            reasons[info.sku] = "discontinued: a person looks"
        elif cuts.twin[index] >= 0:
            reasons[info.sku] = "twin: the device asks"
        elif not cuts.accept_confidence[index] <= 1.0:
            reasons[info.sku] = "not certified: never accepted"
    return tuple(reasons.get(product.sku, "") for product in material.products)


def _notes(
    catalogue: Catalogue, material: Material, embedded: Embedded, warnings: tuple[str, ...], known: set[str]
) -> dict[str, tuple[str, ...]]:
    """Return what was left out and warned of, paths without the catalogue's own folder."""
    skus = {product.sku for product in material.products}
    prefix = f"{catalogue.path}/"
    return {
        "not in the bundle": tuple(sorted(skus - known)),
        "in the bundle, without photos here": tuple(sorted(known - skus)),
        "without a reference photo": material.left_out,
        "unreadable photos": tuple(str(path).replace(prefix, "") for path in embedded.unreadable),
        "photos without finite features": tuple(str(path).replace(prefix, "") for path in embedded.not_finite),
        "warnings": tuple(warning.replace(prefix, "") for warning in warnings),
    }
