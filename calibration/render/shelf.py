"""Pictures of a shelf with ground truth: rows of facings, price strips, gaps and misplaced products.

A slot is one facing: the place where one pack of one product should stand, front to the camera. Its polygon has the
size of that pack with a small margin and lies inside the picture, so it can be given to a `slots` locator as it is.
Some slots are empty, some hold another product than planned, and some hold what is not in the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calibration.render import grain
from calibration.render.basket import SOLID, SceneObject, shadow_under
from calibration.render.camera import photographed
from calibration.render.casting import Role, cast
from calibration.render.identity import Sku, catalogue
from calibration.render.severity import severity_named
from calibration.render.solids import Pose, pack_picture
from calibration.render.typeset import Style, set_text
from calibration.render.views import laid_over

__all__ = ["ShelfOrder", "ShelfTruth", "Slot", "shelf_picture"]

Picture = NDArray[np.uint8]
Bgra = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom, px
_ROWS = 3
_BOARD_PX = 34  # board and price strip
_EDGE_PX = 20
_TALLEST_PX = 172
_EMPTY_SHARE, _MISPLACED_SHARE = 0.05, 0.04
_SLOT_MARGIN_PX = 4
_VIEW_SHIFT = 0.008  # how far the camera's view moves a corner of the picture, share of its side


@dataclass(frozen=True, slots=True)
class ShelfOrder:
    """Which shelf to draw."""

    seed: int
    catalogue_skus: int = 50
    unknown: int = 2  # facings of things that are not enrolled
    width_px: int = 1280
    height_px: int = 720


@dataclass(frozen=True, slots=True)
class Slot:
    """One facing: what should stand there, and where; corners clockwise from the upper left, px."""

    id: str
    sku: str
    polygon: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class ShelfTruth:
    """What a picture shows. `objects[i].event` is the place of its slot in `slots`."""

    objects: tuple[SceneObject, ...]
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class _Facing:
    id: str
    planned: Sku
    cell: Box  # before the camera's view


def shelf_picture(order: ShelfOrder, number: int) -> tuple[Picture, ShelfTruth]:
    """Return picture `number` (H, W, 3) BGR of the shelf of this order, with its truth."""
    rng = np.random.default_rng([order.seed, 71, number])
    shape = (order.height_px, order.width_px)
    facings = tuple(_planned(order, rng))
    picture = _price_strips(_cabinet(rng, shape), facings, rng)
    view = _seen_from(rng, shape)
    objects = []
    for place, (facing, role) in enumerate(zip(facings, _shown(order, facings, rng, number), strict=True)):
        if role is not None and role.product is not None:
            box = _seen_box(*_stand(picture, facing, role.product, rng), view, shape)
            objects.append(SceneObject(place, role.sku_id, role.kind, box, False, 1.0))
    slots = tuple(Slot(facing.id, facing.planned.sku, _polygon(facing.cell, view, shape)) for facing in facings)
    shown = cv2.warpPerspective(picture, view, (order.width_px, order.height_px), borderMode=cv2.BORDER_REPLICATE)
    # A fixed shelf camera has the faults of `easy`; the geometry of the scene is drawn already.
    return photographed(np.asarray(shown, np.uint8), severity_named("easy"), rng, 0.8), ShelfTruth(
        tuple(objects), slots
    )


def _cabinet(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return the empty shelf: dark depth, boards and price strips."""
    height, width = shape
    row = height // _ROWS
    back = (rng.uniform(70, 160) + rng.uniform(-10, 10, 3)).astype(np.float32)
    fall = np.tile(np.linspace(0.45, 1.0, row, dtype=np.float32), _ROWS + 1)[:height]
    picture = fall[:, None, None] * back * (1 + 0.05 * grain.clouds(rng, (height, width), 8)[..., None])
    board = (rng.uniform(170, 225) + rng.uniform(-8, 8, 3)).astype(np.float32)
    for place in range(1, _ROWS + 1):
        top = place * row - _BOARD_PX
        picture[top : top + 8] = board
        picture[top + 8 : place * row] = board * np.float32(0.86)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _planned(order: ShelfOrder, rng: np.random.Generator) -> Iterator[_Facing]:
    """Yield the facings row by row; products stand in the order of the catalogue, so families are side by side."""
    skus = catalogue(order.seed, order.catalogue_skus)
    next_sku = int(rng.integers(len(skus)))
    row_px = order.height_px // _ROWS
    for row in range(_ROWS):
        left, place = _EDGE_PX, 1
        foot = (row + 1) * row_px - _BOARD_PX + 5
        while True:
            sku = skus[next_sku % len(skus)]
            width, height = _size_px(sku)
            for _ in range(int(rng.integers(1, 4))):
                if left + width > order.width_px - _EDGE_PX:
                    break
                yield _Facing(f"{'ABC'[row]}{place}", sku, (left, foot - height, left + width, foot))
                left, place = left + width + int(rng.integers(3, 9)), place + 1
            else:
                next_sku += 1
                continue
            break


