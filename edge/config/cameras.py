"""Cameras, and what finds regions in their frames."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from edge.config.base import Config, Fraction, Identifier, Milliseconds, Points

__all__ = ["LOOKS", "CameraConfig", "Detector", "FullFrame", "Locate", "Motion", "Slot", "Slots"]

LOOKS = 3


class FullFrame(Config, frozen=True, tag_field="kind", tag="full_frame"):
    """The whole frame is one region."""


class Slot(Config, frozen=True):
    """One fixed facing of a shelf."""

    id: Identifier
    polygon: Points


class Slots(Config, frozen=True, tag_field="kind", tag="slots"):
    """Fixed facings; one region for the bounding box of each polygon."""

    slots: Annotated[tuple[Slot, ...], Meta(min_length=1, max_length=256)]


class Motion(Config, frozen=True, tag_field="kind", tag="motion"):
    """What differs from the learned background (MOG2), for carts and baskets.

    `min_area` and `max_area` are shares of the frame. A region is reported only while it stays where it is, from frame
    to frame: `steady` is the intersection over union that two frames must reach (0 reports moving things too).
    `history_frames` is how long the background remembers; a thing that rests becomes background after about a tenth.
    """

    min_area: Fraction = 0.01
    max_area: Fraction = 0.6
    steady: Fraction = 0.0
    history_frames: Annotated[int, Meta(ge=10, le=10_000)] = 500
    max_regions: Annotated[int, Meta(ge=1, le=64)] = 8


class Detector(Config, frozen=True, tag_field="kind", tag="detector"):
    """An ONNX detector: output boxes (N, 4) as x1, y1, x2, y2 in input pixels and scores (N,) or (N, classes)."""

    model: str
    min_score: Fraction = 0.3
    max_overlap: Fraction = 0.5
    max_regions: Annotated[int, Meta(ge=1, le=256)] = 32


Locate: TypeAlias = FullFrame | Slots | Motion | Detector


class CameraConfig(Config, frozen=True):
    """One camera, file or folder.

    `source`: a device (/dev/video0 or 0), a video file, a folder of pictures, an rtsp:// or http(s):// URL, a GStreamer
    pipeline behind `gst: `, or `synthetic: WxH [COUNT]` for tests. `loop` starts a file or folder again at its end;
    `realtime` delivers a video file at its own frame rate, as a camera would, instead of as fast as it is decided on.

    `when_full` says what gives way when frames come faster than they are decided on: `drop_oldest` (live sources by
    themselves), `drop_newest`, or `wait` (files and folders by themselves, which are decided on to the last frame). A
    frame of a source that does not wait is never decided on when it is older than `max_age_ms` as its turn comes. A
    live camera that gives no frame for `read_timeout_ms`, or only pictures it gave before for `frozen_after_ms`, is
    opened again; a repeated picture is never decided on. A file that gives none for ten times as long is given up.
    Raise `frozen_after_ms` for a stream whose encoder repeats the picture of a still scene.

    `looks` is how many looks at a thing are needed before one can be accepted; at least half of them must agree. 1 is
    for pictures that are each about another thing, such as a folder of photos: each is held to the certificate alone.
    A device in trouble closes live cameras, those with the lowest `priority` first.
    """

    id: Identifier
    source: Annotated[str, Meta(min_length=1)]
    loop: bool = False
    realtime: bool = False
    locate: Locate = FullFrame()
    looks: Annotated[int, Meta(ge=1, le=32)] = LOOKS
    priority: Annotated[int, Meta(ge=0, le=100)] = 0
    ring_slots: Annotated[int, Meta(ge=2, le=64)] = 4
    when_full: Annotated[str, Meta(pattern="^(auto|drop_oldest|drop_newest|wait)$")] = "auto"
    max_age_ms: Milliseconds = 1_000
    open_timeout_ms: Milliseconds = 10_000
    read_timeout_ms: Milliseconds = 1_500
    frozen_after_ms: Milliseconds = 1_500
