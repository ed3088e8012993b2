"""Bundles in memory with any number of products, and an engine that is never asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from calibration.change.photos import ProductPhotos
from calibration.change.products import NEW, Entry, bundle_of, entries_of, without
from edge.build_folder import InputSpec
from edge.bundle import Bundle, BundleInfo, Golden, Rules
from edge.engine_row import join_rows
from edge.engines.fake import FakeEngine
from edge.parameters import ClassInfo, ConfidenceModel, Cuts, OodModel, PrototypeTable, QualityLimits
from edge.pipeline import Batch, Pipeline
from edge.types import Decision

DIMENSION = 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def direction(seed: int) -> np.ndarray:
    """Return a unit direction; those of different seeds are far apart, but 1 lies beside 0."""
    own = unit(np.random.default_rng(seed).standard_normal(DIMENSION))
    return unit(own + 2.5 * direction(0)) if seed == 1 else own


def shots(seed: int, count: int, spread: float = 0.15) -> np.ndarray:
    """Return embeddings (count, D) of photos of the product `seed`."""
    rng = np.random.default_rng([seed, 1])
    return unit(direction(seed) + spread * unit(rng.standard_normal((count, DIMENSION))))


def rows_of(embeddings: np.ndarray) -> np.ndarray:
    """Return what an engine would give that expects a similarity of 0.8 of every photo."""
    return join_rows(embeddings, np.full(len(embeddings), 0.8, np.float32))


def product_photos(embeddings: np.ndarray) -> ProductPhotos:
    count = len(embeddings)
    paths = tuple(Path(f"{number:02d}.jpg") for number in range(count))
    return ProductPhotos(rows_of(embeddings), np.full(count, 200), np.full(count, 100.0), paths, (), ())


def memory_bundle(count: int, seed: int = 0, per_class: int = 2) -> Bundle:
    """Return a bundle of sku-000, sku-001, ...; all values of all arrays differ, pairs of products are twins."""
    rng = np.random.default_rng(seed)
    prototypes = np.concatenate([shots(number, per_class, 0.1) for number in range(count)])
    scale = 0.8 / 127
    owners = np.repeat(np.arange(count, dtype=np.int32), per_class)
    twin = np.full(count, -1, np.int32)
    successor = np.full(count, -1, np.int32)
    if count >= 5:
        twin[0], twin[1], successor[2] = 1, 0, 4
    statuses = ["discontinued" if number == 2 and count >= 5 else "active" for number in range(count)]
    confidence_cut = rng.uniform(0.5, 0.9, count).astype(np.float32)
    strangeness_cut = (1.0 - rng.uniform(0.5, 0.8, count)).astype(np.float32)
    cuts = Cuts(
        accept_confidence=confidence_cut,
        accept_strangeness=strangeness_cut,
        strict_confidence=confidence_cut + np.linspace(0.01, 0.09, count, dtype=np.float32),
        strict_strangeness=strangeness_cut - np.linspace(0.01, 0.09, count, dtype=np.float32),
        verify_confidence=rng.uniform(0.05, 0.15, count).astype(np.float32),
        source=tuple("global" for _ in range(count)),
        isolated_below=-np.inf,
        twin=twin,
        successor=successor,
        set_gap=0.1,
        set_error=0.05,
        max_set=5,
    )
    confidence = ConfidenceModel(4.0, 12.0, -6.0, rng.normal(0, 0.1, count).astype(np.float32))
    info = BundleInfo(
        engine="onnxruntime",
        backbone="none",
        build_id="0" * 16,
        input=InputSpec(height_px=32, width_px=32, resize="stretch"),
        dimension=DIMENSION,
        max_batch=4,
        classes=count,
        promise={"accept_error": 0.01, "products_covered": count},
    )
    return Bundle(
        id=f"{seed:016d}",
        path=Path("memory"),
        info=info,
        graph=Path("none"),
        classes=tuple(ClassInfo(f"sku-{n:03d}", f"Product {n}", "", "", statuses[n], "head") for n in range(count)),
        table=PrototypeTable(np.rint(prototypes / np.float32(scale)).astype(np.int8), scale, owners),
        rules=Rules(confidence, cuts, OodModel("max_cosine", 0.5, 0.05), QualityLimits(16, 5.0)),
        golden=Golden(np.zeros((0, 32, 32, 3), np.uint8), np.zeros((0, DIMENSION + 1), np.float32)),
    )


def new_info(sku: str) -> ClassInfo:
    return ClassInfo(sku, f"Product {sku}", "", "", NEW, NEW)


def entry(sku: str, seed: int, rows: int = 2) -> Entry:
    prototypes = np.random.default_rng(seed).integers(-127, 128, (rows, DIMENSION)).astype(np.int8)
    return Entry(new_info(sku), prototypes, 0.0, 0.9, 0.2, 0.95, 0.1, 0.3, NEW)


def fake_engine() -> FakeEngine:
    """Return an engine for pipelines that are handed embeddings."""
    return FakeEngine()


def arrays(bundle: Bundle) -> dict[str, object]:
    """Return everything that decides, by name, in a form that compares."""
    cuts = bundle.rules.cuts
    found: dict[str, object] = {f.name: plain(getattr(cuts, f.name)) for f in fields(cuts)}
    found |= {f.name: plain(getattr(bundle.rules.confidence, f.name)) for f in fields(bundle.rules.confidence)}
    found |= {f"table {f.name}": plain(getattr(bundle.table, f.name)) for f in fields(bundle.table)}
    return {**found, "classes": bundle.classes, "ood": bundle.rules.ood, "near": bundle.info.near}


def plain(value: object) -> object:
    return (value.dtype.str, value.tolist()) if isinstance(value, np.ndarray) else value


def removed(bundle: Bundle, order: Sequence[str]) -> Bundle:
    for sku in order:
        entries, near = without(entries_of(bundle), bundle.info.near, sku)
        bundle = bundle_of(bundle, entries, near)
    return bundle


def judged(bundle: Bundle, embeddings: np.ndarray) -> list[Decision]:
    count = len(embeddings)
    crops = np.zeros((0, 0, 0, 3), np.uint8)
    return Pipeline(bundle, fake_engine()).judge(Batch(crops, (200,) * count, (100.0,) * count), rows_of(embeddings))
