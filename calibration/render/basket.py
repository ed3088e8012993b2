"""A cart's basket seen from above, and the packs that lie in it. Shared by cart stills and the cart clip."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.render import grain
from calibration.render.backgrounds import basket_floor
from calibration.render.identity import Sku
from calibration.render.solids import Pose, pack_picture
from calibration.render.views import laid_over, turned_sprite

__all__ = [
    "SOLID",
    "Basket",
    "SceneObject",
    "claim_pixels",
    "empty_basket",
    "lying_pose",
    "pack_sprite",
    "shadow_under",
    "visible_box",
]

Picture = NDArray[np.uint8]
Bgra = NDArray[np.uint8]
_EMPTY = -1
_EDGE_PX = 6  # least distance of a resting pack from the frame's edge
_TRIES = 14  # places looked at for a pack; the one that hides least is taken
SOLID = 96  # coverage, of 255, from which a pixel counts as belonging to a thing


@dataclass(frozen=True, slots=True)
class SceneObject:
    """Ground truth of one thing in one picture."""

    event: int
    sku: str | None  # None: not in the catalogue
    kind: str  # enrolled, sibling, new_brand, far or hand
    box: tuple[
        int, int, int, int
    ]  # x, y, width, height: the whole thing as far as the frame shows it, hidden parts too
    moving: bool
    visible: float  # share of the thing's pixels that neither the frame's edge nor another thing hides


@dataclass(slots=True, eq=False)
class Basket:
    """The picture of the basket with what lies in it, and whose each pixel is."""

    picture: Picture
    owner: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self.owner = np.full(self.picture.shape[:2], _EMPTY, np.int32)

    def spot(self, sprite: Bgra, rng: np.random.Generator) -> tuple[int, int]:
        """Return left and top of a place inside the frame where the sprite hides little of what lies there."""
        height, width = sprite.shape[:2]
        frame_h, frame_w = self.owner.shape
        best, least = (max(0, (frame_w - width) // 2), max(0, (frame_h - height) // 2)), frame_h * frame_w + 1
        for _ in range(_TRIES):
            left = int(rng.integers(_EDGE_PX, max(_EDGE_PX + 1, frame_w - width - _EDGE_PX)))
            top = int(rng.integers(_EDGE_PX, max(_EDGE_PX + 1, frame_h - height - _EDGE_PX)))
            hidden = int(np.count_nonzero(self.owner[top : top + height, left : left + width] != _EMPTY))
            if hidden < least:
                best, least = (left, top), hidden
        return best

    def lay(self, sprite: Bgra, place: tuple[int, int], event: int) -> None:
        """Lay a thing down for good, on top of what is there."""
        shadow_under(self.picture, sprite, place, 5)
        laid_over(self.picture, sprite, *place)
        claim_pixels(self.owner, sprite, place, event)


def claim_pixels(owner: NDArray[np.int32], sprite: Bgra, place: tuple[int, int], event: int) -> None:
    """Write `event` wherever the sprite is solid, in place."""
    left, top = place
    y0, x0 = max(0, top), max(0, left)
    part = sprite[y0 - top : owner.shape[0] - top, x0 - left : owner.shape[1] - left, 3] >= SOLID
    owner[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]][part] = event


def visible_box(sprite: Bgra, place: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the box of a sprite cut by a frame (H, W), or None where nothing of it is inside."""
    left, top = place
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(frame[1], left + sprite.shape[1]), min(frame[0], top + sprite.shape[0])
    return (x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None


def shadow_under(picture: Picture, sprite: Bgra, place: tuple[int, int], reach_px: int) -> None:
    """Darken what is below a thing, in place; the higher it is held, the farther its shadow reaches."""
    pad = 2 * reach_px
    cover = cv2.copyMakeBorder(sprite[..., 3], pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    shadow = np.zeros((*cover.shape, 4), np.uint8)
    shadow[..., 3] = cv2.blur(cover, (2 * reach_px + 1, 2 * reach_px + 1)) // 2
    laid_over(picture, shadow, place[0] - pad + reach_px, place[1] - pad + reach_px)


def empty_basket(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return an empty basket, (H, W) BGR: a floor with wires, rims at the sides, uneven light."""
    height, width = shape
    picture = basket_floor(rng, shape).astype(np.float32)
    rim = rng.uniform(14, 26)
    for depth, shade in ((rim * 1.6, 0.72), (rim, 1.35)):
        cv2.rectangle(
            picture, (0, 0), (width - 1, height - 1), (shade * picture.mean(axis=(0, 1))).tolist(), round(depth)
        )
    light = 1 + 0.1 * grain.clouds(rng, shape, 2)
    return np.asarray(np.clip(picture * light[..., None], 0, 255), np.uint8)


def lying_pose(rng: np.random.Generator) -> Pose:
    """Draw how a pack lies in the basket: its front more or less up."""
    return Pose(
        yaw_deg=float(rng.triangular(-40, 0, 40)),
        tilt_deg=float(rng.uniform(0, 16)),
        light=float(rng.uniform(-0.6, 0.6)),
        gloss=float(rng.uniform(0.2, 0.7)),
        crumple=int(rng.integers(2**31)),
    )


def pack_sprite(sku: Sku, long_px: int, pose: Pose) -> Bgra:
    """Return the pack with its long edge about `long_px`, upright."""
    aspect = sku.form.aspect
    sprite = pack_picture(sku, round(long_px / max(1.0, aspect)), pose)
    return turned_sprite(sprite, 0.0, 0.0, np.random.default_rng(0), long_px / max(sprite.shape[:2]))
