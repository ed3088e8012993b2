"""What a camera does to a scene: light, colour, blur, noise, compression. Pictures are BGR uint8 (H, W, 3)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.render import grain
from calibration.render.severity import Range, Severity

__all__ = ["compressed", "drawn", "photographed", "smeared"]

Picture = NDArray[np.uint8]


def drawn(rng: np.random.Generator, span: Range) -> float:
    """Draw a number evenly from a range."""
    return float(rng.uniform(*span))


def photographed(
    picture: Picture, severity: Severity, rng: np.random.Generator, blur_scale: float | None = None
) -> Picture:
    """Return the picture as a camera of this severity takes it.

    `blur_scale` is how much larger than 224 px the things in it are; None: the picture is of one thing.
    """
    picture = _resolved(picture, drawn(rng, severity.detail))
    picture = _focused(picture, severity, rng, max(picture.shape[:2]) / 224 if blur_scale is None else blur_scale)
    return compressed(_exposed(picture, severity, rng), int(rng.integers(*severity.jpeg)))


def compressed(picture: Picture, quality: int) -> Picture:
    """Return the picture after JPEG compression."""
    _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def smeared(picture: Picture, length_px: float, angle: float) -> Picture:
    """Return the picture smeared along a direction (radians), as by motion while the shutter was open."""
    size = max(3, round(length_px) | 1)
    kernel = np.zeros((size, size), np.float32)
    reach = size / 2 - 0.5
    ends = [
        (round(reach + sign * reach * np.cos(angle)), round(reach + sign * reach * np.sin(angle))) for sign in (-1, 1)
    ]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.uint8)


def _resolved(picture: Picture, detail: float) -> Picture:
    """Return the picture with the detail of one that is `detail` times as large."""
    if detail > 0.97:
        return picture
    height, width = picture.shape[:2]
    small = (max(8, round(width * detail)), max(8, round(height * detail)))
    reduced = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _focused(picture: Picture, severity: Severity, rng: np.random.Generator, scale: float) -> Picture:
    sigma = drawn(rng, severity.blur_px) * scale
    if sigma > 0.15:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
    smear, length, angle = rng.random(), rng.uniform(2.5, max(3, severity.motion_px)) * scale, rng.uniform(0, np.pi)
    return smeared(picture, length, angle) if smear < severity.smeared else picture


def _exposed(picture: Picture, severity: Severity, rng: np.random.Generator) -> Picture:
    """Apply gain, tint, a gradient of light, gamma and noise."""
    height, width = picture.shape[:2]
    tint = 1 + rng.uniform(-severity.tint, severity.tint, 3)
    gain = drawn(rng, severity.gain)
    angle, loss = rng.uniform(0, 2 * np.pi), rng.uniform(0, severity.gradient)
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :] * np.float32(np.cos(angle))
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    # Channels side by side in a row, as `channels` says why.
    light = 1 - np.float32(loss) * (np.repeat(across, 3, axis=1) + down + np.float32(0.5))
    light *= np.tile((gain * tint).astype(np.float32), width)
    gamma = drawn(rng, severity.gamma)
    sigma = np.float32(drawn(rng, severity.noise))
    curve = (255 * (np.arange(256) / 255) ** gamma).astype(np.float32)
    lit = np.asarray(cv2.LUT(picture, curve), np.float32)
    lit *= light.reshape(picture.shape)
    lit += grain.noise(rng, (height, width)) * sigma
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8)
