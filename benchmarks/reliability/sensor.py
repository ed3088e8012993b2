"""A network camera whose faults are chosen, and what tells how old a picture truly was.

It shows another product every DWELL_S, PRODUCTS of them in turn, with noise that never repeats. So the product that a
decision names says when its picture was taken, whatever the daemon thinks of it.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from benchmarks.reliability.cart import PRODUCTS
from edge.types import Image
from tests import h264, samples
from tests.mjpeg_camera import MULTIPART, http_camera, jpeg_part

__all__ = ["DWELL_S", "Camera"]

DWELL_S = 0.1
KEPT = 0.6  # of a picture that is cut
GROUP = 4  # pictures of a film, of which the first alone stands for itself


@dataclass(slots=True)
class Camera:
    """Motion JPEG over HTTP, or H.264 where it is a `film`; always on the same port once it was plugged in."""

    film: bool = False
    frozen: bool = False
    cut: bool = False
    large: bool = False
    url: str = ""
    going: threading.Event = field(default_factory=threading.Event)  # cleared, it hangs
    shown_ns: dict[str, int] = field(default_factory=dict)  # when each product was last in view
    _last: bytes = b""
    _stack: ExitStack | None = None

    def plug_in(self) -> None:
        """Let it be reached."""
        self.going.set()
        port = int(self.url.split(":")[2].split("/")[0]) if self.url else 0
        self._stack = ExitStack()
        self.url = self._stack.enter_context(http_camera("video/h264" if self.film else MULTIPART, self._part, port))

    def unplug(self) -> None:
        """Let it be gone: its connections end, new ones are refused."""
        self.going.set()
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    def age_s(self, sku: str | None, now_ns: int) -> float:
        """Return how long ago the product was in view; infinity where it never was."""
        shown_ns = self.shown_ns.get(sku or "")
        return float("inf") if shown_ns is None else (now_ns - shown_ns) / 1e9

    def _part(self, number: int) -> bytes:
        self.going.wait()
        if not self.frozen:
            self._last = self._picture(number)
        return self._last

    def _picture(self, number: int) -> bytes:
        product, side = int(time.monotonic() / DWELL_S) % PRODUCTS, 192 if self.large else 96
        self.shown_ns[f"sku-{product:03d}"] = time.monotonic_ns()
        noise = np.random.default_rng(number).integers(-9, 10, (side, side, 3))
        image: Image = np.clip(samples.product(product, side, side) + noise, 0, 255).astype(np.uint8)
        kept = KEPT if self.cut else 1.0
        if not self.film:
            return jpeg_part(image, kept)
        ahead = number % GROUP
        whole = h264.change(image, ahead, (side // h264.BLOCK) ** 2) if ahead else h264.picture(image, number)
        return whole[: int(len(whole) * kept)]
