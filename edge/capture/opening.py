"""Open a source with OpenCV and step through it. Runs in the capture child only.

A source is stepped in two moves, so that a frame nobody has room for is never decoded into memory: `grab` advances,
`retrieve` decodes the grabbed frame, into the caller's memory where its size fits. Only the FFmpeg backend honours
timeouts; whatever blocks all the same is killed by the parent, which keeps the time (`edge.capture.process`).

Why a source did not open, and what a decoder filled up of a damaged picture, is told by nothing but what they print
(`edge.capture.complaints`). What FFmpeg lacks of a truncated JPEG it fills with the picture before and says nothing at
all, so the JPEGs of a stream are taken as they came and decoded here.
Limits: FFmpeg decodes with one thread (less memory, no delay by frame threads); GStreamer needs an OpenCV that was
built with it, as JetPack's is and PyPI's is not.
"""

from __future__ import annotations

import os
import re
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from edge.capture.address import Address, SourceKind
from edge.capture.complaints import Complaints, Film
from edge.capture.failure import CaptureReason, SourceFailure, redact
from edge.capture.stills import SUFFIXES, read_still
from edge.errors import InputError
from edge.types import Image

__all__ = ["MOST_AGE_NS", "Source", "open_source"]

MOST_AGE_NS = 10_000_000_000  # that a driver's stamp is believed
_MIN_RATE, _MAX_RATE = 0.1, 1000.0  # frames per second that a container may state and be believed
_MAX_PROMISE = 1 << 31  # a container that promises more frames than this promises nothing (raw streams do)
# What FFmpeg reads of a stream to get to know it is a second old when it is done: it is thrown away, and the first
# picture is that of the next key frame. `rtsp_transport` is OpenCV's own default, which any option here replaces.
_LIVE_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer"
_HELD_BACK = getattr(cv2, "CAP_PROP_DTS_DELAY", -1)  # pictures between a packet and its own; older OpenCV cannot tell
_MJPG = int.from_bytes(b"MJPG", "little")
_END_OF_JPEG = b"\xff\xd9"  # never inside a picture's data
_JPEG_PADDING = 64  # bytes at the end of a packet in which it must stand; some cameras pad
_SIGNS = (
    (CaptureReason.AUTH, re.compile(r"(error|failed:) 40[13]|unauthorized|forbidden", re.IGNORECASE)),
    (CaptureReason.PERMISSION, re.compile(r"permission denied|operation not permitted", re.IGNORECASE)),
    (CaptureReason.TIMEOUT, re.compile(r"timed? ?out|interrupted by|immediate exit", re.IGNORECASE)),
    (
        CaptureReason.NOT_FOUND,
        re.compile(r"(error|failed:) 404|not found|no such|refused|resolve|no route|unreachable", re.IGNORECASE),
    ),
)


class Source(ABC):
    """Something that gives frames one after the other."""

    @abstractmethod
    def grab(self) -> bool:
        """Advance to the next frame; False at the end."""

    @abstractmethod
    def retrieve(self, into: Image | None) -> Image | None:
        """Decode the grabbed frame to (H, W, 3) BGR; None when it is damaged, or builds on one that is.

        The answer is `into` itself where the size fits, another array otherwise.
        """

    def taken_ns(self, now_ns: int) -> int:
        """Return when the grabbed frame was taken, by CLOCK_MONOTONIC: now, where the source does not tell."""
        return now_ns

    def interval_ms(self) -> float:
        """Return the time between two frames as the file states it; 0 where it states none."""
        return 0.0

    def place(self, index: int) -> str:
        """Name the frame that was grabbed as number `index` of this source, for messages."""
        return f"frame {index}"

    def complaint(self, frames: int) -> str | None:  # noqa: ARG002  # for those that override it
        """Return what is wrong with a source that ended after `frames` frames, None when nothing is."""
        return None

    def close(self) -> None:  # noqa: B027  # most have nothing to let go
        """Let go of the device."""


