"""A camera that gives more than is decided on: only what its reader will come for is decoded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import pytest
from background import until
from mjpeg_camera import INTERVAL_S, mjpeg_camera, noisy

from edge.capture.camera import Camera
from edge.capture.drops import RING_REASONS, DropReason
from edge.capture.failure import CaptureFailure, CaptureReason
from edge.capture.pace import LEAST_RATE_NS, PRESSED, Pace
from edge.capture.process import ProcessCamera
from edge.capture.ring import Ring, Stamp
from edge.capture.waiting import wait_any
from tests.unit.capture.conftest import read_frame

Start = Callable[..., ProcessCamera]
MS = 1_000_000
FRAME_MS = 33


def pace_after(takes_ms: list[float], every: int = 1) -> int:
    """When a frame is wanted again after takes at these moments, of a camera of 30 frames a second."""
    pace, wanted = Pace(), 0
    for taken_ms in takes_ms:
        number = int(taken_ms // FRAME_MS)
        wanted = pace.take(number, number * FRAME_MS * MS, every, round(taken_ms * MS))
    return wanted


def test_frames_are_wanted_a_quarter_of_the_interval_before_the_next_take() -> None:
    assert pace_after([0, 400, 800, 1_200]) == pytest.approx((1_200 + 300) * MS, rel=1e-3)


def test_two_frames_of_the_camera_lie_there_when_the_reader_comes() -> None:
    assert pace_after([0, 200, 400, 600]) == pytest.approx((600 + 200 - 2 * FRAME_MS) * MS, rel=1e-2)
    assert pace_after([0, 400, 800, 1_200], every=2) < (1_200 + 400 - 4 * FRAME_MS + 1) * MS


def test_the_shortest_of_the_last_intervals_counts() -> None:
    assert pace_after([0, 400, 500, 900]) < 1_000 * MS


def test_a_reader_that_is_about_as_fast_as_the_camera_wants_every_frame() -> None:
    assert pace_after([0, 50, 100, 150, 200]) == 0


def test_a_reader_that_slept_for_want_of_a_frame_wants_every_frame_for_a_while() -> None:
    pace, wanted = Pace(), []
    for take in range(3 * PRESSED + 1):
        if take == PRESSED + 1:
            pace.hunger()
        wanted.append(pace.take(12 * take, 400 * take * MS, 1, 400 * take * MS) > 0)
    before = [False] * (PRESSED - 1) + [True]
    assert wanted == [False, *before, *before] + [True] * PRESSED


def test_a_burst_that_the_ring_held_is_not_being_behind() -> None:
    pace = Pace()
    for number in range(3 * PRESSED):
        assert pace.take(number, number * FRAME_MS * MS, 1, 900 * number * MS) == 0
        assert not pace.is_behind


def test_the_first_take_and_a_number_that_did_not_grow_say_nothing() -> None:
    pace = Pace()
    for _ in range(PRESSED + 1):
        assert pace.take(5, 0, 1, 1_000 * MS) == 0


def test_a_ring_tells_its_writer_what_is_wanted() -> None:
    writer = Ring.create(4, 12)
    reader = Ring.attach(os.dup(writer.descriptor))
    assert writer.unwanted(0, LEAST_RATE_NS) is None, "all, as long as nobody has taken one"
    reader.want(1, 1_000 * MS)
    writer.publish(0, 1, 1, Stamp(500 * MS, 0), 0)
    assert writer.unwanted(999 * MS - LEAST_RATE_NS, LEAST_RATE_NS) is DropReason.UNASKED
    assert writer.unwanted(1_000 * MS, LEAST_RATE_NS) is None
    reader.want(1, 9_000 * MS)
    assert writer.unwanted(600 * MS, LEAST_RATE_NS) is DropReason.UNASKED
    assert writer.unwanted(500 * MS + LEAST_RATE_NS, LEAST_RATE_NS) is None, "a frame now and then, whatever is wanted"
    reader.hunger()
    assert writer.unwanted(600 * MS, LEAST_RATE_NS) is None
    reader.want(2, 0)
    assert writer.unwanted(600 * MS, LEAST_RATE_NS) is DropReason.THINNED, "the next number is 1"
    writer.skip(DropReason.THINNED, 0)
    assert writer.unwanted(600 * MS, LEAST_RATE_NS) is None
    for number in (2, 3, 4):
        writer.publish(number - 1, 1, 1, Stamp(number, 0), 0)
    taken = reader.take(0, newest=True)
    assert taken is not None
    assert taken.number == 4
    assert reader.take(0) is None, "the older ones gave way"
    drops = dict(zip(RING_REASONS, writer.drops, strict=True))
    assert {reason: count for reason, count in drops.items() if count} == {
        DropReason.NEWER_FRAME: 3,
        DropReason.THINNED: 1,
    }
    reader.close()
    writer.close()


def take_now(camera: ProcessCamera, busy_s: float) -> int | None:
    """Be busy, then take the frame that lies there, if any, without waiting for one."""
    time.sleep(busy_s)
    frame = camera.read(0)
    if frame is None:
        return None
    camera.release(frame)
    return frame.number


def test_a_slow_reader_has_less_decoded_and_a_hungry_one_everything_again(started: Start) -> None:
    with mjpeg_camera(noisy) as url:
        camera = started(url)
        camera.release(read_frame(camera))
        until(lambda: take_now(camera, 12 * INTERVAL_S) is not None and camera.drops["unasked"] >= 20)
        skipped = [camera.drops["unasked"]]
        numbers = []
        while len(numbers) < 30:
            frame = read_frame(camera)
            numbers.append(frame.number)
            camera.release(frame)
            camera.ready()
            skipped.append(camera.drops["unasked"])
        assert skipped[-1] - skipped[1] <= 1, "one may have been passed over before the reader said that it waits"
        camera._close()
    assert camera.delivered + camera.dropped == camera._next_number, "every frame is accounted for"


def test_a_camera_that_freezes_under_a_slow_reader_is_noticed(started: Start) -> None:
    live = 40

    def picture(number: int) -> np.ndarray:
        return noisy(min(number, live))

    with mjpeg_camera(picture) as url:
        camera = started(url, frozen_after_ms=800)
        camera.release(read_frame(camera))
        with pytest.raises(CaptureFailure) as failure:
            while True:
                take_now(camera, 10 * INTERVAL_S)
    assert failure.value.reason is CaptureReason.FROZEN


def test_what_is_thinned_is_not_decoded(started: Start) -> None:
    with mjpeg_camera(noisy) as url:
        camera = started(url)
        camera.every = 3
        camera.release(read_frame(camera))
        until(
            lambda: (
                take_now(camera, 0) is not None and camera._rings[0].drops[RING_REASONS.index(DropReason.THINNED)] > 10
            )
        )  # those of the writer
        assert read_frame(camera).number % 3 == 0


def test_drop_newest_and_files_are_never_asked_for_less(started: Start) -> None:
    for source, policy in (("synthetic: 64x48 2000", "drop_newest"), ("synthetic: 64x48 60", "wait")):
        camera = started(source, when_full=policy, id=policy.replace("_", "-"))
        with pytest.raises((EOFError, CaptureFailure)):
            while True:
                take_now(camera, 0.005)
        assert camera.drops["unasked"] == 0


class Standing(Camera):
    """A camera that was read at some moment, and has a frame or has none."""

    def __init__(self, last_taken_ns: int, has_frame: bool) -> None:
        self.camera_id, self.last_taken_ns, self._has_frame, self.asked = (
            str(last_taken_ns),
            last_taken_ns,
            has_frame,
            0,
        )

    def ready(self) -> bool:
        return self._has_frame

    def hunger(self) -> None:
        self.asked += 1

    def fileno(self) -> int:
        return -1

    def _read(self, timeout_ms: int) -> None: ...


def test_a_camera_that_misses_its_turn_is_asked_at_once() -> None:
    late, ready, fresh = Standing(1, False), Standing(2, True), Standing(3, False)
    assert wait_any([fresh, ready, late], 0) == [ready]
    assert (late.asked, ready.asked, fresh.asked) == (1, 0, 0), "the turn of one that was just read has not come"
