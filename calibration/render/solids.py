"""Turn a product into a picture of its pack, seen from a given side: BGRA, cut tight around the pack.

The print (see `label`) is wrapped round the form (see `forms`): a turned solid shows other parts of its strip as it
yaws; a cuboid shows front, side and top in perspective. Angles: `yaw_deg` turns the pack about its upright axis
(positive: its right side comes to the front), `tilt_deg` is how far above the horizon the camera stands (0 to 35).
The print of a product is made once and kept (a bounded cache); a picture then takes a few remaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.render.assets import tone
from calibration.render.channels import sprite_of, three
from calibration.render.forms import Form
from calibration.render.identity import Sku
from calibration.render.label import print_strip
from calibration.render.looks import Rgb, luminance

__all__ = ["Pose", "pack_picture"]

_BODY_PX = 288  # height of a body's texture
_BIG = 1.05  # the taller body of the second size of a pair
_BODIES_HELD = 48  # at most 0.9 MiB each
_EDGE_DARK = 0.42  # light that is left at the rim of a turned solid

Bgra = NDArray[np.uint8]  # (H, W, 4)
Plane = NDArray[np.float32]  # (H, W)


@dataclass(frozen=True, slots=True)
class Pose:
    """From where a pack is seen and how the light falls."""

    yaw_deg: float = 0.0
    tilt_deg: float = 8.0
    light: float = -0.4  # where the highlight stands: -1 left rim, 1 right rim
    gloss: float = 0.5  # strength of the highlight, 0..1
    crumple: int = 0  # seed of the folds of a pouch


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """The surface of a pack, unrolled."""

    strip: NDArray[np.uint8]  # BGR (H, W, 3); a turned solid's whole height, a cuboid's four sides
    aspect: float
    lid: Rgb


def pack_picture(sku: Sku, height_px: int, pose: Pose) -> Bgra:
    """Return the pack as BGRA, about `height_px` high (its tilt adds to that), cut tight around what is visible."""
    body = _body(sku)
    draw = _turned if sku.form.solid == "turned" else _cuboid
    return draw(sku.form, body, height_px, pose)


@lru_cache(maxsize=_BODIES_HELD)
def _body(sku: Sku) -> _Body:
    form = sku.form
    # The second size of a line is a little taller for its width.
    aspect = form.aspect / (_BIG if sku.big else 1.0)
    top, bottom = form.label
    label_px = max(8, round(_BODY_PX * (bottom - top)))
    if form.solid == "cuboid":
        around = 2 * aspect * (1 + form.depth)
        front = 1 / (2 * (1 + form.depth))
    else:
        around = aspect * _ellipse_length(form.depth)
        front = form.front
    strip = cv2.cvtColor(print_strip(sku, (round(_BODY_PX * around), label_px), front), cv2.COLOR_RGB2BGR)
    lid = _material(sku, "lid")
    if form.solid == "turned":
        whole = np.empty((_BODY_PX, strip.shape[1], 3), np.uint8)
        for upper, lower, material in form.zones:
            rows = slice(round(upper * _BODY_PX), round(lower * _BODY_PX))
            whole[rows] = _material(sku, material)[::-1]
        start = round(top * _BODY_PX)
        whole[start : start + label_px] = strip[: _BODY_PX - start]
        strip, lid = whole, _material(sku, form.zones[0][2])
    else:
        lid = sku.line.ground
    return _Body(np.ascontiguousarray(strip), aspect, lid)


def _material(sku: Sku, name: str) -> Rgb:
    if name == "steel":
        return 196, 198, 202
    if name in {"cap", "lid"}:
        return sku.line.accent if name == "cap" or luminance(sku.line.accent) < 0.7 else (214, 180, 90)
    if name == "content":
        red, green, blue = tone(sku.pictures[0])
        return red * 3 // 4 + 30, green * 3 // 4 + 30, blue * 3 // 4 + 30
    return sku.line.second if luminance(sku.line.second) > 0.5 else (244, 243, 240)


@lru_cache(maxsize=64)
def _ellipse_table(depth: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return angles from -pi to pi and the length of an ellipse (axes 0.5 and depth / 2) from the front to each."""
    angles = np.linspace(-math.pi, math.pi, 721)
    speed = 0.5 * np.hypot(np.cos(angles), depth * np.sin(angles))
    lengths = np.concatenate(([0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(angles))))
    return angles, lengths - lengths[360]


