"""Writes the bundle: graph with the head, parameters, golden crops and both reports, all or nothing.

The new graph is run on the golden crops before the bundle appears, so a bundle whose engine differs from its prototypes
is never seen by a device (EngineError instead).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from calibration.fit import Fitted, Settings
from calibration.photos.embed import read_photo
from calibration.photos.material import Material
from calibration.photos.photoset import joined
from calibration.report.page import page_from_values
from calibration.report.values import promise_of
from calibration.rules.allowance import class_infos
from calibration.space.head import Rows
from calibration.space.head_graph import append_head, check_head_graph
from edge.build_folder import BuildFolder
from edge.bundle import ENGINE_GRAPH, Bundle, BundleInfo, Golden, write_bundle, write_parameters
from edge.engines import EngineSpec, open_reference
from edge.errors import CatalogueError
from edge.ports import Engine
from edge.preprocess import fit as fit_crop
from edge.types import Crops

__all__ = ["GOLDEN_CROPS", "REPORT_PAGE", "bundle_in_memory", "write"]

GOLDEN_CROPS = 8
REPORT, REPORT_PAGE = "report.json", "report.html"


def bundle_in_memory(build: BuildFolder, fitted: Fitted, material: Material, settings: Settings) -> Bundle:
    """Return the bundle as it will be, for the device's pipeline; it has no graph and no golden crops yet."""
    info = BundleInfo(
        engine=build.info.engine,
        backbone=build.info.backbone,
        build_id=build.id,
        input=build.info.input,
        dimension=fitted.head.dimension,
        max_batch=build.info.max_batch,
        classes=len(material.products),
        promise=promise_of(fitted, settings),
        network_mib=build.info.network_mib,
    )
    nothing = np.zeros((0, build.info.input.height_px, build.info.input.width_px, 3), np.uint8)
    golden = Golden(nothing, np.zeros((0, fitted.head.dimension + 1), np.float32))
    return Bundle("", Path(), info, build.graph, class_infos(material), fitted.table, fitted.rules, golden)


def write(out: Path, bundle: Bundle, fitted: Fitted, material: Material, rows: Rows, values: Mapping[str, Any]) -> None:
    """Write the bundle to `out`; raises InputError, EngineError, PublishError."""
    crops, features = _golden(bundle, material, rows)
    with write_bundle(out, bundle.info) as folder:
        append_head(bundle.graph, fitted.head, fitted.expectation, folder / ENGINE_GRAPH)
        with open_reference(
            bundle.info.engine, folder / ENGINE_GRAPH, EngineSpec(max_batch=bundle.info.max_batch)
        ) as engine:
            made = _checked(engine, crops, features, fitted)
        write_parameters(folder, bundle.classes, bundle.table, bundle.rules, Golden(crops, made))
        (folder / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(values), indent=1))
        (folder / REPORT_PAGE).write_text(page_from_values(values, f"Bundle {out.name}"), encoding="utf-8")


def _golden(bundle: Bundle, material: Material, rows: Rows) -> tuple[Crops, np.ndarray[Any, np.dtype[np.float32]]]:
    """Return up to GOLDEN_CROPS fitted crops, spread over the photos by their sha256, and their features."""
    photos = joined([material.certify, material.reference])
    enough = len(material.certify) >= GOLDEN_CROPS
    candidates = range(len(material.certify)) if enough else range(len(photos))
    order = sorted(candidates, key=lambda index: photos.digests[index])[:GOLDEN_CROPS]
    crops = []
    for index in order:
        image = read_photo(photos.paths[index])
        if image is None:
            raise CatalogueError(f"{photos.paths[index]}: changed while it was being used; run again")
        crops.append(fit_crop(image, bundle.info.input))
    return np.stack(crops), rows.read(photos.rows[np.array(order, np.intp)])


def _checked(engine: Engine, crops: Crops, features: np.ndarray[Any, np.dtype[np.float32]], fitted: Fitted) -> Any:
    parts = [
        check_head_graph(engine, crops[part], features[part], fitted.head, fitted.expectation)
        for part in (slice(at, at + engine.max_batch) for at in range(0, len(crops), engine.max_batch))
    ]
    return np.concatenate(parts)
