"""Cameras: each lives in a process of its own that can be killed, and hands frames over through shared memory.

`open_camera` is construction only: nothing starts before `with`. This file imports nothing heavy, because the child
process (`edge.capture.child`) passes through it and must stay small.

    failure, address, backoff   reasons, source strings, when to try again: pure
    drops, pace, frozen         which frame gives way and why, which is wanted, pictures that come again: pure
    ring, channel               the two ways between parent and child: frames, and everything else
    opening, child              the child's side: sources behind OpenCV
    stills                      single pictures
    spawn, process              the parent's side
    memory                      a source over frames that already exist, for tests and replay
    waiting                     wait for several cameras at once
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.capture.camera import Camera
    from edge.config import CameraConfig

__all__ = ["open_camera"]


def open_camera(config: CameraConfig, asks: bool = False) -> Camera:
    """Return the camera that `config` names; it starts when entered. `asks`: it takes memory for its frames where it is
    granted (`Camera.asked_bytes`).

    Raises InputError for a source string that no backend understands. Every source that a configuration can name is
    read in a child process; `edge.capture.memory.MemorySource` is for frames that already exist.
    """
    from edge.capture.process import ProcessCamera  # noqa: PLC0415  # imported on use: the child passes through here

    return ProcessCamera(config, asks=asks)
