"""What a `source` string of the configuration means: pure text, nothing is touched.

0, /dev/video0, /dev/v4l/...    a V4L2 device              live
rtsp:// rtsps:// http:// https://                          live
gst: PIPELINE                   GStreamer                  live
synthetic: WxH [COUNT]          numbered grey frames       live, for tests and benchmarks
anything else                   a video file or a folder   not live: nothing is ever dropped
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from edge.capture.failure import redact
from edge.errors import InputError

__all__ = ["Address", "SourceKind", "parse_source"]

_MAX_LENGTH = 4096
_NUMBER = re.compile(r"[0-9]{1,4}")
_DEVICE = re.compile(r"/dev/(video[0-9]+|v4l/\S+)")
_URL = re.compile(r"(rtsps?|https?)://\S+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SYNTHETIC = re.compile(r"[0-9]{1,5}x[0-9]{1,5}( [0-9]{1,9})?")


class SourceKind(str, Enum):
    """Who reads it."""

    DEVICE = "device"
    PATH = "path"
    URL = "url"
    PIPELINE = "pipeline"
    SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True)
class Address:
    """A source string, understood. `target` may hold credentials; show `redact(target)` only."""

    kind: SourceKind
    target: str

    @property
    def is_live(self) -> bool:
        """Whether time goes on without us: a live source drops its oldest frame, a file waits."""
        return self.kind is not SourceKind.PATH


def parse_source(source: str) -> Address:
    """Understand a source string; raises InputError for a scheme or a form that nothing here reads."""
    text = source.strip()
    if len(text) > _MAX_LENGTH:
        raise InputError(f"source is {len(text)} characters long, expected at most {_MAX_LENGTH}; mend `source`")
    if _NUMBER.fullmatch(text):
        return Address(SourceKind.DEVICE, f"/dev/video{int(text)}")
    if _DEVICE.fullmatch(text):
        return Address(SourceKind.DEVICE, text)
    if _URL.fullmatch(text):
        return Address(SourceKind.URL, text)
    if text.startswith("gst:"):
        return Address(SourceKind.PIPELINE, _argument(text, "gst:", re.compile(r".+"), "a GStreamer pipeline"))
    if text.startswith("synthetic:"):
        return Address(SourceKind.SYNTHETIC, _argument(text, "synthetic:", _SYNTHETIC, "WIDTHxHEIGHT [COUNT]"))
    if not text or _SCHEME.match(text) or "\0" in text:
        expected = "a device, a file, a folder, rtsp(s)://, http(s):// or gst:"
        raise InputError(f"source {redact(source)!r} is not understood, expected {expected}; mend `source`")
    return Address(SourceKind.PATH, text)


def _argument(text: str, prefix: str, pattern: re.Pattern[str], expected: str) -> str:
    argument = text[len(prefix) :].strip()
    if not pattern.fullmatch(argument):
        raise InputError(f"source {redact(text)!r}: expected {prefix} {expected}; mend `source`")
    return argument
