"""Clips, folders and cameras for the capture tests."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.capture.process import ProcessCamera
from edge.capture.spawn import COMMAND
from edge.config import CameraConfig
from edge.types import Frame

HEIGHT, WIDTH = 48, 64
STEP = 10  # grey levels between frames of a clip: more than the codec's error


def grey_picture(level: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def write_clip(path: Path, frames: int = 20, rate: float = 25) -> Path:
    """A motion JPEG clip; frame n is grey of level STEP * n."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(grey_picture(STEP * number))
    writer.release()
    return path


def read_frame(camera: ProcessCamera) -> Frame:
    """The next frame; fails when none comes for long."""
    for _ in range(60):
        frame = camera.read(timeout_ms=1000)
        if frame is not None:
            return frame
    raise AssertionError("no frame for 60 s")


def read_all(camera: ProcessCamera) -> list[tuple[int, int]]:
    """(number, grey level) of every frame until the source ends or fails."""
    seen = []
    while True:
        frame = read_frame(camera)
        seen.append((frame.number, int(frame.image[0, 0, 0])))
        camera.release(frame)


def has_ended(pid: int) -> bool:
    """Wait for the end of a process that need not be our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 20)[0])
    finally:
        os.close(descriptor)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.avi")


@pytest.fixture
def started() -> Iterator[Callable[..., ProcessCamera]]:
    """Build and enter a camera; it is left at the end of the test."""
    with ExitStack() as stack:

        def start(
            source: object, command: tuple[str, ...] = COMMAND, asks: bool = False, **settings: Any
        ) -> ProcessCamera:
            config = CameraConfig(id=settings.pop("id", "cam"), source=str(source), **settings)
            camera = ProcessCamera(config, command, asks=asks)
            return stack.enter_context(camera)

        yield start
