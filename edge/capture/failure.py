"""Why a camera failed, in a closed list, and the one line that a person reads.

Credentials never reach a message: every text passes through `redact` first. Redaction would rather hide too much
than too little: all before the last `@` of an address and all after its first `?`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from edge.errors import CaptureError

__all__ = ["ADVICE", "CaptureFailure", "CaptureReason", "Outcome", "SourceFailure", "redact"]


class CaptureReason(str, Enum):
    """What went wrong with a camera. Another reader of the same camera may hang on these words: they never change."""

    NOT_FOUND = "not_found"  # no such file, device or host
    PERMISSION = "permission"  # it is there and may not be read
    TIMEOUT = "timeout"  # it did not open within open_timeout_ms
    CODEC = "codec"  # it is there, and no frame can be decoded from it
    AUTH = "auth"  # the camera wants other credentials
    ENDED = "ended"  # a live source closed the stream
    PROCESS_DIED = "process_died"  # the capture process was killed or crashed
    STALLED = "stalled"  # it was running, and no frame came within read_timeout_ms
    FROZEN = "frozen"  # a live camera gave the same pictures again for frozen_after_ms
    UNFIT = "unfit"  # its frames are not of the size that `locate` was drawn for
    MEMORY = "memory"  # there was no room for its frames, and nothing could be closed to make some


ADVICE = {
    CaptureReason.NOT_FOUND: "check the path, the cable or the address in `source`",
    CaptureReason.PERMISSION: "give this user read access (cameras: group video)",
    CaptureReason.TIMEOUT: "check cable and network, or raise open_timeout_ms",
    CaptureReason.CODEC: "check that it plays with this OpenCV build, or convert it",
    CaptureReason.AUTH: "check user and password in `source`",
    CaptureReason.ENDED: "check the camera; it is reopened",
    CaptureReason.PROCESS_DIED: "look for the out-of-memory killer or a crash in the kernel log; it is reopened",
    CaptureReason.STALLED: "check cable, network and power, or raise read_timeout_ms; it is reopened",
    CaptureReason.FROZEN: "check the camera, or raise frozen_after_ms where the scene is drawn; it is reopened",
    CaptureReason.UNFIT: "mend `locate`, or set the resolution of the camera back; it is reopened",
    CaptureReason.MEMORY: "lower its resolution or ring_slots, or give the daemon more memory; it is reopened",
}

_CREDENTIALS = re.compile(r"://\S*@")
_QUERY = re.compile(r"(://[^\s?]*)\?[^\s'\"]*")
_PROPERTY = re.compile(r"\b(user-id|user-pw|proxy-id|proxy-pw|password|user)\s*=\s*(\"[^\"]*\"|\S+)", re.IGNORECASE)


class CaptureFailure(CaptureError):  # noqa: N818  # the CaptureError with a reason, as opposed to the bare one
    """A CaptureError with its parts: `camera_id` and `reason`, for counters and for the decision to reopen."""

    def __init__(self, camera_id: str, reason: CaptureReason, detail: str) -> None:
        self.camera_id = camera_id
        self.reason = reason
        super().__init__(f"camera {camera_id}: {reason.value}: {redact(detail)}; {ADVICE[reason]}")


class SourceFailure(Exception):  # noqa: N818  # named beside CaptureFailure; it never leaves the child process
    """What the child met; it travels to the parent as reason and text and becomes a CaptureFailure there."""

    def __init__(self, reason: CaptureReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


def redact(text: str) -> str:
    """Hide user names, passwords and query strings in addresses and in GStreamer properties."""
    hidden = _CREDENTIALS.sub("://***@", text)
    hidden = _QUERY.sub(r"\1?***", hidden)
    return _PROPERTY.sub(r"\1=***", hidden)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an opening ended. Not an exception: one that is kept would keep all that its traceback holds, frames
    included.
    """

    reason: CaptureReason | None  # None: the end of a file
    detail: str

    def told(self, camera_id: str) -> CaptureFailure | EOFError:
        """Return it as what `read` raises."""
        if self.reason is None:
            return EOFError(f"camera {camera_id}: {self.detail}")
        return CaptureFailure(camera_id, self.reason, self.detail)
