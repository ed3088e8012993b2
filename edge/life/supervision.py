"""When the supervisor hears of the daemon: ready, alive, how it is doing. A duty of the loop.

The watchdog is fed from frame progress alone, never from a thread beside it. Progress means that the loop has come
round, and that no camera is overdue by its own clock:

- An engine or a disk that hangs holds the loop: the watchdog bites, and a restart is what helps.
- A camera that is unplugged, opening or waiting to be opened again has no frame to give. That is known and told, the
  loop goes round, and a restart would help nobody: the watchdog is fed.
- A camera that should have been given up by now and was not is a fault of ours: it is not fed.
"""

from __future__ import annotations

from edge.capture.camera import Camera, CameraState
from edge.daemon import Daemon
from edge.health import Health
from edge.life.notify import Notifier

__all__ = ["Supervision"]

STATUS_NS = 1_000_000_000
OVERDUE_NS = 3_000_000_000  # beyond a camera's own deadline, which every turn judges


class Supervision:
    """Tells `notifier` what `health` and the cameras say, once a turn."""

    def __init__(self, notifier: Notifier, health: Health) -> None:
        self._notifier = notifier
        self._health = health
        self._is_ready = False
        self._next_status_ns = 0

    def turn(self, daemon: Daemon, now_ns: int) -> None:
        """Feed the watchdog where there is progress; the first turn is readiness."""
        cameras = [stream.camera for stream in daemon.streams if not stream.ended]
        if not self._is_ready:
            self._is_ready = True
            self._notifier.ready(self.status(cameras, now_ns))
        if not any(_overdue(camera, now_ns) for camera in cameras):
            self._notifier.beat(now_ns)
        if now_ns >= self._next_status_ns:
            self._next_status_ns = now_ns + STATUS_NS
            self._notifier.status(self.status(cameras, now_ns))

    def status(self, cameras: list[Camera], now_ns: int) -> str:
        """Return one line for a person."""
        health = self._health
        running = sum(camera.state is CameraState.RUNNING for camera in cameras)
        parts = [f"{running} of {len(cameras)} cameras, {health.rate_per_s(now_ns):.1f} decisions/s"]
        parts += [f"bundle {health.bundle_id}"] if health.bundle_id else []
        parts += ["degraded"] if health.degraded else []
        parts += [f"reload {health.reload}"] if health.reload else []
        return "; ".join(parts)


def _overdue(camera: Camera, now_ns: int) -> bool:
    deadline_ns = camera.deadline_ns()
    return deadline_ns is not None and now_ns > deadline_ns + OVERDUE_NS
