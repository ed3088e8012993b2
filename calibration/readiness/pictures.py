"""Small copies of catalogue photos as data URIs, so that the page needs no other file. A cap keeps the page small."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2

from calibration.photos.catalogue import Catalogue
from calibration.photos.embed import read_photo
from edge.types import Image

__all__ = ["MOST_PICTURES", "Album"]

SIDE_PX = 200
QUALITY = 80
MOST_PICTURES = 240  # at about 8 KiB each


class Album:
    """Pictures of a catalogue, each made once. After MOST_PICTURES and for what cannot be read it returns ""."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._folder = catalogue.path
        self._first: dict[tuple[str, str], Path] = {}
        for photo in catalogue.photos:
            self._first.setdefault((photo.role, photo.label), photo.path)
        self._made: dict[Path, str] = {}

    def of(self, sku: str, role: str = "reference") -> str:
        """Return the first photo of a product in a role."""
        path = self._first.get((role, sku))
        return self._picture(path) if path is not None else ""

    def at(self, inside: str) -> str:
        """Return the photo at a path inside the catalogue."""
        return self._picture(self._folder / inside)

    def _picture(self, path: Path) -> str:
        if path not in self._made:
            image = read_photo(path) if len(self._made) < MOST_PICTURES else None
            self._made[path] = "" if image is None else _data_uri(image)
        return self._made[path]


def _data_uri(image: Image) -> str:
    scale = SIDE_PX / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    _, raw = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(raw.tobytes()).decode("ascii")
