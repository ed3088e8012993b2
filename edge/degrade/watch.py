"""The ladder at work: sensors read in a thread of their own, because a sick device answers slowly.

The loop asks `turn` once a second, and `has_room` while a camera wants memory: then the sensors are read at once. It
never waits. Readings that are older than STALE_S are no readings: the ladder
stays where it stands, and that is logged once. Other sensors and marks take over from the step that the ladder stands
on (`follow`); switched off it has no axes any more, and goes back to the whole step by step, as calmly as ever.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from edge.degrade.ladder import Axis, Ladder, Marks, Turn

__all__ = ["Reader", "Watch"]

PERIOD_S = 1.0
PATIENCE_S = 2.0  # with sensors that say nothing while a camera wants memory; then it gets it, as if nobody watched
STALE_S = 30.0

log = logging.getLogger("edge.degrade")


class Reader(Protocol):
    """What reads the sensors."""

    def read(self) -> dict[Axis, float]:
        """Return the readings that are to be had."""

    def taking(self, mib: float) -> Mapping[Axis, float]:
        """Return by how much they change where so much more memory is taken; called after `read`."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What `sensors` said, and when they were asked."""

    sensors: Reader
    asked_ns: int
    readings: Mapping[Axis, float]


class Watch:
    """Reads `sensors` inside `with`, None where it is switched off; `clock_ns` is CLOCK_MONOTONIC."""

    def __init__(self, sensors: Reader | None, ladder: Ladder, clock_ns: Callable[[], int]) -> None:
        self._sensors = sensors
        self._ladder = ladder
        self._clock_ns = clock_ns
        self._since_ns = clock_ns()  # these sensors are asked
        self._latest: _Read | None = None  # replaced, never changed
        self._told_stale = False
        self._stop = threading.Event()
        self._now = threading.Event()  # the next reading is wanted at once
        self._wanted_ns: int | None = None  # since when one is wanted and not there
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)  # may hang in a driver

    def __enter__(self) -> Watch:
        if self._sensors is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._now.set()

    @property
    def is_off(self) -> bool:
        """Whether nothing is asked and nothing is left of a step down."""
        return self._sensors is None and self._ladder.step == 0

    def follow(self, sensors: Reader, marks: Mapping[Axis, Marks], calm_s: float, smaller: bool = False) -> None:
        """Go on with other sensors and marks, with or without a smaller engine, from where the ladder stands; for the
        loop.
        """
        self._ladder.follow(marks, calm_s, smaller)
        self._sensors, self._since_ns = sensors, self._clock_ns()
        if self._thread.ident is None:
            self._thread.start()

    def switch_off(self) -> None:
        """Ask nothing any more; for the loop. A step down is taken back after as much time as any other."""
        self._ladder.follow({})
        self._sensors = None

    def has_room(self, mib: float, since_ns: int, now_ns: int, beside: Callable[[int], float]) -> bool | None:
        """Whether so much more memory may be taken, by a reading that was begun after `since_ns`. `beside` returns the
        MiB that may be missing in a reading, by when that was begun. None: only another reading will tell.
        """
        if self._sensors is None:
            return True
        latest = self._of_these()
        if latest is None or latest.asked_ns <= since_ns:
            self._now.set()
            if self._wanted_ns is None or (latest is not None and latest.asked_ns >= self._wanted_ns):
                self._wanted_ns = now_ns  # they have answered since one was wanted before
            return True if now_ns - self._wanted_ns > PATIENCE_S * 1e9 else None
        missing_mib = beside(latest.asked_ns)
        if self._ladder.has_room(latest.readings, self._sensors.taking(mib + missing_mib)):
            return True
        return None if missing_mib else False

    def turn(self, queue: float | None, cameras: int, now_ns: int, asked_mib: float = 0.0) -> Turn | None:
        """Return where the ladder stands now, with so many live cameras; `queue` is the reading of that axis, or None.
        Memory that cameras wait for, `asked_mib`, counts as taken.

        None before the first readings, where they are stale, and where it is off.
        """
        if self._sensors is None:
            return None if self.is_off else self._ladder.update({}, cameras, now_ns / 1e9)
        latest = self._of_these()
        asked_ns = self._since_ns if latest is None else latest.asked_ns
        if now_ns - asked_ns > STALE_S * 1e9:
            if not self._told_stale:
                log.error("no sensor has answered for %.0f s; the device stays as it is", (now_ns - asked_ns) / 1e9)
            self._told_stale = True
            return None
        if latest is None:
            return None
        self._told_stale = False
        readings = {**latest.readings, **({} if queue is None else {Axis.QUEUE: queue})}
        for axis, change in self._sensors.taking(asked_mib).items() if asked_mib else ():
            if axis in readings:
                readings[axis] += change
        return self._ladder.update(readings, cameras, now_ns / 1e9)

    def _of_these(self) -> _Read | None:
        """Return the latest reading of these sensors; what others said is perhaps in other units."""
        latest = self._latest
        return latest if latest is not None and latest.sensors is self._sensors else None

    def _run(self) -> None:
        told = False
        while not self._stop.is_set():
            sensors = self._sensors
            try:
                if sensors is not None:
                    self._latest = _Read(sensors, self._clock_ns(), sensors.read())
            except Exception:  # the next reading may be sound, and without this thread nothing would ever move
                if not told:
                    log.exception("the sensors cannot be read; a bug")
                told = True
            self._now.wait(PERIOD_S)
            self._now.clear()
