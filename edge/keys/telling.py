"""A word in the log about what may happen very often: once a minute of each kind, with how often it happened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Telling"]

EVERY_NS = 60_000_000_000
MAX_KINDS = 1_000  # beyond that one word stands for all


@dataclass(slots=True)
class _Said:
    last_ns: int
    since: int = 0


class Telling:
    """Tells through `log`. `kind` is what is told once a minute; the text is that of the moment it is told."""

    def __init__(self, log: logging.Logger, clock_ns: Callable[[], int]) -> None:
        self._log = log
        self._clock_ns = clock_ns
        self._said: dict[str, _Said] = {}

    def warning(self, kind: str, text: str) -> None:
        """Say that something is wrong."""
        self._tell(logging.WARNING, kind, text)

    def info(self, text: str) -> None:
        """Say what happened; each text once a minute."""
        self._tell(logging.INFO, text, text)

    def _tell(self, level: int, kind: str, text: str) -> None:
        now_ns = self._clock_ns()
        kind = kind if kind in self._said or len(self._said) < MAX_KINDS else ""
        said = self._said.setdefault(kind, _Said(now_ns - EVERY_NS))
        said.since += 1
        if now_ns - said.last_ns >= EVERY_NS:
            more = f" ({said.since} since the last word)" if said.since > 1 else ""
            self._log.log(level, "%s%s", text, more)
            said.last_ns, said.since = now_ns, 0
