"""What a daemon says on standard error: one line a record, in one of two forms, and never a flood.

    text    time=2026-11-29T17:00:00.123Z level=warning logger=edge.daemon message="camera basket: stalled" held_back=3
    json    {"time": "2026-11-29T17:00:00.123Z", "level": "warning", "logger": "edge.daemon", "message": "camera ..."}

- Under systemd, where standard error is the journal, a line begins with `<4>`, which the journal takes off and keeps as
  its priority; it has the time by itself, so a line of text does not say it again.
- Line breaks and other control characters are escaped, tracebacks too: nobody can forge a line with a camera's name.
- Of one message (logger, level and template) at most BURST come through in PERIOD_S. What was held back is counted and
  told with the next one, or by itself when the period is over and something else is said, and at the end.

Specifications: sd-daemon(3) for the prefixes, systemd.exec(5) for JOURNAL_STREAM.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TextIO, TypeAlias

__all__ = ["BURST", "FORMS", "LEVELS", "PERIOD_S", "JsonLines", "Limiter", "TextLines", "set_up", "writes_to_journal"]

BURST = 20
PERIOD_S = 60.0
TEMPLATES = 512  # that are remembered; the one unused for longest is forgotten first
FORMS = ("text", "json")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

Key: TypeAlias = tuple[str, int, str]  # logger, level, template


def set_up(form: str, stream: TextIO | None = None, level: str = "info", burst: int = BURST) -> None:
    """Let everything from `level` on be written to `stream` (standard error) in one of FORMS, in the place of before.

    Of one message at most `burst` come in PERIOD_S. Nothing that other threads say meanwhile is lost or said twice, and
    what was held back is told in the new form.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    for_journal = writes_to_journal(stream, os.environ)
    handler.setFormatter(JsonLines(for_journal) if form == "json" else TextLines(for_journal))
    root = logging.getLogger()
    there = next((one for one in root.handlers if isinstance(one, _Limited)), None)
    if there is None:
        root.addHandler(_Limited(handler, burst))
    else:
        there.follow(handler, burst)
    root.setLevel(LEVELS[level])


def writes_to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether what is written to `stream` goes straight to the journal."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _Lines(logging.Formatter):
    """One line a record, without its line break."""

    def __init__(self, for_journal: bool) -> None:
        super().__init__()
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return (f"<{_priority(record)}>" if self._for_journal else "") + self._line(_fields(record))

    def _line(self, fields: dict[str, str | int]) -> str:
        raise NotImplementedError


class TextLines(_Lines):
    """`key=value` for people, in the journal or on a terminal."""

    def _line(self, fields: dict[str, str | int]) -> str:
        if self._for_journal:
            del fields["time"]
        fields["message"] = json.dumps(fields["message"], ensure_ascii=False)
        return _printable(" ".join(f"{key}={value}" for key, value in fields.items()))


class JsonLines(_Lines):
    """For programs."""

    def _line(self, fields: dict[str, str | int]) -> str:
        return json.dumps(fields)


@dataclass(slots=True)
class _Seen:
    since_s: float
    told: int = 0
    held: int = 0


class Limiter:
    """Counts messages by logger, level and template, and lets `burst` of each through in PERIOD_S.

    Time is an argument; memory is bounded by TEMPLATES.
    """

    def __init__(self, burst: int = BURST) -> None:
        self.burst = burst
        self._seen: OrderedDict[Key, _Seen] = OrderedDict()

    def take(self, key: Key, now_s: float) -> int | None:
        """Return how many were held back before this one, or None where it is held back itself."""
        seen = self._seen.setdefault(key, _Seen(now_s))
        self._seen.move_to_end(key)
        held = 0
        if now_s - seen.since_s >= PERIOD_S:
            held = seen.held
            self._seen[key] = seen = _Seen(now_s)
        if seen.told >= self.burst:
            seen.held += 1
            return None
        seen.told += 1
        return held

    def over(self, now_s: float) -> list[tuple[Key, int]]:
        """Forget what nothing came of for a period, and what is beyond the bound; return what was held back of it."""
        gone = [key for key, seen in self._seen.items() if now_s - seen.since_s >= PERIOD_S]
        gone += list(self._seen)[: max(len(self._seen) - TEMPLATES, 0)]
        forgotten = [(key, self._seen.pop(key)) for key in dict.fromkeys(gone)]
        return [(key, seen.held) for key, seen in forgotten if seen.held]


class _Limited(logging.Handler):
    """Hands on what the limiter lets through."""

    def __init__(
        self, inner: logging.Handler, burst: int = BURST, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._inner = inner
        self._clock_s = clock_s
        self._limiter = Limiter(burst)

    def follow(self, inner: logging.Handler, burst: int) -> None:
        """Go on through another handler, with what was counted so far; under the lock that `handle` takes."""
        self.acquire()
        try:
            self._inner, self._limiter.burst = inner, burst
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it; before it, what was held back of others whose period is over."""
        now_s = self._clock_s()
        held = self._limiter.take((record.name, record.levelno, str(record.msg)), now_s)
        self._tell(now_s)
        if held is None:
            return
        if held:
            record.held_back = held
        self._inner.handle(record)

    def close(self) -> None:
        """Tell what is still held back."""
        self._tell(float("inf"))
        super().close()

    def _tell(self, now_s: float) -> None:
        for (name, level, template), held in self._limiter.over(now_s):
            summary = logging.LogRecord(name, level, "", 0, "held back: %s", (template,), None)
            summary.held_back = held
            self._inner.handle(summary)


def _fields(record: logging.LogRecord) -> dict[str, str | int]:
    told = record.getMessage()
    if record.exc_info:
        told += "\n" + logging.Formatter().formatException(record.exc_info)
    fields: dict[str, str | int] = {
        "time": _moment(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": told,
    }
    held = getattr(record, "held_back", 0)
    return {**fields, "held_back": held} if held else fields


def _printable(text: str) -> str:
    """Return `text` with everything escaped that a terminal, or a reader of lines, would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _priority(record: logging.LogRecord) -> int:
    """Return the syslog priority: 3 error and worse, 4 warning, 6 info, 7 debug."""
    levels = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
    return next((priority for level, priority in levels if record.levelno >= level), 7)