def _ellipse_length(depth: float) -> float:
    return float(2 * _ellipse_table(depth)[1][-1])


def _turned(form: Form, body: _Body, height_px: int, pose: Pose) -> Bgra:
    yaw, sink = math.radians(pose.yaw_deg), math.sin(math.radians(pose.tilt_deg))
    depth = form.depth
    seen = math.hypot(math.cos(yaw), depth * math.sin(yaw))  # width seen, 1 = the front's
    deep = math.hypot(math.sin(yaw), depth * math.cos(yaw)) * sink  # of the rims' ellipses, in widths
    half = body.aspect * height_px / 2
    margin = math.ceil(half * deep) + 1
    out_h, out_w = height_px + 2 * margin, 2 * math.ceil(half * seen) + 2
    y, x = np.mgrid[0:out_h, 0:out_w].astype(np.float32)
    y -= np.float32(margin)
    x -= np.float32(out_w / 2 - 0.5)
    heights, radii = (np.array(column, np.float32) for column in zip(*form.profile, strict=True))
    radius = np.interp(y[:, 0] / height_px, heights, radii).astype(np.float32)[:, None] * np.float32(half * seen)
    across = x / radius
    bulge = np.sqrt(np.maximum(0, 1 - across * across))
    lean = np.float32(deep / max(seen, 0.05)) * radius
    if form.soft:
        lean *= 1 - np.abs(np.clip(y[:, :1] / np.float32(height_px), 0, 1) * 2 - 1) ** 3
    along = y - lean * bulge
    picture = _unroll(body, form, (across, along), (height_px, math.atan(depth * math.tan(_fold(yaw))), yaw, pose))
    inside = np.clip((1 - np.abs(across)) * radius + 0.5, 0, 1)
    inside *= np.clip(np.float32(height_px) - along, 0, 1) * np.clip(along + 1, 0, 1)
    top = float(radii[0]) * half * seen
    if not form.soft:
        _paint_lid(picture, inside, (x, y), (top, top * deep / max(seen, 0.05)), body.lid)
    return _cut(picture, inside)


def _fold(yaw: float) -> float:
    """Return yaw in -pi/2..pi/2, the half turn in which an ellipse's outline repeats."""
    return (yaw + math.pi / 2) % math.pi - math.pi / 2


