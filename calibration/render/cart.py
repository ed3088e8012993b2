"""Still pictures of a cart's basket with several packs in it, some covering others, with ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.render.basket import (
    SOLID,
    Basket,
    SceneObject,
    empty_basket,
    lying_pose,
    pack_sprite,
    visible_box,
)
from calibration.render.camera import photographed
from calibration.render.casting import cast
from calibration.render.severity import severity_named
from calibration.render.strays import stray_object
from calibration.render.views import turned_sprite

__all__ = ["CartOrder", "cart_picture"]


@dataclass(frozen=True, slots=True)
class CartOrder:
    """Which baskets to draw."""

    seed: int
    catalogue_skus: int = 50
    products: int = 4  # enrolled packs in each picture
    unknown: int = 1  # other things in each picture; their kinds take turns
    width_px: int = 640
    height_px: int = 480


def cart_picture(order: CartOrder, number: int) -> tuple[NDArray[np.uint8], tuple[SceneObject, ...]]:
    """Return basket `number` (H, W, 3) BGR and what lies in it, from the lowest to the uppermost."""
    rng = np.random.default_rng([order.seed, 81, number])
    shape = (order.height_px, order.width_px)
    basket = Basket(empty_basket(rng, shape))
    kinds = ("sibling", "new_brand", "far")
    turned = kinds[number % 3 :] + kinds[: number % 3]
    roles = cast(order.seed, order.catalogue_skus, order.products, order.unknown, turned, scene=number)
    laid = []
    for event, role in enumerate(roles):
        long_px = int(rng.integers(150, 231))
        upright = (
            stray_object(rng, round(long_px * 0.7))
            if role.product is None
            else pack_sprite(role.product, long_px, lying_pose(rng))
        )
        sprite = turned_sprite(upright, float(rng.uniform(-25, 25)), 0.03, rng)
        place = basket.spot(sprite, rng)
        basket.lay(sprite, place, event)
        box = visible_box(sprite, place, shape)
        if box is not None:
            laid.append((event, role, box, int(np.count_nonzero(sprite[..., 3] >= SOLID))))
    objects = tuple(
        SceneObject(event, role.sku_id, role.kind, box, False, _share(basket, event, pixels))
        for event, role, box, pixels in laid
    )
    # The geometry is drawn; what is left is the camera's light, blur and noise.
    return photographed(basket.picture, severity_named("easy"), rng, 0.8), objects


def _share(basket: Basket, event: int, pixels: int) -> float:
    return round(min(1.0, np.count_nonzero(basket.owner == event) / max(1, pixels)), 3)
