"""A network camera on the loopback interface: motion JPEG over HTTP, of pictures that the test chooses."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np

INTERVAL_S = 0.02  # 50 frames a second, as a camera's own clock


def noisy(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Picture `number` of a still scene: grey, with noise that never repeats."""
    return np.random.default_rng(number).integers(90, 110, (*size, 3), np.uint8)


@contextmanager
def mjpeg_camera(picture: Callable[[int], np.ndarray], port: int = 0) -> Iterator[str]:
    """Yield the URL of a camera whose n-th picture since its start is `picture(n)`; leaving it pulls the plug."""
    counter = iter(range(1 << 40))
    closing = threading.Event()

    class Stream(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
            self.end_headers()
            with suppress(OSError):  # the viewer left
                while not closing.wait(INTERVAL_S):
                    body = cv2.imencode(".jpg", picture(next(counter)))[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                    self.wfile.write(head.encode() + body + b"\r\n")

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
