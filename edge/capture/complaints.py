"""What OpenCV and its decoders print, caught: nothing else says why a source does not open or a picture is damaged.

A decoder fills what a damaged picture lacks from the pictures before it, or from its surroundings, and calls that
success. So a picture during which one complained is none, and of a film neither is any that builds on it, up to the
next key frame. Conservative: an error of the transport counts as well.

Limits: a loss of whole packets that leaves no trace in the next ones is not complained about (over TCP there is none);
GStreamer's decoders print nothing here; a camera whose key frames refresh a part of the picture each is taken at its
word.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable

from edge.capture.failure import redact

__all__ = ["LOG_LEVEL", "Complaints", "Film"]

LOG_LEVEL = 24  # of FFmpeg: warnings, for an HTTP status is named in one
_MAX_LINE = 200  # characters of a library's own words in a message
_COMMONPLACE = "backend is generally available"  # said of every source that did not open
_OF_FFMPEG = re.compile(r"\[OPENCV:FFMPEG:(-?\d+)\] ?(.*)")
_ERROR = 16  # FFmpeg's levels fall with gravity
_NO_PICTURE = "no frame!"  # what was complained about before gave no picture at all
_OF_JPEG = re.compile(r"(?:Corrupt|Premature end of) JPEG.*")
_PADDING = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_MOST_PADDING = 64  # bytes that cameras may leave at a picture's end; more is data that was not understood


class Complaints:
    """What libraries print (OpenCV on standard error, its FFmpeg on standard output), kept in anonymous memory."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("complaints", os.MFD_CLOEXEC)
        for standard in (1, 2):
            os.dup2(self._descriptor, standard)

    def lines(self) -> list[str]:
        """Return what was said since the last `take`: redacted, without prefixes and without OpenCV's commonplace."""
        lines = (re.sub(r"^\s*\[[^\]]*\]\s*", "", line).strip() for line in self._text().splitlines())
        return [redact(line)[:_MAX_LINE] for line in lines if line and _COMMONPLACE not in line]

    def take(self) -> list[str]:
        """Return what decoders said against a picture since the last time, and forget everything that was said."""
        text = self._text()
        if not text:
            return []
        os.lseek(self._descriptor, 0, os.SEEK_SET)  # the offset of who prints, too
        os.ftruncate(self._descriptor, 0)
        return [found for line in text.splitlines() if (found := _damage(line.strip()))]

    def _text(self) -> str:
        ctypes.CDLL(None).fflush(None)  # the C library's buffer of standard output
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, min(size, 64 * 1024), 0).decode(errors="replace") if size else ""


class Film:
    """Which pictures of a film are whole: none after a damaged one until a key frame that is whole has come out."""

    def __init__(self) -> None:
        self._damaged = False
        self._until_key: int | None = None  # pictures that the decoder still holds back before the key frame

    def is_whole(self, damage: Iterable[str], is_key: bool, held_back: int) -> bool:
        """Return whether the picture that came last is whole.

        `damage` is what was said while it was decoded, `is_key` whether the packet read last begins a key frame, and
        `held_back` how many pictures come out between a packet and its own picture.
        """
        said = list(damage)
        if said:
            self._damaged, self._until_key = True, None
        about_this = said and said[-1] != _NO_PICTURE
        if self._damaged and is_key and not about_this:
            self._until_key = held_back
        if self._until_key is None:
            return not self._damaged
        if self._until_key > 0:
            self._until_key -= 1
            return False
        self._damaged, self._until_key = False, None
        return True


def _damage(line: str) -> str:
    """Return what a line says against a picture, empty where it says nothing."""
    of_ffmpeg = _OF_FFMPEG.fullmatch(line)
    if of_ffmpeg:
        return of_ffmpeg[2] if int(of_ffmpeg[1]) <= _ERROR else ""
    of_jpeg, padding = _OF_JPEG.search(line), _PADDING.search(line)
    if of_jpeg is None or (padding and int(padding[1]) <= _MOST_PADDING):
        return ""
    return of_jpeg[0]
