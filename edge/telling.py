"""A word in the log about what may happen very often: once a period of each kind, with how often it happened.

Stricter than `edge.logs` is with everything, and also where nobody has set that up. It counts with the same limiter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge.logs import Limiter

__all__ = ["Telling"]


class Telling:
    """Tells through `log`. `kind` is what is told once a period; the text is that of the moment it is told."""

    def __init__(self, log: logging.Logger, clock_ns: Callable[[], int]) -> None:
        self._log = log
        self._clock_ns = clock_ns
        self._limiter = Limiter(burst=1)

    def warning(self, kind: str, text: str) -> None:
        """Say that something is wrong."""
        self._tell(logging.WARNING, kind, text)

    def info(self, text: str) -> None:
        """Say what happened; each text once a period."""
        self._tell(logging.INFO, text, text)

    def _tell(self, level: int, kind: str, text: str) -> None:
        now_s = self._clock_ns() / 1e9
        held = self._limiter.take((self._log.name, level, kind), now_s)
        for (_, of, other), more in self._limiter.over(now_s):
            self._log.log(of, "%s: %d more since the last word", other, more)
        if held is not None:
            self._log.log(level, "%s%s", text, f" ({held + 1} since the last word)" if held else "")
