"""Settings of the parts that stay through a change: prepared beside the loop, taken over between two frames.

- The ladder goes on from the step that it stands on, by other marks and sensors (`edge.degrade.ladder`).
- A limit under what is kept already is refused: it would throw away what was committed, and a slip of the pen is no
  reason for that. Who means it starts the daemon again.
- Keys are read again, also where no name of a file changed: another key of the collector takes over, a damaged list or
  a renewed pair of our own refuses the change. Lists are followed at every connection anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge import logs
from edge.config import DaemonConfig
from edge.degrade.assembly import marks_of, sensors_of
from edge.degrade.sensors import Sensors
from edge.degrade.watch import Watch
from edge.errors import ConfigError
from edge.health import Health
from edge.keys.assembly import Keys, caller_again
from edge.keys.line import Caller
from edge.metrics import MetricsServer
from edge.outbox.courier import Courier
from edge.outbox.store import Limits

__all__ = ["Prepared", "Staying", "prepared", "take_settings"]


@dataclass(slots=True, eq=False)
class Staying:
    """The parts that stay; None where the daemon has none. `children` tells its capture processes."""

    watch: Watch
    children: Callable[[], Sequence[int]]
    keys: Keys
    courier: Courier | None = None
    metrics: MetricsServer | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What takes over: other sensors where the ladder changes, and keys for the collector where those do."""

    sensors: Sensors | None = None
    caller: Caller | None = None


def prepared(staying: Staying, health: Health, path: Path, old: DaemonConfig, new: DaemonConfig) -> Prepared:
    """Return what is to take over from the old configuration; raises InputError."""
    _refuse_loss(health, path, old, new)
    caller = caller_again(new.keys, staying.keys)
    sensors = None
    if new.degrade is not None and new.degrade != old.degrade:
        sensors = sensors_of(new.degrade, new, staying.children)
    return Prepared(sensors, caller if staying.courier is not None and caller != staying.keys.outbox else None)


def take_settings(staying: Staying, ready: Prepared, old: DaemonConfig, new: DaemonConfig) -> list[str]:
    """Let settings take over; nothing here can fail. Return what changed beside the configuration."""
    if new.log != old.log:
        logs.set_up(new.log.format, level=new.log.level, burst=new.log.most_a_minute)
    if new.degrade is None and old.degrade is not None:
        staying.watch.switch_off()
    elif new.degrade is not None and ready.sensors is not None:
        staying.watch.follow(ready.sensors, marks_of(new.degrade), new.degrade.calm_s, bool(new.degrade.smaller))
    if staying.metrics is not None and new.metrics is not None:
        staying.metrics.follow(new.metrics)
    if staying.courier is not None and new.outbox is not None:
        staying.courier.limit(Limits(new.outbox.max_rows, new.outbox.max_mib << 20))
    if staying.courier is None or ready.caller is None:
        return []
    staying.courier.call(ready.caller)
    staying.keys = replace(staying.keys, outbox=ready.caller)
    return ["the key in keys.collector"]


def _refuse_loss(health: Health, path: Path, old: DaemonConfig, new: DaemonConfig) -> None:
    """Raise ConfigError for a limit that is lower than before and than what is kept."""
    limits: list[tuple[str, int, int, float]] = []  # key, before, asked for, what is kept
    if old.outbox is not None and new.outbox is not None and health.outbox is not None:
        waits = health.outbox()
        limits.append(("outbox.max_rows", old.outbox.max_rows, new.outbox.max_rows, waits.waiting))
        limits.append(("outbox.max_mib", old.outbox.max_mib, new.outbox.max_mib, waits.waiting_bytes / (1 << 20)))
    if old.feedback is not None and new.feedback is not None and health.feedback is not None:
        remembered = health.feedback().remembered
        limits.append(("feedback.max_decisions", old.feedback.max_decisions, new.feedback.max_decisions, remembered))
    for key, before, asked, kept in limits:
        if asked < min(before, kept):
            found = f"{key} is {asked}, but {kept:.6g} are kept already, and the oldest of them would be lost"
            raise ConfigError(f"{path}: {found}; give more, or start the daemon again with it")
