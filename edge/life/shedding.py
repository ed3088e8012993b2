"""Doing less where the ladder says so (`edge.degrade.ladder`): a duty of the loop, once a second.

Where a step asks for the smaller engine, `edge.life.reload` sees that in `daemon.measures` and lets it take over.
Every turn brings all cameras to what the step asks for, so one that came with another configuration, or failed and was
opened again meanwhile, is thinned or closed like the others.
"""

from __future__ import annotations

import logging

from edge.capture.camera import CameraState
from edge.daemon import Daemon, Stream
from edge.degrade.ladder import Measures, Turn
from edge.degrade.watch import Watch
from edge.feedback.state import Finding
from edge.health import Health
from edge.life.room import asked_mib
from edge.outgoing import Outgoing

__all__ = ["Shedding"]

PERIOD_NS = 1_000_000_000

log = logging.getLogger("edge.life")


class Shedding:
    """Asks `watch` where the ladder stands, and has the daemon do as much as that step allows."""

    def __init__(self, watch: Watch, health: Health, outgoing: Outgoing) -> None:
        self._watch = watch
        self._health = health
        self._outgoing = outgoing
        self._next_ns = 0

    def turn(self, daemon: Daemon, now_ns: int) -> None:
        """Take what the sensors say into account where it is time."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + PERIOD_NS
        live = [stream for stream in daemon.streams if stream.camera.is_live and not stream.ended]
        turn = self._watch.turn(daemon.take_queue(), len(live), now_ns, asked_mib(daemon))
        if turn is None:
            self._health.turn = None if self._watch.is_off else self._health.turn
            return
        self._health.turn = turn
        daemon.measures = turn.measures
        _take(live, daemon.measures)
        self._tell(turn)

    def _tell(self, turn: Turn) -> None:
        evidence: dict[str, float | str] = {axis.value: round(value, 3) for axis, value in turn.stress.items()}
        if turn.moved:
            name, way = turn.name, "less" if turn.moved > 0 else "more again"
            summary = f"the device does {way}: step {turn.step}, {name}" + (f" ({turn.cause})" if turn.cause else "")
            log.warning("%s", summary)
            found = {"step": float(turn.step), "name": name, **evidence}
            self._outgoing.event(Finding(event="ladder_moved", summary=summary, evidence=found))
        if turn.alarm:
            summary = f"{' and '.join(turn.alarm)} worsen together within a minute"
            log.warning("%s", summary)
            self._outgoing.event(Finding(event="axes_worsen_together", summary=summary, evidence=evidence))


def _take(live: list[Stream], measures: Measures) -> None:
    """Thin and close cameras, the lowest priority first and of equals the last named; bring the others back."""
    ranks = sorted(range(len(live)), key=lambda place: (live[place].priority, -place))
    for number, place in enumerate(ranks):
        camera = live[place].camera
        camera.every = measures.every
        if number < min(measures.shed, len(live) - 1):
            if camera.state != CameraState.SHED:
                camera.shed()
        elif camera.state == CameraState.SHED:
            camera.reopen()
