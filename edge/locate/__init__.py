"""Locators: where in a frame to look. One locator serves one camera; `locator_from_config` picks it by a table."""

from __future__ import annotations

from collections.abc import Callable

from edge.config import Detector, FullFrame, Locate, Motion, Slots
from edge.errors import InputError
from edge.locate.detector import DetectorLocator, DetectorModel
from edge.locate.full_frame import FullFrameLocator
from edge.locate.motion import MotionLocator
from edge.locate.slots import SlotLocator
from edge.ports import Locator

__all__ = ["DetectorModel", "locator_from_config"]


def locator_from_config(locate: Locate, load_detector: Callable[[Detector], DetectorModel] | None = None) -> Locator:
    """Return a new locator for one camera.

    `load_detector` gives the model of a `kind: detector`; it is called only then. Raises InputError for slots that
    cannot be used, and for a detector where the caller has no way to run one.
    """
    if isinstance(locate, Detector):
        if load_detector is None:
            raise InputError("locate: kind detector, and no engine for detectors is at hand; choose another kind")
        return DetectorLocator(locate, load_detector(locate))
    return _LOCATORS[type(locate)](locate)


_LOCATORS: dict[type, Callable[..., Locator]] = {
    FullFrame: lambda _: FullFrameLocator(),
    Slots: SlotLocator,
    Motion: MotionLocator,
}
