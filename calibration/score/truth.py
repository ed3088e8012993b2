"""The truth of a clip (`truth.json` of `edge-render clip`) and which object a decision was about.

A decision is about the object whose box fits its region best (intersection over union, times the share of the object
that nothing hides), if the region covers at least half of that box and the object fills at least a fifth of the region;
otherwise it is about nothing (a hand, an empty basket). A decision about nothing that was accepted is an error like any
other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from edge.errors import InputError
from edge.messages import Region

__all__ = ["Event", "Object", "Truth", "read_truth"]

COVERED = 0.5
FILLED = 0.2


class Event(Struct, frozen=True, kw_only=True):
    """One thing that was brought in. `kind` is enrolled, sibling, new_brand, far or hand."""

    event: int
    sku: str | None
    kind: str
    first_frame: int
    last_frame: int


class Object(Struct, frozen=True, kw_only=True):
    """One thing in one frame. `box` is x, y, width, height in pixels; `visible` is the share that nothing hides."""

    event: int
    sku: str | None
    kind: str
    box: tuple[float, float, float, float]
    moving: bool
    visible: float


class _Frame(Struct, frozen=True, kw_only=True):
    frame: int
    objects: tuple[Object, ...]


class _File(Struct, frozen=True, kw_only=True):
    fps: float
    events: tuple[Event, ...]
    frames: tuple[_Frame, ...]


class Truth:
    """What really was in each frame."""

    def __init__(self, file: _File) -> None:
        self.fps = file.fps
        self.events = file.events
        self._objects: Mapping[int, tuple[Object, ...]] = {frame.frame: frame.objects for frame in file.frames}

    def about(self, frame: int, region: Region) -> Object | None:
        """Return the object that a decision about `region` of `frame` was about, or None for nothing."""
        best, best_fit = None, 0.0
        for candidate in self._objects.get(frame, ()):
            x, y, width, height = candidate.box
            across = min(x + width, region.x + region.width) - max(x, region.x)
            down = min(y + height, region.y + region.height) - max(y, region.y)
            shared = max(across, 0.0) * max(down, 0.0)
            own, seen = width * height, region.width * region.height
            fit = candidate.visible * shared / max(own + seen - shared, 1e-9)
            if shared >= COVERED * own and shared >= FILLED * seen and fit > best_fit:
                best, best_fit = candidate, fit
        return best


def read_truth(path: Path) -> Truth:
    """Read the truth of a clip; raises InputError."""
    try:
        return Truth(msgspec.json.decode(path.read_bytes(), type=_File))
    except (OSError, msgspec.MsgspecError) as error:
        found = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: {found}; expected the truth.json of edge-render clip") from None
