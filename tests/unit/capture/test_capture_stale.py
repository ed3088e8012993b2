"""Pictures that are older than they look: what FFmpeg kept while it opened, while it waited, or from the one before."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from h264 import change, picture
from mjpeg_camera import MULTIPART, http_camera, jpeg_part, noisy

from edge.capture.drops import DropReason
from edge.capture.failure import CaptureFailure, CaptureReason
from edge.capture.process import ProcessCamera
from tests.unit.capture.conftest import grey_picture, read_all, read_frame

Start = Callable[..., ProcessCamera]
DARK, GREY, BRIGHT = 20, 120, 240


def film(number: int, level: int) -> bytes:
    return picture(grey_picture(level) + np.uint8(number % 8), number)


def test_a_stream_begins_with_what_comes_not_with_what_it_was_recognised_by(started: Start) -> None:
    with http_camera("video/h264", lambda number: film(number, DARK if number < 5 else GREY)) as url:
        frame = read_frame(started(url, when_full="wait"))
        assert frame.image[0, 0, 0] > 100, "FFmpeg reads a second of a raw stream before it says that it is open"


def test_what_a_parser_held_back_is_not_handed_out_when_the_stream_stops(started: Start) -> None:
    stop_at, going = 120, threading.Event()

    def part(number: int) -> bytes:
        if number >= stop_at:
            going.wait()
        return film(number, BRIGHT if number == stop_at - 1 else GREY)

    with http_camera("video/h264", part) as url:
        camera = started(url, read_timeout_ms=1000, max_age_ms=60_000, frozen_after_ms=60_000)
        levels = []
        with pytest.raises(CaptureFailure) as failure:
            while True:
                frame = read_frame(camera)
                levels.append(int(frame.image[0, 0, 0]))
                camera.release(frame)
        going.set()
    assert failure.value.reason is CaptureReason.STALLED
    assert 100 < max(levels) < 200, "the last picture came when the next one did not"


def test_a_picture_that_was_cut_short_is_damaged_and_not_filled_from_the_one_before(started: Start) -> None:
    def part(number: int) -> bytes:
        if number == 80:
            raise OSError("the camera is switched off")
        cut = number > 20 and number % 2
        return jpeg_part(grey_picture(40), kept=0.7) if cut else jpeg_part(grey_picture(200 + number // 2 % 20))

    with http_camera(MULTIPART, part) as url:
        camera = started(url)
        assert read_frame(camera).image[0, 0, 0] > 190
        with pytest.raises(CaptureFailure):
            assert all(level > 190 for _, level in read_all(camera))
        assert camera.warnings > 0


def test_a_film_is_seen_again_from_the_first_whole_key_frame_on_after_a_damaged_one(started: Start) -> None:
    """What the decoder makes of a damaged picture, and of those that say what changed since, is never handed on."""
    every, cut_from, cut_to = 10, 60, 90

    def part(number: int) -> bytes:
        level = DARK if cut_from <= number < cut_to else BRIGHT
        shade = grey_picture(level) + np.uint8(number % 16)
        if number % every:
            return change(shade, number % every, blocks=2)
        whole = picture(shade, number // every)
        return whole[: int(len(whole) * 0.6)] if level == DARK else whole

    with http_camera("video/h264", part) as url:
        camera = started(url, when_full="wait", frozen_after_ms=60_000, max_age_ms=60_000)
        mixed: list[int] = []
        while len(mixed) < 60:
            frame = read_frame(camera)
            mixed.append(int(np.ptp(frame.image)))
            camera.release(frame)
    assert max(mixed) < (BRIGHT - DARK) / 4, "the lower part was filled up from the picture before"
    assert camera.warnings >= cut_to - cut_from, "each picture that was passed over is told"
    assert camera.drops[DropReason.DAMAGED] >= cut_to - cut_from, "and counted"


def test_a_jpeg_with_a_hole_is_damaged_though_it_begins_and_ends_well(started: Start) -> None:
    def part(number: int) -> bytes:
        if number == 80:
            raise OSError("the camera is switched off")
        return jpeg_part(noisy(number, (96, 128)), hole=300 if number > 20 and number % 2 else 0)

    with http_camera(MULTIPART, part) as url:
        camera = started(url)
        read_frame(camera)
        with pytest.raises(CaptureFailure):
            read_all(camera)
        assert camera.warnings > 20
