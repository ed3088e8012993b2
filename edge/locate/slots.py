"""Fixed facings of a shelf: the bounding box of each polygon, labelled with the slot's id, in the order configured.

Corners lie on the grid between pixels: [0, 0] is the upper left corner of the frame, [width, height] the lower right.
A polygon that leaves the frame means that the polygons were drawn on a frame of another size: that is refused at the
first frame and at a change of size, instead of looking at the wrong products.
"""

from __future__ import annotations

from edge.config import Slot, Slots
from edge.errors import InputError
from edge.ports import Locator
from edge.types import Frame, Region

__all__ = ["SlotLocator"]


class SlotLocator(Locator):
    """Looks at the same places in every frame. Its only state is the size of the frames it has checked."""

    def __init__(self, slots: Slots) -> None:
        """Take the boxes of the polygons; raises InputError for a polygon without area."""
        self._regions = tuple(_region(slot) for slot in slots.slots)
        self._checked_shape: tuple[int, ...] = ()

    def _locate(self, frame: Frame) -> tuple[Region, ...]:
        shape = frame.image.shape[:2]
        if shape != self._checked_shape:
            self._refuse_outside(frame.camera_id, *shape)
            self._checked_shape = shape
        return self._regions

    def _refuse_outside(self, camera_id: str, height: int, width: int) -> None:
        for region in self._regions:
            right, bottom = region.x + region.width, region.y + region.height
            if right > width or bottom > height:
                found = f"slot {region.label} reaches to {right},{bottom} and the frame is {width}x{height}"
                raise InputError(f"camera {camera_id}: locate: {found}; draw the polygons on a frame of this camera")


def _region(slot: Slot) -> Region:
    columns, rows = zip(*slot.polygon, strict=True)
    left, top = min(columns), min(rows)
    width, height = max(columns) - left, max(rows) - top
    if width == 0 or height == 0:
        raise InputError(f"locate: slot {slot.id}: the polygon has no area; give at least three corners of an area")
    return Region(left, top, width, height, slot.id)
