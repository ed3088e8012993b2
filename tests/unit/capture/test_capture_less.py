"""A camera that is asked for less, or left for a while: thinned, shed, parted from and changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.capture.failure import CaptureFailure
from edge.capture.process import ProcessCamera
from edge.config import CameraConfig
from edge.errors import CaptureError
from tests.unit.capture.conftest import has_ended, read_frame

Start = Callable[..., ProcessCamera]


def test_a_thinned_camera_hands_out_every_second_frame_and_counts_the_others(started: Start) -> None:
    camera = started("synthetic: 64x48 200", when_full="drop_newest")
    camera.every = 2
    numbers = []
    with pytest.raises((EOFError, CaptureFailure)):
        while True:
            frame = read_frame(camera)
            numbers.append(frame.number)
            camera.release(frame)
    assert all(number % 2 == 0 for number in numbers)
    assert camera.drops["thinned"] >= len(numbers) // 2
    assert camera.delivered + camera.dropped == 200


def test_a_file_is_never_thinned(started: Start, clip: Path) -> None:
    camera = started(clip)
    camera.every = 4
    numbers = []
    with pytest.raises(EOFError):
        while True:
            frame = read_frame(camera)
            numbers.append(frame.number)
            camera.release(frame)
    assert numbers == list(range(20))


def test_a_camera_that_is_shed_gives_its_process_and_memory_back_until_it_is_opened_again(started: Start) -> None:
    camera = started("synthetic: 64x48")
    read_frame(camera)
    pid = camera.pid
    assert pid is not None
    camera.shed()
    assert has_ended(pid)
    assert (camera.state, camera.pid, camera.ready(), camera.fileno()) == ("shed", None, False, -1)
    assert camera.read(0) is None
    camera.reopen()
    frame = read_frame(camera)
    assert (frame.opening, camera.state) == (1, "running")


def test_a_camera_that_is_parted_from_goes_on_counting_when_it_is_changed(started: Start, clip: Path) -> None:
    camera = started(clip, loop=True)
    numbers = []
    for _ in range(3):
        frame = read_frame(camera)
        numbers.append(frame.number)
        camera.release(frame)
    free = camera.part()
    assert not camera.ready()
    assert (camera.fileno(), camera.deadline_ns(), camera.pid) == (-1, None, None)
    free()
    camera.change(CameraConfig(id="cam", source="synthetic: 64x48"))
    assert camera.is_live
    frame = read_frame(camera)
    assert frame.number > max(numbers)
    assert (frame.opening, camera.reopened, frame.image.shape) == (1, 1, (48, 64, 3))
    assert camera.delivered == 4
    camera.part()()
    assert camera.delivered + camera.dropped == camera._next_number, "every frame is accounted for"
    with pytest.raises(CaptureError, match="cannot be changed to other"):
        camera.change(CameraConfig(id="other", source="0"))
