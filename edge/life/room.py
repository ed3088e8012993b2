"""Memory for frames is granted where there is room for it: a duty of the loop, each turn.

Cameras ask before they take it (`Camera.asked_bytes`). One gets it at a time, of those that wait the one with the
highest priority first, and the next only by what the sensors say once that has been taken. What is still waited for
counts as taken on the ladder (`edge.life.shedding`), which makes room where it can. Without a ladder all are granted.
"""

from __future__ import annotations

import logging

from edge.capture.camera import Camera
from edge.capture.failure import CaptureReason
from edge.daemon import Daemon
from edge.degrade.watch import Watch

__all__ = ["Room", "asked_mib"]

MIB = 1 << 20

log = logging.getLogger("edge.life")


def asked_mib(daemon: Daemon) -> float:
    """Return what all cameras want that nobody has granted."""
    cameras = [stream.camera for stream in daemon.streams]
    return sum(camera.asked_bytes for camera in cameras if not camera.granted) / MIB


class Room:
    """Grants what `watch` finds room for."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._takes: Camera | None = None  # what it was granted
        self._since_ns = 0  # readings begun before do not know what was granted last
        self._told: set[Camera] = set()  # stands in the log as one that waits

    def turn(self, daemon: Daemon, now_ns: int) -> None:
        """Grant the next camera what it asks for, where there is room."""
        if self._takes is not None and self._takes.granted:
            return
        if self._takes is not None:
            self._takes, self._since_ns = None, now_ns
        asking = [stream for stream in daemon.streams if stream.camera.asked_bytes]
        self._told.intersection_update(stream.camera for stream in asking)
        for stream in sorted(asking, key=lambda stream: -stream.priority):
            camera, mib = stream.camera, stream.camera.asked_bytes / MIB
            since_ns = max(camera.asked_ns, self._since_ns)
            has_room = self._watch.has_room(mib, since_ns, now_ns)
            if has_room:
                camera.grant()
                self._takes = camera
                return
            if has_room is False and camera not in self._told:
                self._told.add(camera)
                camera.fault = CaptureReason.MEMORY.value
                log.warning("camera %s: no room for the %.0f MiB that its frames want; it waits", camera.camera_id, mib)
