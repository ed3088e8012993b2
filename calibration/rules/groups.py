"""Which products share cut points, and for which of them the promise is kept by itself.

A class with the photos to certify alone is a group; all others are one group, whose parts are tiers, neighbours joined
until each has the photos for claims of its own. Only counts decide, never how photos came out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from calibration.rules.bounds import clean_photos_needed

__all__ = ["ROOM", "Group", "Part", "Targets", "groups_of"]

ROOM = 6.0  # whoever has claims of its own needs this many times the clean photos
MOST_ALONE = 20  # classes with cut points of their own: each group costs all others certainty

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Targets:
    """What is promised: shares in (0, 1). `certainty` is the probability that the promise holds."""

    accept_error: float
    near_unknown: float
    certainty: float


@dataclass(frozen=True, slots=True)
class Part:
    """Products of a group with claims of their own: a name for people, and their positions."""

    name: str
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Products that share cut points: their parts, their tiers one by one, and how they came together.

    `source` is `class` for a product with the photos to stand alone, `global` for the others.
    """

    name: str
    source: str
    parts: tuple[Part, ...]
    tiers: tuple[Part, ...] = ()  # empty: the parts

    @property
    def members(self) -> tuple[int, ...]:
        """The positions of all its products."""
        return tuple(sorted(index for part in self.parts for index in part.members))


def groups_of(
    names: Sequence[str], tiers: Sequence[str], share: Floats, photos: NDArray[np.int64], targets: Targets
) -> list[Group]:
    """Return each class that has the photos to certify alone as a group, and all others as one, in parts.

    `names` (C,) are for people; `tiers` (C,) name a tier per class as `0 tail`, `1 mid`, ..., ordered by name. Parts
    are tiers, neighbours joined until each has the photos. `share` (C,) is the mix and `photos` (C,) the certifying
    photos per class: only counts are looked at, and since an error may be a photo of any product, a group's photos
    count in units of the heaviest photo of all.
    """
    heaviest = float(np.max(share / np.maximum(photos, 1), initial=0.0))
    strength = share / max(heaviest, 1e-300)
    rich = [int(c) for c in np.argsort(-strength, kind="stable")]
    fewest = _photos_needed(targets, 2)
    rich = [c for c in rich if strength[c] >= fewest and photos[c] > 0][:MOST_ALONE]
    for alone in range(len(rich), 0, -1):
        rest = sorted(set(range(len(tiers))) - set(rich[:alone]))
        groups = alone + bool(rest)
        needed = _photos_needed(targets, groups)
        if strength[rich[alone - 1]] >= needed and (not rest or strength[rest].sum() >= needed):
            singles = [Group(names[c], "class", (Part(names[c], (c,)),)) for c in rich[:alone]]
            return [*_whole(rest, tiers, strength, needed), *singles]
    return _whole(range(len(tiers)), tiers, strength, _photos_needed(targets, 1))


def _whole(members: Sequence[int], tiers: Sequence[str], strength: Floats, needed: float) -> list[Group]:
    """Return the members as one group, in as many parts of neighbouring tiers as have what is needed; none: none."""
    if not members:
        return []
    names = sorted({tiers[c] for c in members})
    ways = [
        [_part(names[start:end], members, tiers) for start, end in zip((0, *borders), (*borders, None), strict=True)]
        for count in range(len(names))
        for borders in combinations(range(1, len(names)), count)
    ]

    def weakest(parts: list[Part]) -> float:
        return min(float(strength[list(part.members)].sum()) for part in parts)

    able = [parts for parts in ways if weakest(parts) >= needed] or ways[:1]
    best = max(able, key=lambda parts: (len(parts), weakest(parts)))
    return [Group(_plain(names), "global", tuple(best), tuple(_part([name], members, tiers) for name in names))]


def _part(names: Sequence[str], members: Sequence[int], tiers: Sequence[str]) -> Part:
    return Part(_plain(names), tuple(c for c in members if tiers[c] in names))


def _plain(tiers: Sequence[str]) -> str:
    """Return the tiers' names without their order, joined."""
    return "+".join(tier.split(" ", 1)[-1] for tier in tiers)


def _photos_needed(targets: Targets, groups: int) -> float:
    return ROOM * clean_photos_needed(targets.accept_error, (1.0 - targets.certainty) / groups)
