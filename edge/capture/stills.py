"""Read and write single pictures as uint8 BGR (H, W, 3)."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from edge.errors import InputError, PublishError
from edge.types import Image

__all__ = ["SUFFIXES", "read_still", "write_still"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
MAX_BYTES = 256 << 20


def read_still(path: Path) -> Image:
    """Return the picture; raises InputError when it is missing, too large, damaged or empty."""
    try:
        if path.exists() and not path.is_file():  # a folder, or a pipe that would never end
            raise InputError(f"{path}: not a file, expected a picture")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB, expected a picture")
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a picture") from None
    try:
        image = cv2.imdecode(raw, cv2.IMREAD_COLOR) if raw.size else None
    except cv2.error:  # sizes beyond OpenCV's own limits
        image = None
    if image is None:
        raise InputError(
            f"{path}: not a readable picture (damaged or not JPEG, PNG, BMP or WebP); replace or remove it"
        )
    return np.asarray(image, np.uint8)


def write_still(path: Path, image: Image) -> None:
    """Write a lossless PNG, whole or not at all; raises PublishError when the disk refuses."""
    done, raw = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise PublishError(f"{path}: OpenCV cannot encode {image.shape} {image.dtype} as PNG")
    staging = path.with_suffix(".tmp")
    try:
        with staging.open("wb") as file:
            file.write(raw.tobytes())
        os.replace(staging, path)
    except OSError as error:
        staging.unlink(missing_ok=True)
        raise PublishError(f"{path}: {error.strerror or error}; nothing already written was changed") from None
