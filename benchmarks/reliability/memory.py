"""The memory limit reached: the place for it. The daemon does not shed anything yet."""

from __future__ import annotations

from benchmarks.reliability.result import Result
from benchmarks.reliability.sizes import Sizes

__all__ = ["measure"]


def measure(_sizes: Sizes) -> list[Result]:
    """Return the row."""
    return [Result("memory limit reached", not_run="the daemon sheds nothing yet where memory runs short")]
