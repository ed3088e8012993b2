"""The whole frame is one region: for photos of single products and for cameras that see one thing."""

from __future__ import annotations

from edge.ports import Locator
from edge.types import Frame, Region

__all__ = ["FullFrameLocator"]


class FullFrameLocator(Locator):
    """Looks everywhere. Keeps no state."""

    def _locate(self, frame: Frame) -> tuple[Region, ...]:
        height, width = frame.image.shape[:2]
        return (Region(0, 0, width, height, "frame"),)