def _unroll(
    body: _Body, form: Form, where: tuple[Plane, Plane], how: tuple[int, float, float, Pose]
) -> NDArray[np.float32]:
    """Return the shaded BGR picture, float32; (across, along) are -1..1 of the radius and px from the top."""
    across, along = where
    height_px, skew, yaw, pose = how
    inside = np.clip(across, -1, 1)
    turn = skew + (yaw - _fold(yaw))
    angle = np.arcsin(inside) + np.float32(turn)
    angles, lengths = _ellipse_table(form.depth)
    strip_h, strip_w = body.strip.shape[:2]
    wrapped = _wrapped(angle + np.float32(math.pi)) - np.float32(math.pi)
    table = np.interp(np.linspace(-math.pi, math.pi, 1024), angles, lengths / (2 * lengths[-1])).astype(np.float32)
    place = (wrapped + np.float32(math.pi)) * np.float32(1023 / (2 * math.pi))
    low = np.clip(place.astype(np.int32), 0, 1022)
    round_share = table[low] + (table[low + 1] - table[low]) * (place - low.astype(np.float32))
    columns = (round_share + np.float32(0.5)) * np.float32(strip_w) - np.float32(0.5)
    rows = along * np.float32(strip_h / height_px)
    shade: Plane = _shade(inside, form, pose)
    if form.soft:
        folds = _folds(across.shape, pose.crumple)
        columns = columns + 5 * folds
        shade = shade * (1 + np.float32(0.16) * folds) * _seams(along / np.float32(height_px))
    printed = cv2.remap(body.strip, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    picture = printed.astype(np.float32)
    picture *= three(shade)
    picture += three(_glare(inside, form, pose))
    return picture


def _wrapped(angle: Plane) -> Plane:
    """Return the angles, of -2 pi to 4 pi, within 0 to 2 pi: what `%` gives, to the last bit, without a division."""
    whole = np.float32(2 * math.pi)
    return np.asarray(angle + whole * (angle < 0) - whole * (angle >= whole), np.float32)


def _shade(across: Plane, form: Form, pose: Pose) -> Plane:
    """Return the light on a round surface; flat bodies keep more of it to their rims."""
    facing = np.sqrt(np.maximum(0, 1 - across * across))
    flat = np.float32(1 - 0.5 * (1 - form.depth))
    dark = np.float32(1 - _EDGE_DARK) * (1 - facing**0.8) * flat
    return np.asarray(1.04 - dark - np.float32(0.12 * np.sign(pose.light)) * across, np.float32)


def _glare(across: Plane, form: Form, pose: Pose) -> Plane:
    """Return a narrow and a broad streak of mirrored light."""
    at = np.float32(pose.light)
    narrow = np.exp(-(((across - at) / np.float32(0.07)) ** 2)) * np.float32(110 * pose.gloss**2)
    broad = np.exp(-(((across - at) / np.float32(0.3)) ** 2)) * np.float32(38 * pose.gloss)
    return np.asarray((narrow + broad) * np.float32(0.4 + 0.6 * form.depth), np.float32)


def _seams(height: Plane) -> Plane:
    """Return the shading of the pressed seams at a pouch's top and foot."""
    pressed = (height < 0.055) | (height > 0.955)
    return np.where(pressed, 0.9 + 0.09 * np.sin(height * np.float32(900)), 1.0).astype(np.float32)


def _folds(shape: tuple[int, ...], seed: int) -> Plane:
    """Return smooth folds, about -1..1."""
    noise = np.random.default_rng([seed, 5]).standard_normal((7, 6)).astype(np.float32)
    return np.asarray(cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC) * np.float32(0.5))


def _paint_lid(
    picture: NDArray[np.float32], inside: Plane, where: tuple[Plane, Plane], axes: tuple[float, float], lid: Rgb
) -> None:
    """Paint the top of a turned solid, an ellipse round (0, 0), into the picture and its coverage, in place."""
    wide, deep = axes
    if deep < 1.0:
        return
    near = slice(*np.searchsorted(where[1][:, 0], (-deep - 2, deep + 2)))  # rows: nothing is painted beyond
    x, y = where[0][near], where[1][near]
    distance = np.sqrt((x / np.float32(wide)) ** 2 + (y / np.float32(deep)) ** 2)
    cover = np.clip((1 - distance) * np.float32(deep) + 0.5, 0, 1)
    rim = 0.92 + 0.14 * np.sin(np.clip(distance, 0, 1) ** 6 * np.float32(math.pi)) + 0.08 * x / np.float32(wide)
    colour = np.array(lid[::-1], np.float32) * rim[..., None]
    picture[near] += (colour - picture[near]) * cover[..., None]
    np.maximum(inside[near], cover, out=inside[near])


