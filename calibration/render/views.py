"""One photo of one product: a crop roughly tight around the pack, as a locator hands it to a classifier."""

from __future__ import annotations

import math
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.render import hands
from calibration.render.backgrounds import BACKGROUNDS, background
from calibration.render.camera import drawn, photographed
from calibration.render.channels import colour_of, cover_of, sprite_of, three
from calibration.render.identity import Sku
from calibration.render.severity import Severity, severity_named
from calibration.render.solids import Pose, pack_picture

__all__ = ["LONG_EDGE_PX", "framed", "laid_over", "posed", "turned_sprite", "view"]

LONG_EDGE_PX = 224
Bgra = NDArray[np.uint8]
Picture = NDArray[np.uint8]


def view(sku: Sku, *, seed: int, severity: str = "camera", size_px: int = LONG_EDGE_PX) -> Picture:
    """Return a photo of the product, BGR uint8 (H, W, 3), its long edge `size_px`; the same for the same arguments.

    Raise InputError for an unknown severity.
    """
    faults = severity_named(severity)
    rng = np.random.default_rng([seed, zlib.crc32(sku.sku.encode()), 21])
    sprite = pack_picture(sku, round(size_px * 0.9), posed(faults, rng))
    roll = float(rng.triangular(-faults.roll_deg, 0, faults.roll_deg))
    return framed(turned_sprite(sprite, roll, faults.skew, rng), faults, rng, size_px)


def posed(faults: Severity, rng: np.random.Generator) -> Pose:
    """Draw from where the pack is seen; a triangular yaw, because people turn the front to the camera."""
    return Pose(
        yaw_deg=float(rng.triangular(-faults.yaw_deg, 0, faults.yaw_deg)),
        tilt_deg=drawn(rng, faults.tilt_deg),
        light=float(rng.uniform(-0.75, 0.75)),
        gloss=float(rng.uniform(0.1, faults.glare)),
        crumple=int(rng.integers(2**31)),
    )


def turned_sprite(sprite: Bgra, roll_deg: float, skew: float, rng: np.random.Generator, scale: float = 1.0) -> Bgra:
    """Return the sprite turned in its plane, skewed as by a near camera and scaled, cut tight again."""
    height, width = sprite.shape[:2]
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32)
    turn = math.radians(roll_deg)
    matrix = np.array(((math.cos(turn), -math.sin(turn)), (math.sin(turn), math.cos(turn))))
    target = (corners - corners.mean(axis=0)) @ matrix.T * scale
    target = target + rng.uniform(-skew, skew, (4, 2)) * min(height, width)
    target = (target - target.min(axis=0) + 1).astype(np.float32)
    out_w, out_h = (int(side) for side in np.ceil(target.max(axis=0)) + 1)
    warp = cv2.getPerspectiveTransform(corners, target)
    # The colour runs on beyond the edge and the coverage ends there, so that no dark seam comes about.
    colour = cv2.warpPerspective(colour_of(sprite), warp, (out_w, out_h), borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpPerspective(cover_of(sprite), warp, (out_w, out_h))
    x, y, w, h = cv2.boundingRect((cover > 8).astype(np.uint8))
    seen = np.s_[y : y + h, x : x + w]
    return sprite_of(np.asarray(colour[seen], np.uint8), np.asarray(cover[seen], np.uint8))


def laid_over(picture: Picture, sprite: Bgra, left: int, top: int) -> None:
    """Blend a sprite into a picture in place; what falls outside is cut."""
    height, width = picture.shape[:2]
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(width, left + sprite.shape[1]), min(height, top + sprite.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = sprite[y0 - top : y1 - top, x0 - left : x1 - left]
    share = cover_of(part).astype(np.float32) * np.float32(1 / 255)
    under = picture[y0:y1, x0:x1].astype(np.float32)
    over = colour_of(part) - under
    over *= three(share)
    over += under
    picture[y0:y1, x0:x1] = over


def framed(sprite: Bgra, faults: Severity, rng: np.random.Generator, size_px: int) -> Picture:
    """Return the sprite photographed before a random background, the crop's long edge `size_px`."""
    height, width = sprite.shape[:2]
    sides = np.array((width, height, width, height))
    left, top, right, bottom = sides * (
        [drawn(rng, faults.margin) for _ in range(4)] + rng.uniform(-1, 1, 4) * faults.jitter
    )
    whole_w, whole_h = max(16.0, width + left + right), max(16.0, height + top + bottom)
    scale = size_px / max(whole_w, whole_h)
    out_w, out_h = max(1, round(whole_w * scale)), max(1, round(whole_h * scale))
    names = ("paper",) if faults.jitter == 0 and faults.occluded == 0 and faults.yaw_deg < 10 else tuple(BACKGROUNDS)
    picture = background(names[int(rng.integers(len(names)))], rng, (out_h, out_w))
    fitted = _scaled(sprite, scale)
    place = (round(left * scale), round(top * scale))
    _cast_shadow(picture, fitted, place, rng)
    laid_over(picture, fitted, *place)
    if rng.random() < faults.occluded:
        hands.fingers_over(picture, rng)
    return photographed(picture, faults, rng)


def _scaled(sprite: Bgra, scale: float) -> Bgra:
    size = (max(1, round(sprite.shape[1] * scale)), max(1, round(sprite.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 0.75 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(sprite, size, interpolation=method), np.uint8)


def _cast_shadow(picture: Picture, sprite: Bgra, place: tuple[int, int], rng: np.random.Generator) -> None:
    """Darken the ground beside the pack, softly, in place."""
    reach = max(2, sprite.shape[1] // 14)
    cover = cv2.blur(cover_of(sprite), (reach, reach)) * np.float32(rng.uniform(0.2, 0.6))
    shadow = sprite_of(np.zeros((*cover.shape, 3), np.uint8), cover.astype(np.uint8))
    offset = reach if rng.random() < 0.5 else -reach
    laid_over(picture, shadow, place[0] + offset, place[1] + reach // 2)
