"""Photos of one product -> rows by the bundle's own engine, head included.

The same reading, resize and engine as in calibration; copies count once, what cannot be read is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.photos.catalogue import ROLES, SUFFIXES, Photo, is_photo
from calibration.photos.embed import embed_photos
from calibration.photos.feature_store import FeatureStore
from calibration.photos.fingerprint import fingerprint
from edge.bundle import Bundle
from edge.engine_row import split_rows
from edge.errors import InputError
from edge.ports import Engine
from edge.types import Embeddings, EngineRows

__all__ = ["MAX_PHOTOS", "ProductPhotos", "photos_in", "photos_of"]

MAX_PHOTOS = 500


@dataclass(frozen=True, slots=True, eq=False)
class ProductPhotos:
    """Photos of one product, N of them: the engine's (N, D + 1) rows, shorter sides in pixels and sharpness (N,), and
    paths.

    `left_out` are the files that are not readable as pictures or for which the engine gave nothing finite; `warnings`
    say what else was noticed.
    """

    rows: EngineRows
    sides_px: NDArray[np.int64]
    sharpness: NDArray[np.float64]
    paths: tuple[Path, ...]
    left_out: tuple[Path, ...]
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def embeddings(self) -> Embeddings:
        """Return (N, D) rows of unit length."""
        return split_rows(self.rows)[0]


def photos_in(folder: Path, sku: str) -> tuple[list[Photo], tuple[str, ...]]:
    """Return the photos that lie in `folder` itself and the names of whatever else does, both sorted.

    Raises InputError when there is no photo, or too many.
    """
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: {told}; expected a folder of photos") from None
    photos = [Photo(path, ROLES[0], sku) for path in found if is_photo(path)]
    if not 0 < len(photos) <= MAX_PHOTOS:
        raise InputError(
            f"{folder}: {len(photos)} photos ({', '.join(SUFFIXES)}) in it, expected 1 to {MAX_PHOTOS} of one product"
        )
    return photos, tuple(path.name for path in found if not is_photo(path))


def photos_of(
    photos: list[Photo],
    bundle: Bundle,
    engine: Engine,
    place: tuple[Path, int],
    count: Callable[[str, int], Callable[[int], None]],
) -> ProductPhotos:
    """Embed photos; `place` is a folder for a temporary file, and threads; `count` begins a step that is shown.

    Raises InputError when no photo is usable, EngineError and PublishError.
    """
    scratch, threads = place
    prints = fingerprint(photos, threads, count("read", len(photos)))
    with FeatureStore(None, scratch, bundle.id, bundle.info.dimension + 1) as store:
        embedded = embed_photos(engine, bundle.info.input, store, prints, threads, count("embed", len(prints.photos)))
        rows = store.read(embedded.rows)
    left_out = (*embedded.unreadable, *embedded.not_finite)
    if len(rows) == 0:
        raise InputError(f"{left_out[0].parent}: none of {len(photos)} photos could be read; expected JPEG or PNG")
    return ProductPhotos(
        rows=rows / np.linalg.norm(rows, axis=1, keepdims=True),
        sides_px=embedded.sides_px,
        sharpness=embedded.sharpness,
        paths=tuple(photo.path for photo in embedded.photos),
        left_out=left_out,
        warnings=prints.warnings,
    )
