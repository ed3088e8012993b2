"""Pictures and typefaces: what labels are composed of.

Pictures are the WebP files in `art/` beside this module (Microsoft Fluent Emoji, MIT; see `art/NOTICE.txt`).
Typefaces are the files of font packages from PyPI (extra `render`), found by their installed file list: the packages
themselves are never imported. A missing package is an InputError that names it; no other font is put in its place,
because that would change the catalogue.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata, resources

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from calibration.render.looks import Rgb
from edge.errors import InputError

__all__ = ["bgra_picture", "font", "picture", "tone"]

_PICTURES_HELD = 192  # all there are: 128 x 128 x 4 bytes each, 12 MiB
_FONTS_HELD = 256

# Typeface -> package and file. Licences: SIL OFL 1.1, but Caladea Apache-2.0.
_FILES = {
    "amatic": ("font-amatic-sc", "AmaticSC-Bold.ttf"),
    "caladea": ("font-caladea", "Caladea-Bold.ttf"),
    "caladea-italic": ("font-caladea", "Caladea-BoldItalic.ttf"),
    "fredoka": ("font-fredoka-one", "FredokaOne-Regular.ttf"),
    "intuitive": ("font-intuitive", "Intuitive.ttf"),
    "lato": ("font-lato", "Lato-Black.ttf"),
    "lato-italic": ("font-lato", "Lato-BlackItalic.ttf"),
    "manrope": ("font-manrope", "Manrope-ExtraBold.ttf"),
    "print": ("font-lato", "Lato-Bold.ttf"),
    "redhat": ("font-rhd", "RedHatDisplay-Black.ttf"),
    "redhat-italic": ("font-rhd", "RedHatDisplay-BlackItalic.ttf"),
    "serif": ("font-source-serif-pro", "SourceSerifPro-Black.otf"),
    "serif-italic": ("font-source-serif-pro", "SourceSerifPro-BlackIt.otf"),
}


@lru_cache(maxsize=_PICTURES_HELD)
def picture(name: str) -> Image.Image:
    """Return a picture of `art/`, 128 x 128 RGBA, cut to what is visible. Do not change it: it is shared."""
    source = resources.files("calibration.render.art") / f"{name}.webp"
    with source.open("rb") as stream, Image.open(stream) as image:
        whole: Image.Image = image.convert("RGBA")
    visible: Image.Image = whole.crop(whole.getchannel("A").point(lambda alpha: 255 if alpha > 24 else 0).getbbox())
    return visible


@lru_cache(maxsize=_PICTURES_HELD)
def tone(name: str) -> Rgb:
    """Return the colour that a picture is remembered by: the mean of its saturated pixels."""
    pixels = np.asarray(picture(name), np.float64).reshape(-1, 4)
    solid = pixels[pixels[:, 3] > 200, :3]
    saturation = np.ptp(solid, axis=1) + 1.0
    red, green, blue = (solid * saturation[:, None] ** 2).sum(axis=0) / (saturation**2).sum()
    return int(red), int(green), int(blue)


def bgra_picture(name: str, long_px: int) -> NDArray[np.uint8]:
    """Return a picture of `art/` as BGRA, its long edge `long_px`."""
    image = cv2.cvtColor(np.asarray(picture(name)), cv2.COLOR_RGBA2BGRA)
    scale = long_px / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


@lru_cache(maxsize=_FONTS_HELD)
def font(typeface: str, size_px: int) -> ImageFont.FreeTypeFont:
    """Return a typeface at a size; raise InputError where its package is not installed."""
    package, file = _FILES[typeface]
    return ImageFont.truetype(_file_of(package, file), size_px, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=len(_FILES))
def _file_of(package: str, file: str) -> str:
    try:
        listed = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        listed = []
    for path in listed:
        if path.name == file:
            return str(path.locate())
    raise InputError(f"the font {file} of the package {package} is not installed; run: pip install 'shelfedge[render]'")
