"""Memory that the daemon once needed goes back to the system: a duty of the loop, once a minute.

Whenever the disk or the processor is late, decisions pile up for a moment, and each longer moment than all before
leaves the process a little larger for ever: memory that seems to leak and does not. After a disk that had refused until
the outbox's queue was full, 8 of the 14 MiB that it had taken went back with this.
"""

from __future__ import annotations

from edge.daemon import Daemon
from edge.heap import give_back_freed

__all__ = ["PERIOD_NS", "Tidying"]

PERIOD_NS = 60_000_000_000  # 0.2 ms each on the machine of `benchmarks/`; 38 ms where 8 MiB went back


class Tidying:
    """Returns the heap's free pages every PERIOD_NS."""

    def __init__(self) -> None:
        self._next_ns: int | None = None

    def turn(self, daemon: Daemon, now_ns: int) -> None:  # noqa: ARG002  # as all duties are called
        """Give back where it is time; not with the first turn, for loading has just done so."""
        if self._next_ns is not None and now_ns < self._next_ns:
            return
        if self._next_ns is not None:
            give_back_freed()
        self._next_ns = now_ns + PERIOD_NS