def _size_px(sku: Sku) -> tuple[int, int]:
    """Return width and height of a pack on the shelf."""
    height = _TALLEST_PX * sku.form.tall * (1.05 if sku.big else 1.0) * 0.95
    return round(height * sku.form.aspect), round(height)


def _shown(order: ShelfOrder, facings: tuple[_Facing, ...], rng: np.random.Generator, number: int) -> list[Role | None]:
    """Return what stands in each slot: mostly what is planned."""
    skus = catalogue(order.seed, order.catalogue_skus)
    roles: list[Role | None] = []
    for facing, chance in zip(facings, rng.random(len(facings)), strict=True):
        stray = Role("enrolled", skus[int(rng.integers(len(skus)))])
        misplaced = chance < _EMPTY_SHARE + _MISPLACED_SHARE
        roles.append(None if chance < _EMPTY_SHARE else stray if misplaced else Role("enrolled", facing.planned))
    kinds = ("sibling", "new_brand") if number % 2 == 0 else ("new_brand", "sibling")
    unknown = cast(order.seed, order.catalogue_skus, 0, min(order.unknown, len(facings)), kinds, scene=number)
    for place, role in zip(rng.permutation(len(facings)), unknown, strict=False):
        roles[place] = role
    return roles


def _stand(picture: Picture, facing: _Facing, product: Sku, rng: np.random.Generator) -> tuple[Bgra, tuple[int, int]]:
    """Draw a pack into its slot, in place; return its sprite and where it is."""
    left, _, right, bottom = facing.cell
    pose = Pose(
        yaw_deg=float(rng.triangular(-22, 0, 22)),
        tilt_deg=float(rng.uniform(1, 7)),
        light=float(rng.uniform(-0.5, 0.5)),
        gloss=float(rng.uniform(0.1, 0.6)),
        crumple=int(rng.integers(2**31)),
    )
    width, height = _size_px(product)
    # A misplaced pack is as large as it is, but never wider than the slot.
    sprite = pack_picture(product, round(height * min(1.0, (right - left) / width) * 0.97), pose)
    place = ((left + right - sprite.shape[1]) // 2 + int(rng.integers(-2, 3)), bottom - sprite.shape[0])
    shadow_under(picture, sprite, place, 4)
    laid_over(picture, sprite, *place)
    return sprite, place


def _price_strips(picture: Picture, facings: tuple[_Facing, ...], rng: np.random.Generator) -> Picture:
    """Return the picture with a price tag under the first facing of each product."""
    canvas = Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))
    last = ""
    for facing in facings:
        if facing.planned.sku == last:
            continue
        last = facing.planned.sku
        left, top = facing.cell[0], facing.cell[3] + 4
        tag = (left, top, left + 54, top + 22)
        canvas.paste((250, 232, 90) if rng.random() < 0.2 else (250, 250, 246), tag)
        price = f"{rng.integers(0, 12)}.{rng.integers(0, 10)}9"
        set_text(canvas, price, (tag[0] + 4, tag[1] + 3, tag[2] - 4, tag[3] - 3), Style("print", (25, 25, 25), lines=1))
    return np.ascontiguousarray(np.asarray(canvas)[..., ::-1])


def _seen_from(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the homography of a camera that does not quite look straight at the shelf."""
    height, width = shape
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32)
    shift = rng.uniform(-_VIEW_SHIFT, _VIEW_SHIFT, (4, 2)) * (width, height)
    return np.asarray(cv2.getPerspectiveTransform(corners, (corners + shift).astype(np.float32)), np.float64)


def _seen_box(
    sprite: Bgra, place: tuple[int, int], view: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the box of a sprite in the picture that the camera takes."""
    solid = cv2.findNonZero((sprite[..., 3] >= SOLID).astype(np.uint8))
    hull = cv2.convexHull(solid).reshape(-1, 1, 2).astype(np.float64) + np.array(place)
    seen = cv2.perspectiveTransform(hull, view).reshape(-1, 2)
    low = np.clip(np.floor(seen.min(axis=0)), 0, (shape[1] - 1, shape[0] - 1)).astype(int)
    high = np.clip(np.ceil(seen.max(axis=0)) + 1, 1, (shape[1], shape[0])).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _polygon(cell: Box, view: NDArray[np.float64], shape: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    margin = _SLOT_MARGIN_PX
    left, top, right, bottom = cell[0] - margin // 2, cell[1] - margin, cell[2] + margin // 2, cell[3] + margin
    corners = np.array(((left, top), (right, top), (right, bottom), (left, bottom)), np.float64).reshape(-1, 1, 2)
    seen = cv2.perspectiveTransform(corners, view).reshape(-1, 2)
    inside = np.clip(np.rint(seen), 0, (shape[1] - 1, shape[0] - 1)).astype(int)
    return tuple((int(x), int(y)) for x, y in inside)
