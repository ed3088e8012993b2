"""Which things appear in a scene: enrolled products by their sales weight, and things that are not enrolled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.render.identity import Sku, catalogue, hidden_siblings, strangers
from edge.errors import InputError

__all__ = ["UNKNOWN_KINDS", "Role", "cast"]

UNKNOWN_KINDS = ("sibling", "new_brand", "hand", "far")
_MOST_ROLES = 5_000
_STRANGERS = 200  # products of new brands to choose from


@dataclass(frozen=True, slots=True)
class Role:
    """One thing of a scene."""

    kind: str  # enrolled, sibling, new_brand, far or hand
    product: Sku | None  # None: no product (far, hand)

    @property
    def sku_id(self) -> str | None:
        """Return the id in the catalogue, or None for what is not enrolled."""
        return self.product.sku if self.product is not None and self.kind == "enrolled" else None


def cast(
    seed: int, skus: int, products: int, unknown: int, kinds: tuple[str, ...] = UNKNOWN_KINDS, *, scene: int = 0
) -> tuple[Role, ...]:
    """Return `products` enrolled and `unknown` other things in a seeded order; the kinds of the others take turns.

    Products are drawn by their sales weight and do not repeat before every one of the catalogue has appeared.
    """
    if not 0 <= products + unknown <= _MOST_ROLES:
        raise InputError(f"{products + unknown} things were asked for in one scene; {_MOST_ROLES} at most can be cast")
    rng = np.random.default_rng([seed, 61, scene])
    enrolled = catalogue(seed, skus)
    weights = np.array([sku.weight for sku in enrolled])
    chosen: list[int] = []
    while len(chosen) < products:
        count = min(products - len(chosen), len(enrolled))
        chosen += rng.choice(len(enrolled), count, replace=False, p=weights / weights.sum()).tolist()
    roles = [Role("enrolled", enrolled[place]) for place in chosen]
    hidden = hidden_siblings(seed, skus) if unknown else ()
    new = strangers(seed, _STRANGERS) if unknown else ()
    for number in range(unknown):
        kind = kinds[number % len(kinds)]
        product = None
        if kind == "sibling":
            product = hidden[int(rng.integers(len(hidden)))]
        elif kind == "new_brand":
            product = new[int(rng.integers(len(new)))]
        roles.append(Role(kind, product))
    return tuple(roles[place] for place in rng.permutation(len(roles)))
