"""The photos that set the ranges and test the result: chosen evenly over sub-folders, decoded once.

A folder of folders (one per product) gives from each in turn, so that a product with many photos does not set the
ranges alone. The order is fixed by the seed. Photos are resized as the device resizes (`edge.preprocess.fit`), decoded
once and kept as bytes: 192 + 96 photos of 224 x 224 pixels are 41 MiB. Unreadable files are counted and named, and the
next ones take their place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.build_folder import InputSpec
from edge.errors import InputError
from edge.preprocess import fit_into
from edge.types import Crops, Image

__all__ = ["BATCH", "MIN_PHOTOS", "SUFFIXES", "Photos", "decoded", "in_batches", "list_photos", "read_photos"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
MIN_PHOTOS = 8
MAX_LISTED = 1_000_000  # files looked at; beyond that --images points at the wrong folder
BATCH = 2  # of 1, 2 and 8, quantising EfficientNet-Lite0 peaked at 373, 469 and 1104 MiB and took 44, 30 and 25 s


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """`ranges` set the quantisation, `held_out` test it; with too few photos they are the same array.

    `unreadable` are the files that could not be decoded.
    """

    ranges: Crops
    held_out: Crops
    are_same: bool
    unreadable: tuple[Path, ...]


def list_photos(folder: Path, seed: int) -> list[Path]:
    """Return all pictures below `folder`, one of each sub-folder in turn; raises InputError for none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; --images takes a folder of photos, sub-folders included")
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for count, path in enumerate(folder.rglob("*")):
        if count >= MAX_LISTED:
            raise InputError(f"{folder}: more than {MAX_LISTED} files; give a smaller folder of photos")
        if path.suffix.lower() in SUFFIXES and path.is_file():
            by_folder[path.parent].append(path)
    if not by_folder:
        raise InputError(f"{folder}: no photos ({', '.join(sorted(SUFFIXES))}); give a folder that holds some")
    random = np.random.default_rng(seed)
    piles = [sorted(by_folder[parent]) for parent in sorted(by_folder)]
    piles = [[pile[i] for i in random.permutation(len(pile))] for pile in piles]
    order = random.permutation(len(piles))
    return [piles[p][turn] for turn in range(max(map(len, piles))) for p in order if turn < len(piles[p])]


def read_photos(
    folder: Path, paths: Sequence[Path], spec: InputSpec, count: int, on_photo: Callable[[], None]
) -> Photos:
    """Decode up to `count` photos for the ranges and half as many more to test with; `on_photo` hears of each.

    Too few for that: two thirds set the ranges; under 3 * MIN_PHOTOS all do both. Raises InputError, naming `folder`,
    when fewer than MIN_PHOTOS can be read.
    """
    crops = np.empty((min(len(paths), count + max(count // 2, MIN_PHOTOS)), spec.height_px, spec.width_px, 3), np.uint8)
    unreadable: list[Path] = []
    done = 0
    for path in paths:
        if done == len(crops):
            break
        image = decoded(path)
        if image is None:
            unreadable.append(path)
            continue
        fit_into(image, spec, crops[done])
        done += 1
        on_photo()
    if done < MIN_PHOTOS:
        seen = f"{done} readable photos of {len(paths)}"
        raise InputError(f"{folder}: {seen}, expected at least {MIN_PHOTOS}; ranges need more photos")
    is_split = done >= 3 * MIN_PHOTOS
    ranges = min(count, done * 2 // 3) if is_split else min(count, done)
    held_out = crops[ranges:done] if is_split else crops[:ranges]
    return Photos(crops[:ranges], held_out, not is_split, tuple(unreadable))


def decoded(path: Path) -> Image | None:
    """Return the picture (H, W, 3) BGR, or None where the file is not one that OpenCV can decode."""
    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except (OSError, cv2.error):
        return None
    return None if image is None else np.asarray(image, np.uint8)


def in_batches(crops: Crops) -> Iterator[Crops]:
    """Yield the crops in batches of at most BATCH."""
    for start in range(0, len(crops), BATCH):
        yield crops[start : start + BATCH]
