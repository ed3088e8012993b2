"""The ladder put together from the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.config import DaemonConfig, DegradeConfig
from edge.degrade.ladder import Axis, Ladder, Marks
from edge.degrade.sensors import Sensors
from edge.degrade.watch import Watch

__all__ = ["marks_of", "sensors_of", "watch_of"]

POWER = (0.4, 0.5, 2.0)  # it is 0 or 1


def watch_of(
    settings: DegradeConfig | None,
    config: DaemonConfig,
    children: Callable[[], Sequence[int]],
    clock_ns: Callable[[], int],
) -> Watch:
    """Return the watch for a daemon, switched off without settings; `children` tells its capture processes."""
    if settings is None:
        return Watch(None, Ladder({}, DegradeConfig().calm_s), clock_ns)
    ladder = Ladder(marks_of(settings), settings.calm_s, bool(settings.smaller))
    return Watch(sensors_of(settings, config, children), ladder, clock_ns)


def sensors_of(settings: DegradeConfig, config: DaemonConfig, children: Callable[[], Sequence[int]]) -> Sensors:
    """Return the sensors that the settings ask for."""
    disks = [Path(part.path) for part in (config.outbox, config.feedback) if part is not None]
    return Sensors(settings.memory_limit_mib, disks, settings.power_mode, lambda: [os.getpid(), *children()])


def marks_of(settings: DegradeConfig) -> dict[Axis, Marks]:
    """Return the marks of each axis."""
    return {
        Axis.MEMORY: Marks(*settings.memory),
        Axis.OWN_MEMORY: Marks(*settings.own_memory),
        Axis.TEMPERATURE: Marks(*settings.temperature_c),
        Axis.POWER: Marks(*POWER),
        Axis.QUEUE: Marks(*settings.queue),
        Axis.DISK: Marks(*settings.disk_mib),
    }
