"""Frames that already exist, as a camera."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge.capture.memory import MemorySource, frames_from_images
from edge.capture.waiting import wait_any
from edge.errors import CaptureError
from edge.types import Frame


def images(count: int) -> list[np.ndarray]:
    return [np.full((4, 5, 3), number, np.uint8) for number in range(count)]


def test_images_become_numbered_frames_with_made_up_times() -> None:
    frames = list(frames_from_images("cam", images(3), interval_ms=2.5, start_ns=100, start_wall_ns=7))
    assert [(f.camera_id, f.number, f.captured_ns, f.captured_wall_ns) for f in frames] == [
        ("cam", 0, 100, 7),
        ("cam", 1, 2_500_100, 2_500_007),
        ("cam", 2, 5_000_100, 5_000_007),
    ]
    assert not any(frame.image.flags.writeable for frame in frames)


def test_a_failure_in_the_middle_is_told_and_survived() -> None:
    class Flaky:
        def __init__(self) -> None:
            self._frames = frames_from_images("cam", images(2))
            self._failed = False

        def __iter__(self) -> Iterator[Frame | None]:
            return self

        def __next__(self) -> Frame | None:
            frame = next(self._frames)
            if frame.number == 1 and not self._failed:
                self._failed = True
                raise CaptureError("camera cam: unplugged")
            return frame

    with MemorySource("cam", Flaky()) as source:
        assert source.read(0) is not None
        with pytest.raises(CaptureError, match="unplugged"):
            source.read(0)
        assert (source.state, source.ready(), wait_any([source], 0)) == ("failed", False, [])
        source.reopen()
        assert wait_any([source], 0) == [source]
        with pytest.raises(EOFError):
            source.read(0)
        assert (source.state, source.delivered, source.reopened) == ("ended", 1, 1)


def test_none_means_that_no_frame_came() -> None:
    frames = list(frames_from_images("cam", images(1)))
    with MemorySource("cam", [None, *frames]) as source:
        assert source.read(1000) is None
        assert source.read(1000) is frames[0]


def test_a_failure_of_the_iterator_is_a_capture_error() -> None:
    def broken() -> Iterator[Frame]:
        raise RuntimeError("the recording is damaged")
        yield

    with MemorySource("cam", broken()) as source, pytest.raises(CaptureError, match="camera cam: the recording"):
        source.read(0)
