"""What every frame source of this package offers beyond the port: warnings, and a way to wait for several at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from enum import Enum

from edge.config import CameraConfig
from edge.errors import CaptureError
from edge.ports import FrameSource

__all__ = ["Camera", "CameraState", "nothing"]


class CameraState(str, Enum):
    """The values of `FrameSource.state`."""

    OPENING = "opening"  # not entered yet, or started and no frame yet
    RUNNING = "running"  # frames come
    ENDED = "ended"  # read raised EOFError
    FAILED = "failed"  # read raised CaptureError; reopen() tries again
    SHED = "shed"  # closed by a device in trouble; reopen() brings it back


class Camera(FrameSource):
    """A frame source with an account of itself. One thread uses it.

    `delivered` frames were handed to the reader and `dropped` ones never will be, for the reasons in `drops`;
    `failures` counts by reason what `read` raised, `reopened` the calls of `reopen`.
    `warnings` counts what was wrong and survived (an unreadable picture, a truncated file), `recent_warnings` are the
    last few texts. `last_taken_ns` is when the last frame was read, CLOCK_MONOTONIC. Of a source that does not
    wait only one frame in `every` is handed out.

    `asked_bytes` is what the source wants for its frames and does not have, since `asked_ns` (CLOCK_MONOTONIC). It
    waits for `grant`, and fails where that does not come. `granted`: it is taking them.
    """

    state: str = CameraState.OPENING
    warnings: int = 0
    recent_warnings: tuple[str, ...] = ()
    last_taken_ns: int = 0
    every: int = 1
    asked_bytes: int = 0
    asked_ns: int = 0
    granted: bool = False

    @abstractmethod
    def ready(self) -> bool:
        """Whether `read(0)` would return a frame or raise something that was not told yet; never blocks.

        Looking and finding nothing arms the wake-up: only then does `fileno()` become readable with the next news.
        `read` does the same when it returns None.
        """

    def hunger(self) -> None:
        """Hear that the reader wants any frame: it sleeps for want of one, or serves others in this camera's place.

        Harmless when repeated.
        """

    def grant(self) -> None:
        """Let the source take what it asks for; harmless where it asks for nothing."""

    def refuse(self, why: str) -> None:
        """Fail with the next `read`: the reader cannot use what the source gives. `reopen` tries again."""
        raise CaptureError(f"camera {self.camera_id}: {why}")

    def shed(self) -> None:
        """Close the source until `reopen`; harmless for one that does not know how."""

    def part(self) -> Callable[[], None]:
        """Leave the source without waiting; what is returned waits until it is free, in any thread, and is to be called
        once, before `change`.
        """
        self._close()
        return nothing

    def change(self, config: CameraConfig) -> None:
        """Go on as this configuration of the same camera says, in a new opening: frame numbers and counts go on.

        A camera that was not left is left first, as in `reopen`. Raises CaptureError where that makes no sense.
        """
        raise CaptureError(f"camera {self.camera_id}: cannot be changed to {config.id}")

    def deadline_ns(self) -> int | None:
        """Return when (CLOCK_MONOTONIC) `ready` turns true by the passing of time alone, None for never."""
        return None


def nothing() -> None:
    """Wait for nothing."""
