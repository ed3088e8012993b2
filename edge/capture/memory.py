"""A camera over frames that already exist: for tests, for replay, and for whoever has frames from elsewhere.

It keeps the port's promises without a process: nothing is dropped, images are read-only, the end is EOFError. An
element None means "no frame came within the timeout"; an iterator that raises CaptureError is a camera that fails
there. `reopen` goes on with the same iterator.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from edge.capture.camera import Camera, CameraState
from edge.errors import CaptureError
from edge.types import Frame, Image

__all__ = ["MemorySource", "frames_from_images"]


class MemorySource(Camera):
    """Gives the frames of an iterable one after the other."""

    def __init__(self, camera_id: str, frames: Iterable[Frame | None]) -> None:
        self.camera_id = camera_id
        self._frames: Iterator[Frame | None] = iter(frames)
        self._always: int = -1  # a descriptor that is always readable

    def reopen(self) -> None:
        """Go on with what is left of the iterable."""
        self.reopened += 1
        self._close()
        self._open()

    def fileno(self) -> int:
        """Return a descriptor that is readable from `__enter__` to `__exit__`; -1 outside."""
        return self._always

    def ready(self) -> bool:
        """Whether the end or a failure has not been told yet."""
        return self._always >= 0 and self.state in (CameraState.OPENING, CameraState.RUNNING)

    def _open(self) -> None:
        self.state = CameraState.OPENING
        self._always = os.eventfd(1, os.EFD_CLOEXEC)

    def _close(self) -> None:
        if self._always >= 0:
            os.close(self._always)
            self._always = -1

    def _read(self, timeout_ms: int) -> Frame | None:  # noqa: ARG002  # nothing here is ever waited for
        if self._always < 0:
            raise CaptureError(f"camera {self.camera_id}: not open; enter it with `with` first")
        try:
            frame = next(self._frames)
        except StopIteration:
            self.state = CameraState.ENDED
            raise EOFError(f"camera {self.camera_id}: no more frames") from None
        except Exception:
            self.state = CameraState.FAILED
            raise
        if frame is not None:
            self.state = CameraState.RUNNING
            self.delivered += 1
            self.last_taken_ns = time.monotonic_ns()
        return frame


def frames_from_images(
    camera_id: str, images: Iterable[Image], interval_ms: float = 100.0, start_ns: int = 0, start_wall_ns: int = 0
) -> Iterator[Frame]:
    """Number (H, W, 3) uint8 BGR images from 0 and stamp them `interval_ms` apart; the images become read-only views.

    The same images give the same frames, times included.
    """
    for number, image in enumerate(images):
        view = image.view()
        view.flags.writeable = False
        elapsed_ns = round(number * interval_ms * 1_000_000)
        yield Frame(camera_id, number, view, start_ns + elapsed_ns, start_wall_ns + elapsed_ns)
