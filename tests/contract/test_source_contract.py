"""What every frame source promises, whatever stands behind it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.capture import open_camera
from edge.capture.camera import Camera
from edge.capture.memory import MemorySource, frames_from_images
from edge.capture.waiting import wait_any
from edge.config import CameraConfig
from edge.errors import CaptureError
from edge.types import Frame

COUNT = 8
HEIGHT, WIDTH = 24, 32


def _pictures() -> list[np.ndarray]:
    return [np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8) for number in range(COUNT)]


def _memory(_: Path) -> Camera:
    return MemorySource("cam", frames_from_images("cam", _pictures()))


def _folder(folder: Path) -> Camera:
    for number, picture in enumerate(_pictures()):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return open_camera(CameraConfig(id="cam", source=str(folder)))


def _clip(folder: Path) -> Camera:
    path = folder / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for picture in _pictures():
        writer.write(picture)
    writer.release()
    return open_camera(CameraConfig(id="cam", source=str(path)))


def _synthetic(_: Path) -> Camera:
    return open_camera(CameraConfig(id="cam", source=f"synthetic: {WIDTH}x{HEIGHT} {COUNT}"))


SOURCES = {"memory": _memory, "folder": _folder, "clip": _clip, "synthetic": _synthetic}


@pytest.fixture(params=sorted(SOURCES))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Camera:
    build: Callable[[Path], Camera] = SOURCES[request.param]
    return build(tmp_path)


def _next(source: Camera) -> Frame:
    for _ in range(60):
        frame = source.read(timeout_ms=1000)
        if frame is not None:
            return frame
    raise AssertionError("no frame for 60 s")


def _outcome(source: Camera) -> tuple[list[Frame], type[Exception]]:
    """Read to the end, copying what is kept."""
    frames = []
    while True:
        try:
            frame = _next(source)
        except (EOFError, CaptureError) as error:
            return frames, type(error)
        frames.append(
            Frame(frame.camera_id, frame.number, frame.image.copy(), frame.captured_ns, frame.captured_wall_ns)
        )
        source.release(frame)


def test_frames_are_numbered_timed_and_shaped(source: Camera) -> None:
    with source:
        frames, _ = _outcome(source)
    assert frames
    numbers = [frame.number for frame in frames]
    assert numbers == sorted(set(numbers))
    for frame in frames:
        assert frame.camera_id == source.camera_id == "cam"
        assert (frame.image.shape, frame.image.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    times = [frame.captured_ns for frame in frames]
    assert times == sorted(times)


def test_everything_is_delivered_or_counted(source: Camera) -> None:
    with source:
        frames, _ = _outcome(source)
    assert source.delivered == len(frames)
    assert source.delivered + source.dropped == COUNT
    if not source.is_live:
        assert source.dropped == 0


def test_the_end_is_told_by_kind_and_again_when_asked_again(source: Camera) -> None:
    with source:
        _, error = _outcome(source)
        assert error is EOFError if not source.is_live else issubclass(error, CaptureError)
        assert source.state == ("failed" if source.is_live else "ended")
        with pytest.raises(error):
            source.read(0)
        assert not source.ready()
        assert wait_any([source], 0) == []


def test_images_are_read_only(source: Camera) -> None:
    with source:
        frame = _next(source)
        with pytest.raises(ValueError, match="read-only"):
            frame.image[:] = 0
        source.release(frame)
        source.release(frame)


def test_before_entering_and_after_leaving_nothing_is_held(source: Camera) -> None:
    gc.collect()  # tracebacks of the tests before hold frames
    before = len(os.listdir("/proc/self/fd"))
    assert source.state == "opening"
    with pytest.raises(CaptureError, match="not open"):
        source.read(0)
    with source:
        _next(source)
        assert source.fileno() >= 0
        assert source.state == "running"
    assert source.fileno() == -1
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(CaptureError, match="not open"):
        source.read(0)


def test_reopening_is_counted_and_goes_on(source: Camera) -> None:
    with source:
        last = _next(source).number
        source.reopen()
        assert (source.reopened, source.state) == (1, "opening")
        assert _next(source).number > last


def test_waiting_finds_the_frame(source: Camera) -> None:
    with source:
        assert wait_any([source], timeout_ms=60_000) == [source]
        with suppress(CaptureError):  # a live source may have ended while we were away
            frame = source.read(0)
            assert frame is None or frame.number >= 0
