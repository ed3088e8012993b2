"""The ladder at work: sensors read in a thread of their own, because a sick device answers slowly.

The loop asks `turn` once a second and never waits. Readings that are older than STALE_S are no readings: the ladder
stays where it stands, and that is logged once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol

from edge.degrade.ladder import Axis, Ladder, Turn

__all__ = ["Reader", "Watch"]

PERIOD_S = 1.0
STALE_S = 30.0

log = logging.getLogger("edge.degrade")


class Reader(Protocol):
    """What reads the sensors."""

    def read(self) -> dict[Axis, float]:
        """Return the readings that are to be had."""


class Watch:
    """Reads `sensors` inside `with`; `clock_ns` is CLOCK_MONOTONIC."""

    def __init__(self, sensors: Reader, ladder: Ladder, clock_ns: Callable[[], int]) -> None:
        self._sensors = sensors
        self._ladder = ladder
        self._clock_ns = clock_ns
        self._latest: tuple[int, Mapping[Axis, float]] | None = None  # replaced, never changed
        self._told_stale = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)  # may hang in a driver

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def turn(self, queue: float | None, cameras: int, now_ns: int) -> Turn | None:
        """Return where the ladder stands now, with so many live cameras; `queue` is the reading of that axis, or None.

        None before the first readings, and where they are stale.
        """
        latest = self._latest
        if latest is None:
            return None
        read_ns, readings = latest
        if now_ns - read_ns > STALE_S * 1e9:
            if not self._told_stale:
                log.error("no sensor has answered for %.0f s; the device stays as it is", (now_ns - read_ns) / 1e9)
            self._told_stale = True
            return None
        self._told_stale = False
        own = {} if queue is None else {Axis.QUEUE: queue}
        return self._ladder.update({**readings, **own}, cameras, now_ns / 1e9)

    def _run(self) -> None:
        told = False
        while not self._stop.is_set():
            try:
                self._latest = (self._clock_ns(), self._sensors.read())
            except Exception:  # the next reading may be sound, and without this thread nothing would ever move
                if not told:
                    log.exception("the sensors cannot be read; a bug")
                told = True
            self._stop.wait(PERIOD_S)
