"""Memory for frames is asked for before it is taken: real capture processes, a reader that says yes, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from background import until
from mjpeg_camera import mjpeg_camera, noisy

from edge.capture import process
from edge.capture.failure import CaptureFailure, CaptureReason
from edge.capture.process import ProcessCamera
from tests.unit.capture.conftest import HEIGHT, WIDTH, read_all, read_frame

Start = Callable[..., ProcessCamera]

SLOTS = 3
SMALL = (HEIGHT, WIDTH)
LARGE = (2 * HEIGHT, 3 * WIDTH)


def needed(size: tuple[int, int]) -> int:
    """Bytes for a ring of such pictures, and for two that are being decoded."""
    return (SLOTS + 2) * size[0] * size[1] * 3


def asks(camera: ProcessCamera) -> int:
    camera.ready()
    return camera.asked_bytes


def read_until_it_asks(camera: ProcessCamera, wanted_bytes: int) -> None:
    while asks(camera) != wanted_bytes:
        if (frame := camera.read(20)) is not None:
            camera.release(frame)


class Sensor:
    """Noise as large as `size` says."""

    def __init__(self) -> None:
        self.size = SMALL

    def picture(self, number: int) -> np.ndarray:
        return noisy(number, self.size)


@contextmanager
def growing(started: Start) -> Iterator[tuple[ProcessCamera, Sensor]]:
    """A camera that gives small pictures and now asks for room for large ones."""
    sensor = Sensor()
    with mjpeg_camera(sensor.picture) as url:
        camera = started(url, ring_slots=SLOTS, asks=True)
        until(lambda: asks(camera))
        camera.grant()
        camera.release(read_frame(camera))
        sensor.size = LARGE
        read_until_it_asks(camera, needed(LARGE))
        yield camera, sensor


def test_no_memory_is_taken_before_it_is_granted(started: Start) -> None:
    camera = started("synthetic: 64x48", ring_slots=SLOTS, asks=True, when_full="drop_newest")
    until(lambda: asks(camera))
    assert camera.asked_bytes == needed(SMALL)
    assert camera.read(50) is None
    assert (camera._rings, camera.state, camera.granted) == ([], "opening", False)
    camera.grant()
    assert camera.granted
    assert read_frame(camera).number == 0, "what was passed over before the first ring has no number"
    assert (camera.asked_bytes, camera.granted) == (0, False)


def test_a_file_waits_for_its_memory_and_loses_nothing(started: Start, clip: Path) -> None:
    camera = started(clip, ring_slots=SLOTS, asks=True)
    until(lambda: asks(camera))
    camera.grant()
    with pytest.raises(EOFError):
        read_all(camera)
    assert (camera.delivered, camera.dropped) == (20, 0)


def test_larger_pictures_wait_for_a_larger_ring_and_are_counted(started: Start) -> None:
    with growing(started) as (camera, _):
        until(lambda: camera.ready() or camera.drops["no_slot"] >= 5)
        assert (len(camera._rings), camera.state) == (1, "running"), "the source is read on, so that nothing gets old"
        camera.grant()
        frame = read_frame(camera)
        while frame.image.shape[:2] != LARGE:
            camera.release(frame)
            frame = read_frame(camera)
        camera.shed()
        assert camera._next_number == camera.delivered + camera.dropped, "every frame is accounted for"
        assert camera.drops["unread"] < SLOTS + 1, "and by its reason, but for what lay in the ring"


def test_a_question_that_has_become_needless_is_withdrawn(started: Start) -> None:
    with growing(started) as (camera, sensor):
        sensor.size = SMALL
        read_until_it_asks(camera, 0)
        camera.grant()
        assert not camera.granted, "nothing is granted that nobody asks for"
        while (frame := read_frame(camera)).image.shape[:2] != SMALL:
            camera.release(frame)


def test_a_camera_that_gets_no_memory_fails_by_that_name_and_asks_again(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "ROOM_MS", 300)
    camera = started("synthetic: 64x48", ring_slots=SLOTS, asks=True, open_timeout_ms=60_000)
    with pytest.raises(CaptureFailure, match=r"no room for 0\.044 MiB of frames within 300 ms") as failure:
        read_all(camera)
    assert failure.value.reason is CaptureReason.MEMORY
    assert (camera.asked_bytes, camera.failures) == (0, {"memory": 1})
    camera.reopen()
    until(lambda: asks(camera))
    camera.grant()
    read_frame(camera)


def test_a_closed_camera_wants_nothing(started: Start) -> None:
    camera = started("synthetic: 64x48", ring_slots=SLOTS, asks=True)
    until(lambda: asks(camera))
    camera.shed()
    assert (camera.asked_bytes, camera.granted) == (0, False)
