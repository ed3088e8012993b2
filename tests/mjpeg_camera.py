"""A network camera on the loopback interface: motion JPEG over HTTP, of pictures that the test chooses."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np

INTERVAL_S = 0.02  # 50 frames a second, as a camera's own clock
MULTIPART = "multipart/x-mixed-replace;boundary=frame"


def noisy(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Picture `number` of a still scene: grey, with noise that never repeats."""
    return np.random.default_rng(number).integers(90, 110, (*size, 3), np.uint8)


def jpeg_part(picture: np.ndarray, kept: float = 1.0, hole: int = 0) -> bytes:
    """One picture as it stands in a stream of motion JPEG, or the share `kept` of it, or without `hole` bytes."""
    body = cv2.imencode(".jpg", picture)[1].tobytes()
    body = body[: int(len(body) * kept)]
    body = body[: len(body) - 100 - hole] + body[len(body) - 100 :]
    return f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n"


@contextmanager
def mjpeg_camera(picture: Callable[[int], np.ndarray], port: int = 0) -> Iterator[str]:
    """Yield the URL of a camera whose n-th picture since its start is `picture(n)`; leaving it pulls the plug."""
    with http_camera(MULTIPART, lambda number: jpeg_part(picture(number)), port) as url:
        yield url


@contextmanager
def http_camera(content_type: str, part: Callable[[int], bytes], port: int = 0) -> Iterator[str]:
    """Yield the URL of a camera that sends `part(n)` every INTERVAL_S; leaving it pulls the plug."""
    counter = iter(range(1 << 40))
    closing = threading.Event()

    class Stream(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            with suppress(OSError):  # the viewer left
                while not closing.wait(INTERVAL_S):
                    self.wfile.write(part(next(counter)))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Stream) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/video"
        finally:
            closing.set()
            server.shutdown()
            thread.join()
