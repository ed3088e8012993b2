"""Real capture processes reading real files: what is delivered, what is dropped, how it ends."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from background import until

from edge.capture.failure import CaptureFailure, CaptureReason
from edge.capture.process import ProcessCamera
from edge.capture.spawn import COMMAND
from edge.config import CameraConfig
from edge.errors import CaptureError, InputError
from tests.unit.capture.conftest import STEP, grey_picture, read_all, read_frame, write_clip

Start = Callable[..., ProcessCamera]


def test_a_file_is_delivered_whole_and_in_order_then_ends(started: Start, clip: Path) -> None:
    camera = started(clip)
    seen: list[tuple[int, int]] = []
    with pytest.raises(EOFError, match="camera cam: all frames were read"):
        for _ in range(100):
            frame = read_frame(camera)
            assert frame.camera_id == "cam"
            seen.append((frame.number, int(frame.image[0, 0, 0])))
            camera.release(frame)
    assert [number for number, _ in seen] == list(range(20))
    assert all(abs(level - STEP * number) <= 3 for number, level in seen)
    assert (camera.state, camera.delivered, camera.dropped, camera.warnings) == ("ended", 20, 0, 0)
    with pytest.raises(EOFError):
        camera.read(0)
    assert not camera.ready()


def test_a_file_waits_for_a_slow_reader(started: Start, clip: Path) -> None:
    camera = started(clip, ring_slots=2)
    numbers = []
    for _ in range(18):
        frame = read_frame(camera)
        until(lambda: camera._rings[-1].writer_waits)  # the ring is full: the writer sleeps
        numbers.append(frame.number)
        camera.release(frame)
    assert numbers == list(range(18))
    assert camera.dropped == 0


def test_a_waiting_file_is_not_stalled(started: Start, clip: Path) -> None:
    camera = started(clip, ring_slots=2, read_timeout_ms=1)
    until(lambda: camera.ready() and camera._rings[-1].writer_waits)  # both are there: between them nothing is late
    held = [read_frame(camera), read_frame(camera)]
    until(lambda: camera._rings[-1].writer_waits)
    assert camera.read(20) is None  # far beyond read_timeout_ms, and it is the reader who holds all slots
    assert camera.state == "running"
    assert [frame.number for frame in held] == [0, 1]


def test_a_live_source_drops_its_oldest_frames_and_counts_them(started: Start) -> None:
    camera = started("synthetic: 64x48 3000", ring_slots=3)
    seen: list[tuple[int, int]] = []
    with pytest.raises(CaptureFailure) as failure:
        while True:
            frame = read_frame(camera)
            if frame.number < 2000:
                until(lambda number=frame.number: camera._rings[0].next_number > number + 10)
            seen.append((frame.number, int(frame.image[0, 0, 0])))
            assert frame.image.min() == frame.image.max()  # never torn
            camera.release(frame)
    assert failure.value.reason is CaptureReason.ENDED
    numbers = [number for number, _ in seen]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 2999
    assert all(level == number % 256 for number, level in seen)
    gaps = 3000 - len(seen)
    assert gaps > 1000
    assert (camera.delivered, camera.dropped) == (len(seen), gaps)


def test_a_live_source_goes_on_when_the_reader_holds_every_slot(started: Start) -> None:
    camera = started("synthetic: 64x48", ring_slots=2)
    held = [read_frame(camera), read_frame(camera)]
    levels = [int(frame.image[0, 0, 0]) for frame in held]
    until(lambda: camera._rings[0].next_number > held[-1].number + 50)
    assert camera.read(0) is None
    assert [int(frame.image[0, 0, 0]) for frame in held] == levels  # lent memory is never written to
    for frame in held:
        camera.release(frame)
    assert read_frame(camera).number > held[-1].number + 50


def test_frames_are_views_of_the_ring_and_read_only(started: Start, clip: Path) -> None:
    camera = started(clip)
    frame = read_frame(camera)
    assert np.shares_memory(frame.image, camera._rings[0]._pixels)
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0, 0] = 1
    camera.release(frame)
    camera.release(frame)  # harmless


def test_a_lent_frame_outlives_its_camera(started: Start, clip: Path) -> None:
    camera = started(clip)
    read_frame(camera)
    frame = read_frame(camera)
    camera._close()
    assert abs(int(frame.image[10, 10, 1]) - STEP) <= 3
    camera.release(frame)


def test_a_loop_goes_on_counting(started: Start, tmp_path: Path) -> None:
    for level in range(3):
        cv2.imwrite(str(tmp_path / f"{level}.png"), grey_picture(level))
    camera = started(tmp_path, loop=True)
    frames = []
    for _ in range(10):
        frame = read_frame(camera)
        frames.append((frame.number, int(frame.image[0, 0, 0]), frame.captured_ns, frame.captured_wall_ns))
        camera.release(frame)
    assert [(number, level) for number, level, _, _ in frames] == [(n, n % 3) for n in range(10)]
    assert all(before[2] < after[2] for before, after in itertools.pairwise(frames))


def test_a_loop_whose_file_vanishes_fails_with_the_reason(started: Start, tmp_path: Path) -> None:
    for vanish, reason in ((Path.unlink, "not_found"), (lambda path: path.write_bytes(b"x" * 99), "codec")):
        clip = write_clip(tmp_path / "clip.avi", frames=3)
        camera = started(clip, loop=True, ring_slots=2)
        camera.release(read_frame(camera))
        vanish(clip)
        with pytest.raises(CaptureFailure) as failure:
            read_all(camera)
        assert failure.value.reason.value == reason


def test_a_truncated_file_gives_what_it_has_and_one_warning(started: Start, clip: Path) -> None:
    whole = clip.read_bytes()
    clip.write_bytes(b"00dc".join(whole.split(b"00dc")[:13]))  # the header and twelve frames, no index
    camera = started(clip)
    with pytest.raises(EOFError):
        read_all(camera)
    assert camera.delivered in (11, 12)  # whether the last packet counts is up to the demuxer
    assert camera.warnings == 1
    assert "the container promised 20" in camera.recent_warnings[0]


def test_unreadable_pictures_are_skipped_and_told(started: Start, tmp_path: Path) -> None:
    for name in ("a.png", "c.png", "d.txt"):
        cv2.imencode(".png", grey_picture(7))[1].tofile(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no picture")
    camera = started(tmp_path)
    seen = []
    with pytest.raises(EOFError):
        while True:
            seen.append(read_frame(camera).number)
    assert seen == [0, 1]
    assert camera.warnings == 2
    assert "b.png is unreadable" in camera.recent_warnings[0]
    assert "1 unreadable" in camera.recent_warnings[1]


def test_pictures_of_any_size_come_through(started: Start, tmp_path: Path) -> None:
    sizes = [(48, 64), (48, 64), (96, 128), (20, 30), (200, 100), (48, 64)]
    for number, (height, width) in enumerate(sizes):
        cv2.imwrite(str(tmp_path / f"{number}.png"), grey_picture(number, height, width))
    camera = started(tmp_path, ring_slots=2)
    held = []
    seen = []
    with pytest.raises(EOFError):
        while True:
            frame = read_frame(camera)
            seen.append((frame.number, frame.image.shape[:2], int(frame.image[-1, -1, 2])))
            if frame.number == 0:
                held.append(frame)
            else:
                camera.release(frame)
    assert seen == [(number, size, number) for number, size in enumerate(sizes)]
    assert held[0].image.max() == 0  # of the first ring, which is gone


def test_a_raw_stream_that_changes_its_size_is_read_to_the_end(started: Start, tmp_path: Path) -> None:
    stream = tmp_path / "two.mjpeg"
    sizes = [(48, 64)] * 3 + [(96, 128)] * 3 + [(48, 64)] * 2
    stream.write_bytes(b"".join(cv2.imencode(".jpg", grey_picture(90, *size))[1].tobytes() for size in sizes))
    camera = started(stream)
    with pytest.raises(EOFError):
        read_all(camera)
    assert camera.delivered == len(sizes)
    assert camera.warnings == 0


def _garbage(folder: Path) -> Path:
    path = folder / "bad.avi"
    path.write_bytes(b"no video " * 200)
    return path


def _empty(folder: Path) -> Path:
    path = folder / "pictures"
    path.mkdir()
    return path


def _unreadable(folder: Path) -> Path:
    path = _empty(folder)
    (path / "a.png").write_bytes(b"no picture")
    return path


@pytest.mark.parametrize(
    ("make", "reason", "words"),
    [
        (lambda folder: folder / "nowhere.avi", CaptureReason.NOT_FOUND, "does not exist"),
        (lambda _: "/dev/video983", CaptureReason.NOT_FOUND, "/dev/video983 does not exist"),
        (lambda _: "983", CaptureReason.NOT_FOUND, "/dev/video983 does not exist"),
        (_garbage, CaptureReason.CODEC, "cannot be opened as video"),
        (_empty, CaptureReason.NOT_FOUND, "no picture in this folder"),
        (_unreadable, CaptureReason.CODEC, "not one frame could be decoded"),
        (lambda _: "synthetic: 0x5", CaptureReason.CODEC, "without pixels"),
    ],
)
def test_what_cannot_be_read_fails_with_its_reason(
    started: Start, tmp_path: Path, make: Callable[[Path], object], reason: CaptureReason, words: str
) -> None:
    camera = started(make(tmp_path))
    with pytest.raises(CaptureFailure, match=words) as failure:
        read_frame(camera)
    assert failure.value.reason is reason
    assert failure.value.camera_id == "cam"
    assert "\n" not in str(failure.value)
    assert camera.state == "failed"
    assert not camera.ready()
    with pytest.raises(CaptureFailure) as again:
        camera.read(0)
    assert again.value is not failure.value  # a kept exception would keep what its traceback holds
    assert str(again.value) == str(failure.value)


@pytest.mark.skipif("GStreamer:                   YES" in cv2.getBuildInformation(), reason="this OpenCV has GStreamer")
def test_gstreamer_is_refused_where_opencv_has_none(started: Start) -> None:
    camera = started("gst: videotestsrc ! appsink")
    with pytest.raises(CaptureFailure, match="built without GStreamer"):
        read_frame(camera)


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read everything")
def test_a_file_that_may_not_be_read(started: Start, clip: Path) -> None:
    clip.chmod(0)
    harmless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    camera = started(clip, (*harmless, *COMMAND))
    with pytest.raises(CaptureFailure) as failure:
        read_frame(camera)
    assert failure.value.reason is CaptureReason.PERMISSION


def test_construction_starts_nothing_and_checks_the_source(clip: Path) -> None:
    camera = ProcessCamera(CameraConfig(id="cam", source=str(clip)))
    assert (camera.pid, camera.fileno(), camera.state, camera.ready()) == (None, -1, "opening", False)
    with pytest.raises(CaptureError, match="not open"):
        camera.read(0)
    with pytest.raises(CaptureError, match="not open"):
        camera.reopen()
    with pytest.raises(InputError, match="ftp://\\*\\*\\*@host/x"):
        ProcessCamera(CameraConfig(id="cam", source="ftp://me:secret@host/x"))


def test_reopening_a_file_starts_at_its_beginning_and_goes_on_counting(started: Start, clip: Path) -> None:
    camera = started(clip)
    for _ in range(3):
        camera.release(read_frame(camera))
    camera.reopen()
    frame = read_frame(camera)
    assert frame.number >= 3
    assert int(frame.image[0, 0, 0]) <= 3
    assert camera.reopened == 1
    assert camera.delivered + camera.dropped == frame.number + 1


def test_realtime_delivers_a_clip_no_faster_than_it_was_recorded(started: Start, clip: Path) -> None:
    camera = started(clip, realtime=True)
    rate = cv2.VideoCapture(str(clip)).get(cv2.CAP_PROP_FPS)
    moments = []
    for _ in range(6):
        frame = read_frame(camera)
        moments.append(frame.captured_ns)
        camera.release(frame)
    assert [moment - moments[0] >= n / rate * 1e9 - 20e6 for n, moment in enumerate(moments)] == [True] * 6
    assert camera.dropped == 0


def test_a_clip_of_few_frames_a_second_is_not_stalled_in_real_time(started: Start, tmp_path: Path) -> None:
    camera = started(write_clip(tmp_path / "slow.avi", frames=3, rate=0.5), realtime=True, read_timeout_ms=1_500)
    with pytest.raises(EOFError):
        read_all(camera)
    assert camera.delivered == 3


def test_drop_newest_keeps_what_lies_in_the_ring(started: Start) -> None:
    camera = started("synthetic: 64x48", ring_slots=3, when_full="drop_newest", max_age_ms=600_000)
    first = read_frame(camera)
    until(lambda: camera._rings[0].next_number > first.number + 50)
    second, third = read_frame(camera), read_frame(camera)
    assert [frame.number for frame in (first, second, third)] == [0, 1, 2]
    assert camera.read(0) is None
    assert camera.drops["no_slot"] > 40
    assert camera.dropped == camera.drops["no_slot"]


def test_a_clip_that_plays_a_camera_may_drop(started: Start, tmp_path: Path) -> None:
    camera = started(write_clip(tmp_path / "long.avi", frames=25), realtime=True, when_full="drop_oldest", ring_slots=2)
    held = [read_frame(camera), read_frame(camera)]
    with pytest.raises(EOFError):
        read_all(camera)
    assert len(held) + camera.drops["no_slot"] == camera.delivered + camera.dropped == 25


_AGED = (
    "import socket, sys, time\n"
    "from edge.capture.channel import Channel\n"
    "from edge.capture.ring import Ring, Stamp\n"
    "ring = Ring.create(4, 12)\n"
    "channel = Channel(socket.socket(fileno=int(sys.argv[1])))\n"
    "channel.send('ring', descriptor=ring.descriptor)\n"
    "now_ns = time.monotonic_ns()\n"
    "for slot, age_s in enumerate((400, 301, 200, 0)): "
    "ring.publish(slot, 2, 2, Stamp(now_ns - age_s * 10**9, 1), 1000)\n"
    "channel.nudge()\n"
    "while True: channel.wait()\n"
)


def test_a_frame_that_grew_too_old_is_not_handed_out(started: Start) -> None:
    camera = started("synthetic: 64x48", (sys.executable, "-c", _AGED), max_age_ms=300_000)
    frame = read_frame(camera)
    assert frame.number == 2
    assert {reason: count for reason, count in camera.drops.items() if count} == {"too_old": 2}
    assert read_frame(camera).number == 3
    assert (camera.delivered, camera.dropped, camera.state) == (2, 2, "running")
    until(lambda: sum(state != 0 for state in camera._rings[0]._states) == 2)  # the two old ones were given back


def test_a_file_that_waits_never_grows_too_old(started: Start, clip: Path) -> None:
    camera = started(clip, (sys.executable, "-c", _AGED), max_age_ms=1)
    assert [read_frame(camera).number for _ in range(4)] == [0, 1, 2, 3]
    assert camera.dropped == 0


def test_what_lay_unread_is_counted_when_a_camera_is_left(started: Start) -> None:
    camera = started("synthetic: 64x48", ring_slots=4)
    read_frame(camera)
    until(lambda: camera._rings[0].next_number > 10)
    camera._close()
    assert camera.drops["unread"] >= 1
    assert camera.delivered + camera.dropped == camera._next_number