def _cuboid(form: Form, body: _Body, height_px: int, pose: Pose) -> Bgra:
    wide, deep = body.aspect * height_px, body.aspect * form.depth * height_px
    corners = _project((wide, float(height_px), deep), pose)
    low = np.floor(corners.min(axis=0)) - 1
    corners = (corners - low).astype(np.float32)
    out_w, out_h = (int(side) for side in np.ceil(corners.max(axis=0)) + 2)
    # Everything visible first in one colour, so that no background shines through where two faces meet.
    hull = cv2.convexHull(corners)
    alpha = np.zeros((out_h, out_w), np.uint8)
    cv2.fillConvexPoly(alpha, np.rint(hull * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    picture = np.empty((out_h, out_w, 3), np.float32)
    picture[:] = np.array(body.lid[::-1], np.float32) * 0.6
    for face, (indices, shade) in _FACES.items():
        quad = corners[list(indices)]
        if _signed_area(quad) <= 1:
            continue
        source = _face(body, form, face)
        square = np.array(((0, 0), (1, 0), (1, 1), (0, 1)), np.float32)
        span = square * np.array((source.shape[1], source.shape[0]), np.float32)
        matrix = cv2.getPerspectiveTransform(span, quad)
        cover = cv2.warpPerspective(np.full(source.shape[:2], 255, np.uint8), matrix, (out_w, out_h))
        warped = cv2.warpPerspective(source, matrix, (out_w, out_h), borderMode=cv2.BORDER_REPLICATE)
        light = shade - 0.1 * pose.light * {"right": 1.0, "left": -1.0}.get(face, 0.0)
        lit = warped * np.float32(light)
        lit += np.float32(14 * pose.gloss * (face == "front"))
        lit -= picture
        lit *= three(np.asarray(cover, np.float32) / np.float32(255))
        picture += lit
    return _cut(picture, alpha.astype(np.float32) / np.float32(255))


# Corners 0..3 of the front (top left, top right, bottom right, bottom left) and 4..7 of the back behind them.
_FACES: dict[str, tuple[tuple[int, int, int, int], float]] = {
    "top": ((4, 5, 1, 0), 1.02),
    "left": ((4, 0, 3, 7), 0.74),
    "right": ((1, 5, 6, 2), 0.74),
    "back": ((5, 4, 7, 6), 0.95),
    "front": ((0, 1, 2, 3), 1.0),
}


def _project(sides: tuple[float, float, float], pose: Pose) -> NDArray[np.float64]:
    """Return the eight corners of a cuboid in the picture plane, (8, 2), px."""
    w, h, d = (side / 2 for side in sides)
    front = [(-w, -h, d), (w, -h, d), (w, h, d), (-w, h, d)]
    points = np.array([*front, *((x, y, -z) for x, y, z in front)])
    yaw, tilt = math.radians(-pose.yaw_deg), math.radians(pose.tilt_deg)
    turn = np.array(((math.cos(yaw), 0, math.sin(yaw)), (0, 1, 0), (-math.sin(yaw), 0, math.cos(yaw))))
    nod = np.array(((1, 0, 0), (0, math.cos(tilt), math.sin(tilt)), (0, -math.sin(tilt), math.cos(tilt))))
    turned = points @ turn.T @ nod.T
    away = 3.6 * max(sides)
    return np.asarray(turned[:, :2] * (away / (away - turned[:, 2:])))


def _signed_area(quad: NDArray[np.float32]) -> float:
    x, y = quad[:, 0], quad[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def _face(body: _Body, form: Form, face: str) -> NDArray[np.uint8]:
    strip = body.strip
    width = strip.shape[1]
    front = width / (2 * (1 + form.depth))
    side = front * form.depth
    edges = np.rint(np.cumsum((front / 2, side, front, side))).astype(int)
    if face == "top":
        return np.full((8, 8, 3), body.lid[::-1], np.uint8)
    if face == "back":
        return np.concatenate((strip[:, edges[3] :], strip[:, : edges[0]]), axis=1)
    start, stop = {"left": (0, 1), "front": (1, 2), "right": (2, 3)}[face]
    return np.asarray(strip[:, edges[start] : edges[stop]])


def _cut(picture: NDArray[np.float32], cover: Plane) -> Bgra:
    """Return BGRA cut to the rows and columns where anything is visible."""
    alpha = np.rint(cover * 255).astype(np.uint8)
    x, y, w, h = cv2.boundingRect((alpha > 8).astype(np.uint8))
    seen = np.s_[y : y + h, x : x + w]
    return sprite_of(np.clip(picture[seen], 0, 255).astype(np.uint8), alpha[seen])
