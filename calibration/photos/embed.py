"""Photos -> features, with the built engine itself and the device's own resize.

Enrolling with the engine that will run is what makes a quantised engine cost no accuracy. Photos are decoded by OpenCV
in a few threads (EXIF orientation applied, alpha dropped) while the engine works on the batch before; only fitted crops
are held. A photo that does not decode is left out and named; so is one for which the engine gave no finite row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.photos.augment import augmented, copy_digest
from calibration.photos.catalogue import Photo
from calibration.photos.feature_store import FeatureStore, Measured
from calibration.photos.fingerprint import Fingerprinted
from calibration.photos.photoset import Photoset
from edge.build_folder import InputSpec
from edge.ports import Engine
from edge.preprocess import fit, sharpness
from edge.types import Image

__all__ = ["Embedded", "embed_copies", "embed_photos", "read_photo"]

_CHUNK_BATCHES = 8


@dataclass(frozen=True, slots=True)
class _Task:
    """A picture to embed: a photo itself (`copy` is empty) or one of its copies, under the name `digest`."""

    digest: bytes
    path: Path
    photo: bytes
    copy: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Photos with features: `rows` (N,) are rows of the store; sides in pixels and sharpness are per photo, (N,)."""

    photos: tuple[Photo, ...]
    digests: tuple[bytes, ...]
    rows: NDArray[np.int64]
    sides_px: NDArray[np.int64]
    sharpness: NDArray[np.float64]
    unreadable: tuple[Path, ...]
    not_finite: tuple[Path, ...]


def embed_photos(
    engine: Engine,
    spec: InputSpec,
    store: FeatureStore,
    photos: Fingerprinted,
    threads: int,
    advance: Callable[[int], None],
) -> Embedded:
    """Embed what the store does not hold yet. `advance` counts photos. Raises EngineError."""
    missing = {
        digest: photo for photo, digest in zip(photos.photos, photos.digests, strict=True) if store.find(digest) < 0
    }
    advance(len(photos.photos) - len(missing))
    todo = [_Task(digest, photo.path, digest) for digest, photo in missing.items()]
    unreadable = _embed(engine, spec, store, todo, threads, advance)
    return _collect(store, photos, unreadable)


def embed_copies(  # noqa: PLR0913, PLR0917  # those of `embed_photos`, and which
    engine: Engine,
    spec: InputSpec,
    store: FeatureStore,
    photos: Photoset,
    names: Sequence[str],
    threads: int,
    advance: Callable[[int], None],
) -> NDArray[np.int64]:
    """Embed the augmented copies called `names` of each photo that the store does not hold yet.

    Returns (rows of the store, names): for each row of `photos` the rows of its copies, for every other row itself,
    and a photo's own row in the place of a copy for which the engine gave nothing. `advance` counts copies.
    """
    todo = [
        _Task(copy_digest(digest, name), path, digest, name)
        for name in names
        for digest, path in zip(photos.digests, photos.paths, strict=True)
    ]
    missing = [task for task in todo if store.find(task.digest) < 0]
    advance(len(todo) - len(missing))
    _embed(engine, spec, store, missing, threads, advance)
    found = np.repeat(np.arange(len(store), dtype=np.int64)[:, None], len(names), axis=1)
    for number, name in enumerate(names):
        rows = np.array([store.find(copy_digest(digest, name)) for digest in photos.digests], np.int64)
        rows = np.where(rows >= 0, rows, photos.rows)
        for start in range(0, len(rows), 512):
            part = slice(start, start + 512)
            finite = np.abs(store.read(rows[part])).sum(axis=1) > 0
            rows[part] = np.where(finite, rows[part], photos.rows[part])
        found[photos.rows, number] = rows
    return found


def read_photo(path: Path) -> Image | None:
    """Return the picture (H, W, 3) uint8 BGR, or None when it cannot be decoded."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _embed(
    engine: Engine,
    spec: InputSpec,
    store: FeatureStore,
    todo: Sequence[_Task],
    threads: int,
    advance: Callable[[int], None],
) -> set[bytes]:
    """Append the features of all tasks; returns the names of those that are no pictures."""
    unreadable: set[bytes] = set()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for chunk in _decoded(pool, todo, spec, engine.max_batch * _CHUNK_BATCHES):
            good = [(measured, crop) for measured, crop in chunk if crop is not None]
            unreadable.update(measured.digest for measured, crop in chunk if crop is None)
            for start in range(0, len(good), engine.max_batch):
                batch = good[start : start + engine.max_batch]
                store.append([m for m, _ in batch], engine.embed(np.stack([crop for _, crop in batch])))
            advance(len(chunk))
    return unreadable


def _decoded(
    pool: ThreadPoolExecutor, todo: Sequence[_Task], spec: InputSpec, size: int
) -> Iterator[list[tuple[Measured, Image | None]]]:
    """Yield chunks of decoded photos; the next chunk is decoded while this one is used."""

    def one(task: _Task) -> tuple[Measured, Image | None]:
        image = read_photo(task.path)
        if image is None:
            return Measured(task.digest, 0, 0.0), None
        if task.copy:
            image = augmented(image, task.photo, task.copy)
        crop = fit(image, spec)
        return Measured(task.digest, min(image.shape[:2]), sharpness(crop[None])[0]), crop

    ahead = [pool.submit(one, entry) for entry in todo[:size]]
    for start in range(size, len(todo) + size, size):
        now, ahead = ahead, [pool.submit(one, entry) for entry in todo[start : start + size]]
        yield [future.result() for future in now]


def _collect(store: FeatureStore, photos: Fingerprinted, unreadable: set[bytes]) -> Embedded:
    rows = np.array([store.find(digest) for digest in photos.digests], np.int64)
    found = np.flatnonzero(rows >= 0)
    finite = [
        np.abs(store.read(rows[found[start : start + 512]])).sum(axis=1) > 0 for start in range(0, len(found), 512)
    ]
    usable = found[np.concatenate(finite)] if finite else found
    kept = set(usable.tolist())
    measured = [store.measured(int(row)) for row in rows[usable]]
    paths = [photo.path for photo in photos.photos]
    return Embedded(
        photos=tuple(photos.photos[i] for i in usable),
        digests=tuple(photos.digests[i] for i in usable),
        rows=rows[usable],
        sides_px=np.array([m.side_px for m in measured], np.int64),
        sharpness=np.array([m.sharpness for m in measured], np.float64),
        unreadable=tuple(chain(photos.unreadable, (paths[i] for i, d in enumerate(photos.digests) if d in unreadable))),
        not_finite=tuple(paths[i] for i in found if i not in kept),
    )
