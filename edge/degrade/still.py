"""What has not changed since it was looked at, so that looking again would tell nothing new.

A region is still while it lies where one lay that was looked at (intersection over union of SAME_PLACE) and no cell of
its picture, drawn together to SIDE x SIDE cells, differs by more than CHANGED grey levels from the first look at it:
means over cells are steadier than a sensor's noise, and that picture is kept, so a slow change adds up. A still region
is passed over once its looks suffice for the tracker, and looked at again in every `every`-th frame.

No clock and no I/O. State is of one camera, and bounded by the regions of one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.boxes import overlaps
from edge.preprocess import cut, thumbnail
from edge.types import Image, Region

__all__ = ["CHANGED", "SAME_PLACE", "SIDE", "StillGate"]

SIDE = 16
CHANGED = 12
SAME_PLACE = 0.8


@dataclass(slots=True, eq=False)
class _Seen:
    box: NDArray[np.int64]
    picture: NDArray[np.int16]
    looks: int
    passed: int


class StillGate:
    """The gate of one camera; `looks` is how many of them its tracker needs."""

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._seen: list[_Seen] = []

    def open_for(self, image: Image, regions: Sequence[Region], every: int) -> list[Region]:
        """Return the regions of a frame (H, W, 3) that have to be looked at; all of them with `every` 1."""
        if every <= 1:
            self._seen.clear()
            return list(regions)
        seen, chosen = [], []
        for region in regions:
            one = self._known(image, region)
            still = one.looks >= self._looks and one.passed < every - 1
            if still:
                one.passed += 1
            else:
                one.looks, one.passed = one.looks + 1, 0
                chosen.append(region)
            seen.append(one)
        self._seen = seen
        return chosen

    def _known(self, image: Image, region: Region) -> _Seen:
        """Return what is known of a region that has not changed, or a new entry."""
        box = np.array([[region.x, region.y, region.x + region.width, region.y + region.height]], np.int64)
        picture = thumbnail(cut(image, region), SIDE).astype(np.int16)
        for one in self._seen:
            if overlaps(box, one.box)[0, 0] >= SAME_PLACE and np.abs(picture - one.picture).max() <= CHANGED:
                return one
        return _Seen(box, picture, 0, 0)
