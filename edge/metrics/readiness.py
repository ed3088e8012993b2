"""Whether the daemon lives, and whether it can do its work: pure, from what `edge.health` knows.

`/healthz` asks the first: a daemon that does not live should be started again. `/readyz` asks the second: one that is
not ready may become so by itself. Each reason has a code; what hangs on a code may rely on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.health import STALLED_NS, Health
from edge.ports import FrameSource

__all__ = ["CODES", "Fault", "dead", "unready"]

# code -> what it means; a test holds that no other one is told
CODES: dict[str, str] = {
    "loop_stalled": "the loop has made no turn for 10 s: an engine or a disk that hangs",
    "starting": "bundle or engine are still being loaded, or the loop has not begun",
    "no_camera_running": "no camera gives frames",
    "outbox_refused": "the outbox's disk takes nothing: decisions that must arrive are not kept",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason: a key of CODES, and what was found."""

    code: str
    detail: str


def dead(health: Health, now_ns: int) -> tuple[Fault, ...]:
    """Return why the daemon does not live; nothing while it starts, for loading may take long."""
    if health.turn_ns is None or not health.is_stalled(now_ns):
        return ()
    age_s, limit_s = (now_ns - health.turn_ns) / 1e9, STALLED_NS / 1e9
    return (
        Fault("loop_stalled", f"the last turn of the loop began {age_s:.0f} s ago, expected {limit_s:.0f} at most"),
    )


def unready(health: Health, cameras: Sequence[FrameSource], now_ns: int) -> tuple[Fault, ...]:
    """Return every reason why the daemon cannot do its work now; none where it can."""
    faults = list(dead(health, now_ns))
    if not health.engine_ready:
        faults.append(Fault("starting", "the engine has not given the bundle's golden rows yet"))
    elif health.turn_ns is None:
        faults.append(Fault("starting", "the loop has not begun"))
    if not any(camera.state == "running" for camera in cameras):
        states = ", ".join(f"{camera.camera_id} {camera.fault or camera.state}" for camera in cameras)
        faults.append(Fault("no_camera_running", states or "there is no camera"))
    if health.outbox is not None and health.outbox().refusing:
        faults.append(Fault("outbox_refused", "the log says what the disk answered"))
    return tuple(faults)
