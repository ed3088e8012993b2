"""A camera that gives old pictures as new ones: no repeat is ever handed out, and the camera fails by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mjpeg_camera import mjpeg_camera, noisy

from edge.capture.failure import CaptureFailure, CaptureReason
from edge.capture.frozen import RECENT, Pictures, checksum
from edge.capture.process import ProcessCamera
from tests.unit.capture.conftest import WIDTH, grey_picture, read_all, read_frame

Start = Callable[..., ProcessCamera]
SECOND_NS = 1_000_000_000
LIVE = 12  # pictures before the sensor stops


def checksums_until_failure(camera: ProcessCamera) -> tuple[list[int], CaptureFailure]:
    seen = []
    with pytest.raises(CaptureFailure) as failure:
        while True:
            frame = read_frame(camera)
            seen.append(checksum(frame.image))
            camera.release(frame)
    return seen, failure.value


@pytest.mark.parametrize("buffers", [1, 4])
def test_a_frozen_camera_fails_by_name_and_none_of_its_repeats_is_handed_out(started: Start, buffers: int) -> None:
    def picture(number: int) -> np.ndarray:
        return noisy(number if number < LIVE else LIVE - 1 - number % buffers)

    with mjpeg_camera(picture) as url:
        camera = started(url, frozen_after_ms=300)
        seen, failure = checksums_until_failure(camera)
    assert failure.reason is CaptureReason.FROZEN
    assert "no new picture for" in str(failure)
    assert len(seen) > 1
    assert len(set(seen)) == len(seen)
    assert camera.drops["repeated"] > 0, "how many come in 300 ms is the machine's"
    assert (camera.failures, camera.fault) == ({"frozen": 1}, "frozen")
    with pytest.raises(CaptureFailure):
        camera.read(0)
    assert camera.failures == {"frozen": 1}, "what is told again is not counted again"


def test_a_camera_that_is_still_frozen_when_opened_again_gives_nothing_until_it_lives(started: Start) -> None:
    alive = [False]

    def picture(number: int) -> np.ndarray:
        return noisy(number) if alive[0] or number < LIVE else noisy(LIVE)

    with mjpeg_camera(picture) as url:
        camera = started(url, frozen_after_ms=300)
        before, _ = checksums_until_failure(camera)
        camera.reopen()
        again, failure = checksums_until_failure(camera)
        assert failure.reason is CaptureReason.FROZEN
        assert again == [], "the old picture is known to the next opening"
        alive[0] = True
        camera.reopen()
        frame = read_frame(camera)
        assert checksum(frame.image) not in before
        assert frame.opening == camera.reopened == 2
        assert (camera.failures, camera.fault) == ({"frozen": 2}, "")
        camera._close()
    assert camera.delivered + camera.dropped == camera._next_number


def test_a_scene_that_rests_is_no_frozen_camera(started: Start) -> None:
    with mjpeg_camera(noisy) as url:
        camera = started(url, frozen_after_ms=1)
        for _ in range(20):
            camera.release(read_frame(camera))
    assert camera.drops["repeated"] == 0


def test_files_may_repeat_themselves(started: Start, tmp_path: Path) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), grey_picture(7))
    camera = started(tmp_path, frozen_after_ms=1)
    with pytest.raises(EOFError):
        read_all(camera)
    assert (camera.delivered, camera.dropped) == (5, 0)


def test_time_and_memory_of_pictures() -> None:
    pictures = Pictures([], frozen_after_ms=1500)
    assert pictures.frozen_ms(SECOND_NS) is None
    assert not pictures.repeats(noisy(0), SECOND_NS)
    assert pictures.repeats(noisy(0), 2 * SECOND_NS)
    assert pictures.frozen_ms(2 * SECOND_NS) is None
    assert pictures.frozen_ms(SECOND_NS * 5 // 2) == 1500
    assert not pictures.repeats(noisy(1), 3 * SECOND_NS)
    assert pictures.frozen_ms(4 * SECOND_NS) is None, "a new picture begins the time anew"
    for number in range(2, RECENT + 1):
        pictures.repeats(noisy(number), 4 * SECOND_NS)
    assert pictures.repeats(noisy(1), 4 * SECOND_NS)
    assert not pictures.repeats(noisy(0), 4 * SECOND_NS), "only the last few are remembered"


def test_the_next_opening_knows_the_pictures_of_the_one_before() -> None:
    pictures = Pictures([checksum(noisy(3))], frozen_after_ms=1500)
    assert pictures.repeats(noisy(3), SECOND_NS)
    assert pictures.frozen_ms(SECOND_NS * 5 // 2) == 1500


def test_a_change_of_one_block_or_of_the_size_changes_the_checksum() -> None:
    picture = grey_picture(100, 64, WIDTH)
    for top in range(0, 64, 8):
        changed = picture.copy()
        changed[top : top + 8, 8:16] += 1
        assert checksum(changed) != checksum(picture)
    assert checksum(picture.reshape(32, 2 * WIDTH, 3)) != checksum(picture)
    assert checksum(picture[:, ::-1]) == checksum(picture.copy()[:, ::-1])  # a view that is not contiguous