def open_source(address: Address, open_timeout_ms: int, read_timeout_ms: int, complaints: Complaints) -> Source:
    """Open what `address` names; raises SourceFailure with the reason."""
    if address.kind is SourceKind.SYNTHETIC:
        return _Synthetic(address.target)
    if address.kind in (SourceKind.PATH, SourceKind.DEVICE):
        _refuse_unreadable(address.target)
        if os.path.isdir(address.target):
            return _Folder(address.target)
    started_ns = time.monotonic_ns()
    capture = _capture(address, open_timeout_ms, read_timeout_ms)
    if not capture.isOpened():
        late = time.monotonic_ns() - started_ns >= open_timeout_ms * 900_000
        raise _why(address, complaints.lines(), late)
    if address.kind is SourceKind.URL and _gives_packets(capture):
        return _MotionJpeg(capture, address, complaints)
    return (_Device if address.kind is SourceKind.DEVICE else _Video)(capture, address, complaints)


class _Video(Source):
    """A file, device, stream or pipeline behind cv2.VideoCapture."""

    def __init__(self, capture: cv2.VideoCapture, address: Address, complaints: Complaints) -> None:
        self._capture = capture
        self._address = address
        self._complaints = complaints
        self._film = Film()
        self._is_whole = True

    def grab(self) -> bool:
        grabbed = bool(self._capture.grab())
        is_key, held_back = (self._capture.get(p) for p in (cv2.CAP_PROP_LRF_HAS_KEY_FRAME, _HELD_BACK))
        self._is_whole = self._film.is_whole(self._complaints.take(), bool(is_key), int(held_back))
        return grabbed

    def retrieve(self, into: Image | None) -> Image | None:
        if not self._is_whole:
            return None
        decoded, image = self._capture.retrieve() if into is None else self._capture.retrieve(into)
        return _as_bgr(cast("Image", image)) if decoded and not self._complaints.take() else None

    def interval_ms(self) -> float:
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return 1000.0 / rate if _MIN_RATE <= rate <= _MAX_RATE else 0.0

    def complaint(self, frames: int) -> str | None:
        if self._address.is_live:
            return None
        promised = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if not frames < promised < _MAX_PROMISE:
            return None
        found = f"{frames} frames could be read, the container promised {int(promised)}"
        return f"{self._address.target}: {found}; the file is truncated or damaged"

    def close(self) -> None:
        self._capture.release()


class _Device(_Video):
    """A camera of this machine: its driver stamps a picture when it takes it, and may keep it for long before we come.

    Drivers stamp with CLOCK_MONOTONIC (V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC), which OpenCV gives as CAP_PROP_POS_MSEC. Old
    ones stamp with the clock of the day or with nothing: a moment that is not in the last MOST_AGE_NS is no such stamp.
    """

    def taken_ns(self, now_ns: int) -> int:
        stated_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        age_ns = now_ns - stated_ms * 1_000_000
        return now_ns - round(age_ns) if 0 <= age_ns <= MOST_AGE_NS else now_ns


class _MotionJpeg(_Video):
    """A stream of JPEGs, taken undecoded: one that was cut short is damaged, and none builds on another."""

    def grab(self) -> bool:
        return bool(self._capture.grab())

    def retrieve(self, into: Image | None) -> Image | None:  # noqa: ARG002  # OpenCV decodes into memory of its own
        got, packet = self._capture.retrieve()
        if not got or _END_OF_JPEG not in packet.ravel()[-_JPEG_PADDING:].tobytes():
            return None
        image: Image | None = None
        with suppress(cv2.error):  # sizes beyond OpenCV's own limits
            self._complaints.take()
            image = cast("Image | None", cv2.imdecode(packet, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION))
        return None if self._complaints.take() else image


class _Folder(Source):
    """The pictures of a folder in the order of their names."""

    def __init__(self, folder: str) -> None:
        self._paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in SUFFIXES)
        self._next = 0
        if not self._paths:
            kinds = " ".join(sorted(SUFFIXES))
            raise SourceFailure(CaptureReason.NOT_FOUND, f"{folder}: no picture in this folder, expected {kinds}")

    def grab(self) -> bool:
        self._next += 1
        return self._next <= len(self._paths)

    def retrieve(self, into: Image | None) -> Image | None:  # noqa: ARG002  # pictures are decoded by one function
        try:
            return read_still(self._paths[self._next - 1])
        except InputError:
            return None

    def place(self, index: int) -> str:
        return str(self._paths[index])

    def complaint(self, frames: int) -> str | None:
        unreadable = len(self._paths) - frames
        return f"{self._paths[0].parent}: {unreadable} unreadable pictures were skipped" if unreadable > 0 else None


