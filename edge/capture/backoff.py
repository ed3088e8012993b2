"""When to try again: exponential backoff with jitter, pure; time and seed are arguments.

The n-th failure in a row waits between half of and the whole of `min(cap_ms, base_ms * 2**(n-1))`. Half is kept so that
a broken camera is never hammered; the other half is jitter, so that cameras behind one switch do not come back
together.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Backoff"]

_MAX_DOUBLINGS = 32  # beyond any cap; keeps the power small


class Backoff:
    """The waiting time of one camera. `seed` should differ from camera to camera."""

    def __init__(self, seed: int, base_ms: int = 500, cap_ms: int = 30_000) -> None:
        if not 0 < base_ms <= cap_ms:
            raise ValueError(f"base_ms {base_ms}, cap_ms {cap_ms}: expected 0 < base_ms <= cap_ms")
        self.failures = 0
        self._random = np.random.default_rng(seed)
        self._base_ms = base_ms
        self._cap_ms = cap_ms
        self._due_ns = 0

    def failed(self, now_ns: int, cap_ms: int | None = None) -> int:
        """Note a failure at `now_ns` and return how many milliseconds from then the next attempt is due.

        `cap_ms` is a lower cap for a kind of failure that should not be waited for long.
        """
        least_ms = self._cap_ms if cap_ms is None else min(cap_ms, self._cap_ms)
        whole_ms = min(least_ms, self._base_ms * 2 ** min(self.failures, _MAX_DOUBLINGS))
        self.failures += 1
        delay_ms = int(whole_ms * self._random.uniform(0.5, 1.0))
        self._due_ns = now_ns + delay_ms * 1_000_000
        return delay_ms

    def succeeded(self) -> None:
        """Start again from `base_ms`: call it when a frame came, not when the camera only opened."""
        self.failures = 0
        self._due_ns = 0

    def due(self, now_ns: int) -> bool:
        """Whether the next attempt may start."""
        return now_ns >= self._due_ns
