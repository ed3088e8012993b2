"""Image -> network input: the one implementation that device, builder and calibration share.

Only OpenCV's resize happens here; colour order, normalisation and layout are inside the engine's graph, so the CPU does
no float work per pixel. Sharpness is measured on the fitted crop, so that it means the same for every crop size.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.build_folder import InputSpec
from edge.types import Crops, Image, Region

__all__ = ["PAD_GREY", "RESIZES", "cut", "fit", "fit_into", "sharpness", "thumbnail"]

RESIZES = ("stretch", "letterbox", "crop")
PAD_GREY = 127


def cut(image: Image, region: Region) -> Image:
    """Return the view of `image` (H, W, 3) that the region covers; nothing is copied."""
    return image[region.y : region.y + region.height, region.x : region.x + region.width]


def fit(image: Image, spec: InputSpec) -> Image:
    """Return `image` (h, w, 3) uint8 BGR resized to (spec.height_px, spec.width_px, 3) by `spec.resize`."""
    out = np.empty((spec.height_px, spec.width_px, 3), np.uint8)
    fit_into(image, spec, out)
    return out


def fit_into(image: Image, spec: InputSpec, out: Image) -> None:
    """Resize `image` into `out` (spec.height_px, spec.width_px, 3), C-contiguous uint8, without other copies."""
    if spec.resize == "stretch":
        _resize(image, out)
    elif spec.resize == "letterbox":
        _letterbox(image, out)
    else:
        _resize(_middle(image, out.shape[1] / out.shape[0]), out)


def thumbnail(image: Image, side: int) -> NDArray[np.uint8]:
    """Return a grey picture (side, side) of `image` (h, w, 3), each cell the mean of its area."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


def sharpness(crops: Crops) -> list[float]:
    """Return the variance of the Laplacian of the grey picture of each crop (Pech-Pacheco et al. 2000); 0 is blank."""
    return [float(cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), cv2.CV_16S).var()) for crop in crops]


def _resize(image: Image, out: Image) -> None:
    """Resize `image` into `out`: whole factors by the mean of the area, the rest bilinearly.

    OpenCV averages areas fast only over whole factors: 1080p to 224 x 224 takes 2.4 ms this way and 6.9 ms with
    INTER_AREA alone, 400 x 400 takes 0.1 ms and 0.9 ms, on one thread.
    """
    factor = min(image.shape[0] // out.shape[0], image.shape[1] // out.shape[1])
    if factor > 1:
        height, width = image.shape[0] // factor, image.shape[1] // factor
        whole = image[: height * factor, : width * factor]
        image = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    result = cv2.resize(image, (out.shape[1], out.shape[0]), dst=out, interpolation=cv2.INTER_LINEAR)
    if not np.shares_memory(result, out):  # OpenCV falls back to a new array where it cannot use ours
        out[:] = result


def _letterbox(image: Image, out: Image) -> None:
    scale = min(out.shape[0] / image.shape[0], out.shape[1] / image.shape[1])
    height = min(max(round(image.shape[0] * scale), 1), out.shape[0])
    width = min(max(round(image.shape[1] * scale), 1), out.shape[1])
    small = np.empty((height, width, 3), np.uint8)
    _resize(image, small)
    top, left = (out.shape[0] - height) // 2, (out.shape[1] - width) // 2
    out[:] = PAD_GREY
    out[top : top + height, left : left + width] = small


def _middle(image: Image, aspect: float) -> Image:
    """Return the largest centred part of `image` whose width / height is `aspect`."""
    height, width = image.shape[:2]
    part_height = min(height, max(round(width / aspect), 1))
    part_width = min(width, max(round(height * aspect), 1))
    top, left = (height - part_height) // 2, (width - part_width) // 2
    return image[top : top + part_height, left : left + part_width]
