"""What a network camera can answer, and the reason that is made of it. Servers on the loopback interface."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mjpeg_camera import mjpeg_camera, noisy

from edge.capture.failure import CaptureFailure, CaptureReason
from edge.capture.process import ProcessCamera
from tests.unit.capture.conftest import read_all, read_frame, write_clip

Start = Callable[..., ProcessCamera]


@contextmanager
def http_server(status: int, body: bytes = b"") -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def rtsp_refusal() -> Iterator[int]:
    """A camera that wants a password: OPTIONS is answered, everything else is 401."""

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as requests:
                verb = sequence = b""
                for line in requests:
                    verb = verb or line.split()[0]
                    sequence = line if line.lower().startswith(b"cseq") else sequence
                    if line == b"\r\n":
                        status = b"200 OK" if verb == b"OPTIONS" else b"401 Unauthorized"
                        realm = b'WWW-Authenticate: Basic realm="camera"'
                        connection.sendall(b"RTSP/1.0 " + status + b"\r\n" + sequence + realm + b"\r\n\r\n")
                        verb = sequence = b""

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def failure_of(camera: ProcessCamera) -> CaptureFailure:
    with pytest.raises(CaptureFailure) as failure:
        read_frame(camera)
    assert "secret" not in str(failure.value)
    return failure.value


@pytest.mark.parametrize(
    ("status", "reason"), [(401, CaptureReason.AUTH), (403, CaptureReason.AUTH), (404, CaptureReason.NOT_FOUND)]
)
def test_http_refusals(started: Start, status: int, reason: CaptureReason) -> None:
    with http_server(status) as port:
        failure = failure_of(started(f"http://me:secret@127.0.0.1:{port}/video?key=secret"))
    assert failure.reason is reason
    assert str(status) in str(failure)


def test_rtsp_wants_a_password(started: Start) -> None:
    with rtsp_refusal() as port:
        failure = failure_of(started(f"rtsp://me:secret@127.0.0.1:{port}/1"))
    assert failure.reason is CaptureReason.AUTH


def test_nobody_listens(started: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    failure = failure_of(started(f"rtsp://me:secret@127.0.0.1:{port}/1"))
    assert failure.reason is CaptureReason.NOT_FOUND
    assert "refused" in str(failure)


def test_a_camera_that_accepts_and_says_nothing_is_cut_off(started: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert failure_of(started(f"rtsp://127.0.0.1:{port}/1", open_timeout_ms=700)).reason is CaptureReason.TIMEOUT


def test_a_stream_that_ends_is_a_failure_not_an_end(started: Start, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=20).read_bytes()
    with http_server(200, clip) as port:
        camera = started(f"http://127.0.0.1:{port}/clip.avi")
        with pytest.raises(CaptureFailure) as failure:
            read_all(camera)
    assert failure.value.reason is CaptureReason.ENDED
    assert camera.is_live
    assert camera.delivered + camera.dropped == 19, "the first is what the stream was recognised by"


def test_a_camera_that_is_unplugged_is_missed_by_name_and_found_again(started: Start) -> None:
    with mjpeg_camera(noisy) as url:
        camera = started(url)
        last = read_frame(camera)
    reasons = []
    for _ in range(2):
        with pytest.raises(CaptureFailure) as failure:
            read_all(camera)
        reasons.append(failure.value.reason)
        camera.reopen()
    assert reasons[0] in (CaptureReason.ENDED, CaptureReason.STALLED)
    assert reasons[1] is CaptureReason.NOT_FOUND
    with pytest.raises(CaptureFailure):
        read_all(camera)
    with mjpeg_camera(lambda number: noisy(1000 + number), int(url.split(":")[2].split("/")[0])):
        camera.reopen()
        frame = read_frame(camera)
        assert frame.number > last.number
        assert (frame.opening, sum(camera.failures.values())) == (3, 3)
        camera._close()
    assert camera.delivered + camera.dropped == camera._next_number
