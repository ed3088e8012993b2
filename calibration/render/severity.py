"""How hard a photo is: the ranges from which a view draws its pose, its framing and its camera's faults.

studio  product photography: front, even light, plain ground
easy    what staff take to enrol a product: small angles, fair light
camera  what a cart or shelf camera crops out: angles, blur, noise, weak light, fingers, a detector's loose boxes
hard    the same on a bad day
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import InputError

__all__ = ["SEVERITIES", "Severity", "severity_named"]

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Severity:
    """Ranges of one severity; a range is drawn from evenly unless said otherwise."""

    yaw_deg: float  # either way; drawn with most weight near 0, because people turn the front to the camera
    tilt_deg: Range
    roll_deg: float  # in the picture plane, either way; drawn with most weight near 0
    skew: float  # greatest shift of a corner, share of the side
    margin: Range  # round the pack, share of its side; negative cuts into it
    jitter: float  # greatest shift of the box, share of its side, either way
    detail: Range  # share of the picture's resolution that the camera resolved
    gain: Range
    gamma: Range
    tint: float  # greatest change of a colour channel, share
    gradient: float  # greatest loss of light across the picture, share
    blur_px: Range  # sigma, for a picture 224 px long
    motion_px: float  # longest smear; drawn for `smeared` of the pictures
    smeared: float
    noise: Range  # sigma, of 255
    jpeg: tuple[int, int]
    occluded: float  # share of the pictures with fingers over the pack
    glare: float  # greatest strength of the highlight


SEVERITIES: dict[str, Severity] = {
    "studio": Severity(
        yaw_deg=6, tilt_deg=(2, 10), roll_deg=0.5, skew=0.0, margin=(0.03, 0.06), jitter=0.0, detail=(1.0, 1.0),
        gain=(0.97, 1.05), gamma=(1.0, 1.0), tint=0.01, gradient=0.03, blur_px=(0.0, 0.0), motion_px=0, smeared=0.0,
        noise=(0.3, 1.0), jpeg=(92, 96), occluded=0.0, glare=0.4,
    ),
    "easy": Severity(
        yaw_deg=25, tilt_deg=(0, 18), roll_deg=9, skew=0.02, margin=(0.02, 0.10), jitter=0.0, detail=(0.8, 1.0),
        gain=(0.82, 1.15), gamma=(0.9, 1.12), tint=0.05, gradient=0.2, blur_px=(0.0, 0.7), motion_px=0, smeared=0.0,
        noise=(1.0, 4.0), jpeg=(80, 95), occluded=0.0, glare=0.6,
    ),
    "camera": Severity(
        yaw_deg=48, tilt_deg=(0, 28), roll_deg=25, skew=0.05, margin=(0.0, 0.15), jitter=0.05, detail=(0.5, 1.0),
        gain=(0.6, 1.25), gamma=(0.8, 1.25), tint=0.12, gradient=0.4, blur_px=(0.0, 1.2), motion_px=6, smeared=0.35,
        noise=(2.0, 8.0), jpeg=(45, 85), occluded=0.3, glare=0.9,
    ),
    "hard": Severity(
        yaw_deg=65, tilt_deg=(0, 35), roll_deg=45, skew=0.07, margin=(-0.05, 0.15), jitter=0.07, detail=(0.4, 0.85),
        gain=(0.45, 1.4), gamma=(0.7, 1.4), tint=0.16, gradient=0.55, blur_px=(0.2, 1.7), motion_px=9, smeared=0.5,
        noise=(3.0, 12.0), jpeg=(35, 75), occluded=0.5, glare=1.0,
    ),
}  # fmt: skip


def severity_named(name: str) -> Severity:
    """Return the severity of this name; raise InputError for an unknown one."""
    if name not in SEVERITIES:
        raise InputError(f"unknown severity {name!r}; known are {', '.join(SEVERITIES)}")
    return SEVERITIES[name]
