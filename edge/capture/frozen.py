"""Notices a live camera that gives the same picture again, as drivers and decoders do when a sensor has stopped.

The noise of a sensor never repeats, so a picture that equals one of the last `RECENT` is no new look at anything: it is
never handed on. Several are remembered because a driver may hand out its few old buffers in turn. When nothing but
repeats came for `frozen_after_ms` the camera is frozen. Pictures are compared by a checksum of every 8th row, which
crosses every block of the video codecs; two that differ and are taken for equal cost one frame. Time is an argument.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable

import numpy as np

from edge.types import Image

__all__ = ["RECENT", "Pictures", "checksum"]

RECENT = 8
_EVERY = 8  # rows


class Pictures:
    """The memory of one opening of one camera; `known` are checksums of the opening before."""

    def __init__(self, known: Iterable[int], frozen_after_ms: int) -> None:
        self.recent: deque[int] = deque(known, maxlen=RECENT)
        self._frozen_after_ms = frozen_after_ms
        self._new_ns: int | None = None  # when the last new picture came, or the first of all

    def repeats(self, image: Image, captured_ns: int) -> bool:
        """Whether this picture was seen before; remembers it."""
        if self._new_ns is None:
            self._new_ns = captured_ns
        found = checksum(image)
        if found in self.recent:
            return True
        self.recent.append(found)
        self._new_ns = captured_ns
        return False

    def frozen_ms(self, now_ns: int) -> int | None:
        """Return for how long no new picture came, None while that is not yet `frozen_after_ms`."""
        if self._new_ns is None:
            return None
        waited_ms = (now_ns - self._new_ns) // 1_000_000
        return waited_ms if waited_ms >= self._frozen_after_ms else None


def checksum(image: Image) -> int:
    """Return a checksum of the size and every 8th row of (H, W, 3); 0.4 ms for 1920x1080 on a desktop CPU."""
    return zlib.crc32(np.ascontiguousarray(image[::_EVERY]).data, zlib.crc32(repr(image.shape).encode()))