class _Synthetic(Source):
    """Grey frames as fast as they are taken; every pixel is the frame's number modulo 256."""

    def __init__(self, form: str) -> None:
        size, _, count = form.partition(" ")
        width, _, height = size.partition("x")
        self._shape = (int(height), int(width), 3)
        self._count = int(count) if count else None
        self._grabbed = 0
        if 0 in self._shape:
            raise SourceFailure(CaptureReason.CODEC, f"synthetic: {form}: a frame without pixels")

    def grab(self) -> bool:
        self._grabbed += 1
        return self._count is None or self._grabbed <= self._count

    def retrieve(self, into: Image | None) -> Image | None:
        image = np.empty(self._shape, np.uint8) if into is None or into.shape != self._shape else into
        image.fill((self._grabbed - 1) % 256)
        return image


def _refuse_unreadable(path: str) -> None:
    try:
        os.stat(path)
    except PermissionError:
        raise SourceFailure(CaptureReason.PERMISSION, f"{path} may not be looked at") from None
    except OSError:
        raise SourceFailure(CaptureReason.NOT_FOUND, f"{path} does not exist") from None
    if not os.access(path, os.R_OK):
        raise SourceFailure(CaptureReason.PERMISSION, f"{path} may not be read")


def _capture(address: Address, open_timeout_ms: int, read_timeout_ms: int) -> cv2.VideoCapture:
    if address.kind is SourceKind.PIPELINE:
        if not _has_gstreamer():
            what = "this OpenCV was built without GStreamer (JetPack's OpenCV has it, the wheel from PyPI has not)"
            raise SourceFailure(CaptureReason.CODEC, f"gst: {what}")
        return cv2.VideoCapture(address.target, cv2.CAP_GSTREAMER)
    if address.kind is SourceKind.DEVICE:
        return cv2.VideoCapture(address.target, cv2.CAP_V4L2)
    backend = cv2.CAP_FFMPEG if _has(cv2.CAP_FFMPEG) else cv2.CAP_ANY
    if address.kind is SourceKind.PATH or backend == cv2.CAP_ANY:
        return cv2.VideoCapture(os.path.abspath(address.target) if not address.is_live else address.target, backend)
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _LIVE_OPTIONS)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_timeout_ms]
    return cv2.VideoCapture(address.target, backend, limits)


def _gives_packets(capture: cv2.VideoCapture) -> bool:
    """Whether this is motion JPEG, and from now on gives it undecoded."""
    codec = int(capture.get(cv2.CAP_PROP_FOURCC))
    return codec == _MJPG and bool(capture.set(cv2.CAP_PROP_FORMAT, -1))


def _has(backend: int) -> bool:
    return backend in cv2.videoio_registry.getStreamBackends()


def _has_gstreamer() -> bool:
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


def _why(address: Address, lines: list[str], late: bool) -> SourceFailure:
    """Find the reason in the backend's words: the first line that shows a sign, the last one otherwise."""
    shown = redact(address.target)
    for reason, sign in _SIGNS:
        for line in lines:
            if sign.search(line):
                return SourceFailure(reason, f"{shown}: {line}")
    if late:
        return SourceFailure(CaptureReason.TIMEOUT, f"{shown} did not open in time")
    said = f" ({lines[-1]})" if lines else ""
    return SourceFailure(CaptureReason.CODEC, f"{shown} cannot be opened as video{said}")


def _as_bgr(image: Image) -> Image:
    """Return (H, W, 3); some cameras give one grey channel."""
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    grey = image.ndim == 2 or image.shape[2] == 1
    return cast("Image", cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if grey else cv2.COLOR_BGRA2BGR))
