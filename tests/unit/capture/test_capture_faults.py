"""Processes that are killed, stopped, hung or wrong: a failure with its reason, the rest goes on, nothing leaks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from background import until

from edge.capture.failure import CaptureFailure, CaptureReason
from edge.capture.process import ProcessCamera
from edge.capture.ring import Busy
from edge.capture.waiting import wait_any
from tests.unit.capture.conftest import has_ended, read_frame, write_clip

Start = Callable[..., ProcessCamera]
ROOT = Path(__file__).resolve().parents[3]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:shelfedge-ring")


def failure_of(camera: ProcessCamera) -> CaptureFailure:
    with pytest.raises(CaptureFailure) as failure:
        while True:
            camera.release(read_frame(camera))
    return failure.value


def locked(camera: ProcessCamera) -> bool:
    try:
        camera._rings[0].ready(0)
    except Busy:
        return True
    return False


def wait_for_reader(fifo: Path) -> int:
    """Return the writing end of a FIFO, once somebody opens it for reading; nothing is written."""
    ends: list[int] = []

    def opened() -> bool:
        with suppress(OSError):  # ENXIO: nobody reads yet
            ends.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(ends)

    until(opened)
    return ends[0]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_killed_process_fails_one_camera_and_reopening_heals_it(started: Start) -> None:
    broken = started("synthetic: 64x48", id="broken")
    sound = started("synthetic: 64x48", id="sound")
    last = read_frame(broken).number
    read_frame(sound)
    assert broken.pid is not None
    os.kill(broken.pid, signal.SIGKILL)
    failure = failure_of(broken)
    assert failure.reason is CaptureReason.PROCESS_DIED
    assert "by signal 9" in str(failure)
    assert broken.pid is None
    sound.release(read_frame(sound))
    assert sound.state == "running"
    broken.reopen()
    assert broken.state == "opening"
    frame = read_frame(broken)
    assert frame.number > last
    assert (broken.state, broken.reopened) == ("running", 1)
    broken._close()
    assert broken.delivered + broken.dropped == broken._next_number


def test_a_stopped_process_is_stalled_and_killed(started: Start) -> None:
    camera = started("synthetic: 64x48", read_timeout_ms=100)
    read_frame(camera)
    pid = camera.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert failure_of(camera).reason is CaptureReason.STALLED
    assert has_ended(pid)


def test_a_file_has_ten_times_as_long_for_it_is_given_up(started: Start, tmp_path: Path) -> None:
    camera = started(write_clip(tmp_path / "a.avi", frames=20, rate=5), realtime=True, read_timeout_ms=100)
    read_frame(camera)
    pid = camera.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    found = failure_of(camera)
    assert found.reason is CaptureReason.STALLED
    assert "no frame for 1000 ms" in str(found)


def test_a_process_that_hangs_inside_the_lock_is_stalled_and_killed(started: Start) -> None:
    code = (
        "import fcntl, socket, sys, time\n"
        "from edge.capture.channel import Channel\n"
        "from edge.capture.ring import Ring, Stamp\n"
        "ring = Ring.create(2, 12)\n"
        "channel = Channel(socket.socket(fileno=int(sys.argv[1])))\n"
        "channel.send('ring', descriptor=ring.descriptor)\n"
        "ring.publish(0, 2, 2, Stamp(time.monotonic_ns(), 1), 1000)\n"
        "while not ring._states[0] == 2: time.sleep(0.001)\n"
        "fcntl.lockf(ring.descriptor, fcntl.LOCK_EX, 1)\n"
        "time.sleep(600)\n"
    )
    camera = started("synthetic: 64x48", python(code), read_timeout_ms=2000, max_age_ms=60_000)
    frame = read_frame(camera)
    until(lambda: locked(camera))
    camera.release(frame)  # cannot be given back now, and must not hang
    assert failure_of(camera).reason is CaptureReason.STALLED


def test_a_camera_of_damaged_pictures_alone_is_stalled(started: Start) -> None:
    code = (
        "import socket, sys, time\n"
        "from edge.capture.channel import Channel\n"
        "from edge.capture.ring import Ring, Stamp\n"
        "ring = Ring.create(2, 12)\n"
        "channel = Channel(socket.socket(fileno=int(sys.argv[1])))\n"
        "channel.send('ring', descriptor=ring.descriptor)\n"
        "ring.publish(0, 2, 2, Stamp(time.monotonic_ns(), 1), 1000)\n"
        "while True: channel.send('warning', text='unreadable'); time.sleep(0.01)\n"
    )
    camera = started("synthetic: 64x48", python(code), read_timeout_ms=300)
    assert failure_of(camera).reason is CaptureReason.STALLED
    assert camera.warnings > 8


def test_an_open_that_hangs_is_cut_off(started: Start, tmp_path: Path) -> None:
    fifo = tmp_path / "camera.avi"
    os.mkfifo(fifo)  # opening it blocks until somebody writes
    camera = started(fifo, open_timeout_ms=800)
    pid = camera.pid
    assert pid is not None
    assert camera.read(timeout_ms=1) is None  # the reader is not held up
    assert failure_of(camera).reason is CaptureReason.TIMEOUT
    assert has_ended(pid)


def test_a_process_that_never_speaks_is_cut_off(started: Start) -> None:
    camera = started("synthetic: 64x48", python("import time; time.sleep(600)"), open_timeout_ms=50)
    failure = failure_of(camera)
    assert failure.reason is CaptureReason.TIMEOUT
    assert "raise open_timeout_ms" in str(failure)


_SPEAK = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.send({!r}); s.recv(9999); s.recv(9999)"


_MAD = (
    "import socket, sys\n"
    "from edge.capture.channel import Channel\n"
    "from edge.capture.ring import Ring, Stamp\n"
    "ring = Ring.create(2, 12)\n"
    "channel = Channel(socket.socket(fileno=int(sys.argv[1])))\n"
    "channel.send('ring', descriptor=ring.descriptor)\n"
    "ring.publish(0, 9999, 9999, Stamp(1, 1), 1000)\n"
    "while True: channel.wait()\n"
)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (python("raise SystemExit(3)"), "with exit code 3"),
        (python(_SPEAK.format(b"gibberish")), "spoke nonsense"),
        (python(_SPEAK.format(b'{"kind": "ring"}')), "spoke nonsense"),
        (python(_SPEAK.format(b'{"kind": "failed"}')), "spoke nonsense"),
        (python(_SPEAK.format(b'{"kind": "failed", "reason": "mood", "text": ""}')), "spoke nonsense"),
        (python(_SPEAK.format(b"[1]")), "spoke nonsense"),
        (python(_MAD), "wrote nonsense"),
        (("/nowhere/python",), "cannot be started"),
    ],
)
def test_a_process_that_misbehaves_is_a_failure_with_its_reason(
    started: Start, command: tuple[str, ...], words: str
) -> None:
    camera = started("synthetic: 64x48", command)
    failure = failure_of(camera)
    assert failure.reason is CaptureReason.PROCESS_DIED
    assert words in str(failure)
    assert camera.pid is None


def test_nothing_leaks_over_kills_reopenings_and_ends(started: Start, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=3)
    gc.collect()  # tracebacks of the tests before hold frames
    before = descriptors(), mappings()
    for _ in range(3):
        camera = started("synthetic: 64x48")
        read_frame(camera)
        assert camera.pid is not None
        os.kill(camera.pid, signal.SIGKILL)
        failure_of(camera)
        camera.reopen()
        read_frame(camera)
        pid = camera.pid
        camera._close()
        camera._close()  # harmless
        assert not Path(f"/proc/{pid}").exists()  # gone and reaped
        file = started(clip)
        with pytest.raises(EOFError):
            while True:
                file.release(read_frame(file))
        file._close()
    assert (descriptors(), mappings()) == before


def test_a_camera_that_is_left_ends_its_process_in_order(started: Start) -> None:
    camera = started("synthetic: 64x48")
    read_frame(camera)
    assert camera._process is not None
    process = camera._process._process
    camera._close()
    assert process.returncode == 0  # asked, not killed


def test_a_process_that_does_not_listen_is_killed_when_left(started: Start) -> None:
    camera = started("synthetic: 64x48", python("import time; time.sleep(600)"))
    assert camera._process is not None
    process = camera._process._process
    camera._close()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("hangs", [False, True])
def test_the_process_dies_with_its_parent(tmp_path: Path, hangs: bool) -> None:
    fifo = tmp_path / "camera.avi"
    os.mkfifo(fifo)  # a process that hangs inside FFmpeg can only be ended by the kernel
    source = str(fifo) if hangs else "synthetic: 64x48"
    code = (
        "from edge.capture.process import ProcessCamera\n"
        "from edge.config import CameraConfig\n"
        f"with ProcessCamera(CameraConfig(id='cam', source={source!r})) as camera:\n"
        f"    while not {hangs} and camera.read(1000) is None: pass\n"
        "    print(camera.pid, flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        writer = wait_for_reader(fifo) if hangs else None
        parent.kill()
    assert has_ended(pid)
    if writer is not None:
        os.close(writer)


def test_the_process_is_out_of_reach_of_ctrl_c_and_shows_no_password(started: Start) -> None:
    camera = started("rtsp://me:secret@127.0.0.1:9/x", python("import time; time.sleep(600)"))
    assert camera.pid is not None
    assert os.getsid(camera.pid) == camera.pid
    for place in ("cmdline", "environ"):
        assert b"secret" not in Path(f"/proc/{camera.pid}/{place}").read_bytes()


def test_several_cameras_share_one_reader(started: Start, tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{number}.avi", frames=6) for number in range(3)]
    open_cameras = [started(clip, id=f"cam-{number}") for number, clip in enumerate(clips)]
    numbers: dict[str, list[int]] = {camera.camera_id: [] for camera in open_cameras}
    ended = 0
    for _ in range(500):
        for camera in wait_any(open_cameras, timeout_ms=1000):
            try:
                frame = camera.read(0)
            except EOFError:
                ended += 1
                continue
            if frame is not None:
                numbers[camera.camera_id].append(frame.number)
                camera.release(frame)
        if ended == 3:
            break
    assert numbers == {f"cam-{number}": list(range(6)) for number in range(3)}
    assert wait_any(open_cameras, timeout_ms=0) == []  # an end is told once


def test_the_camera_read_longest_ago_comes_first(started: Start) -> None:
    pair = [started("synthetic: 64x48", id=name) for name in ("a", "b")]
    for camera in pair:
        camera.release(read_frame(camera))
    order = []
    while len(order) < 6:
        ready: list[ProcessCamera] = []
        while len(ready) < 2:
            ready = wait_any(pair, timeout_ms=1000)
        frame = ready[0].read(0)
        if frame is not None:
            order.append(ready[0].camera_id)
            ready[0].release(frame)
    assert order == ["a", "b", "a", "b", "a", "b"]


def test_waiting_ends_with_the_deadline_of_a_silent_camera(started: Start) -> None:
    silent = started("synthetic: 64x48", python("import time; time.sleep(600)"), open_timeout_ms=1_500)
    assert wait_any([silent], timeout_ms=1) == []
    assert wait_any([silent], timeout_ms=60_000) == [silent]
    with pytest.raises(CaptureFailure):
        silent.read(0)
    assert wait_any([silent], timeout_ms=0) == []


def test_waiting_for_nobody_returns() -> None:
    assert wait_any([], timeout_ms=1) == []
