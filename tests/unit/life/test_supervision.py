"""Frame progress: what feeds the watchdog and what does not."""

from __future__ import annotations

import pytest

from edge.capture.backoff import Backoff
from edge.capture.camera import CameraState
from edge.capture.memory import MemorySource
from edge.daemon import Stream
from edge.degrade.still import StillGate
from edge.health import Health
from edge.life.notify import Notifier
from edge.life.supervision import OVERDUE_NS, Supervision
from edge.locate.full_frame import FullFrameLocator
from edge.track import Tracker


class Heard(Notifier):
    """Writes down what would be sent."""

    def __init__(self) -> None:
        super().__init__({"WATCHDOG_USEC": "1000"})
        self.lines: list[str] = []

    def _send(self, *lines: str) -> None:
        self.lines += lines


class Clocked(MemorySource):
    """A camera that says when it is overdue."""

    deadline: int | None = None

    def deadline_ns(self) -> int | None:
        return self.deadline


class Turning:
    """As much of a daemon as supervision looks at."""

    def __init__(self, *cameras: Clocked) -> None:
        self.streams = [Stream(camera, FullFrameLocator(), Tracker(3), StillGate(3), Backoff(0)) for camera in cameras]


def beats(deadline_ns: int | None, state: CameraState, now_ns: int) -> int:
    camera, heard = Clocked("basket", []), Heard()
    camera.deadline, camera.state = deadline_ns, state
    Supervision(heard, Health(0)).turn(Turning(camera), now_ns)  # type: ignore[arg-type]
    return heard.lines.count("WATCHDOG=1")


@pytest.mark.parametrize(
    ("deadline_ns", "state", "fed"),
    [
        (2_000, CameraState.RUNNING, 1),  # frames come, or may come yet
        (None, CameraState.FAILED, 1),  # unplugged, opened again later
        (2_000, CameraState.OPENING, 1),
        (1_000 - OVERDUE_NS - 1, CameraState.RUNNING, 0),  # nobody gave it up: something of ours hangs
    ],
)
def test_progress(deadline_ns: int | None, state: CameraState, fed: int) -> None:
    assert beats(deadline_ns, state, now_ns=1_000) == fed


def test_the_first_turn_is_readiness_and_the_status_says_what_is_wrong() -> None:
    heard, health = Heard(), Health(0, bundle_id="b2", degraded="no plan", reload="failed: too large")
    supervision = Supervision(heard, health)
    supervision.turn(Turning(Clocked("basket", [])), 1_000)  # type: ignore[arg-type]
    supervision.turn(Turning(Clocked("basket", [])), 2_000)  # type: ignore[arg-type]
    assert heard.lines.count("READY=1") == 1
    said = "STATUS=0 of 1 cameras, 0.0 decisions/s; bundle b2; degraded; reload failed: too large"
    assert heard.lines[1] == said
