"""Memory for frames is granted where there is room for it: a duty of the loop, each turn.

Cameras ask before they take it (`Camera.asked_bytes`), and of those that wait the one with the highest priority is
looked at first. What was granted and may be missing in the last reading of memory is added to it. What is still waited
for counts as taken on the ladder (`edge.life.shedding`), which makes room where it can. Without a ladder there is room.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from edge.capture.camera import Camera
from edge.capture.failure import CaptureReason
from edge.daemon import TICK_MS, Daemon
from edge.degrade.watch import Watch

__all__ = ["HURRY_MS", "Room", "asked_mib"]

MIB = 1 << 20
HURRY_MS = 5  # a turn of the loop while memory is being read for a camera that waits

log = logging.getLogger("edge.life")


def asked_mib(daemon: Daemon) -> float:
    """Return what all cameras want that nobody has granted."""
    cameras = [stream.camera for stream in daemon.streams]
    return sum(camera.asked_bytes for camera in cameras if not camera.granted) / MIB


@dataclass(slots=True)
class _Grant:
    """What a camera may take, and when it was found to have taken it; None until then."""

    mib: float
    taken_ns: int | None = None


class Room:
    """Grants what `watch` finds room for."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._grants: dict[Camera, _Grant] = {}
        self._told: set[Camera] = set()  # stands in the log as one that waits

    def turn(self, daemon: Daemon, now_ns: int) -> None:
        """Grant cameras what they ask for, where there is room."""
        for camera, grant in self._grants.items():
            if grant.taken_ns is None and not camera.granted:
                grant.taken_ns = now_ns
        asking = [stream for stream in daemon.streams if stream.camera.asked_bytes and not stream.camera.granted]
        self._told.intersection_update(stream.camera for stream in asking)
        self._grants = {c: grant for c, grant in self._grants.items() if any(s.camera is c for s in daemon.streams)}
        daemon.tick_ms = TICK_MS
        for stream in sorted(asking, key=lambda stream: -stream.priority):
            camera, mib = stream.camera, stream.camera.asked_bytes / MIB
            has_room = self._watch.has_room(mib, camera.asked_ns, now_ns, self._beside)
            if has_room:
                camera.grant()
                self._grants[camera] = _Grant(mib)
            elif has_room is None:
                daemon.tick_ms = HURRY_MS
            elif camera not in self._told:
                self._told.add(camera)
                camera.fault = CaptureReason.MEMORY.value
                log.warning("camera %s: no room for the %.0f MiB that its frames want; it waits", camera.camera_id, mib)

    def _beside(self, read_ns: int) -> float:
        """Return the MiB that were granted and may be missing in a reading begun at `read_ns`, the latest."""
        return sum(g.mib for g in self._grants.values() if g.taken_ns is None or g.taken_ns >= read_ns)
