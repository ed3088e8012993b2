"""When the reader of a camera will take its next frame, as far as the last ones tell: pure, time is an argument.

A camera that gives more than is decided on would have frames decoded that give way to newer ones before their turn. A
reader that is always behind (before each of the last PRESSED takes frames were lost, and it never slept for want of
one) takes its next frame about one interval after the last; of the frames before that only those are wanted that come
in the last part of it, so that a fresh one lies there. The shortest of the last intervals counts, and a quarter of it,
two frames at least, is left for being early: a reader that comes earlier still waits for one frame of the camera, for a
hungry one is given every frame. So an engine that becomes free has all frames again at once. A burst that the ring held
loses nothing and changes nothing.
"""

from __future__ import annotations

from collections import deque

__all__ = ["LEAST_RATE_NS", "Pace"]

PRESSED = 3
LEAST_RATE_NS = 400_000_000  # one frame in this time is decoded whatever is wanted: a frozen camera is still noticed
MOST_PAUSE_NS = 2_000_000_000


class Pace:
    """The takes of one opening of a camera."""

    def __init__(self) -> None:
        self._behind = 0
        self._intervals_ns: deque[int] = deque(maxlen=PRESSED)
        self._frame_ns = 0  # between two frames of the camera
        self._last: tuple[int, int, int] | None = None  # number, captured, taken

    @property
    def is_behind(self) -> bool:
        """Whether frames are lost because the reader does not come, time after time."""
        return self._behind >= PRESSED

    def hunger(self) -> None:
        """The reader wants any frame: it sleeps for want of one, or serves others meanwhile."""
        self._behind = 0

    def take(self, number: int, captured_ns: int, every: int, now_ns: int) -> int:
        """Count a take, of a camera that is thinned to one frame in `every`.

        Returns the moment before which no frame is wanted; 0 where all are.
        """
        last, self._last = self._last, (number, captured_ns, now_ns)
        if last is None or number <= last[0]:
            return 0
        self._behind = self._behind + 1 if number - last[0] > every else 0
        self._frame_ns = (captured_ns - last[1]) // (number - last[0])
        self._intervals_ns.append(now_ns - last[2])
        if not self.is_behind:
            return 0
        interval_ns = min(self._intervals_ns)
        lead_ns = max(interval_ns // 4, 2 * every * self._frame_ns)
        pause_ns = min(interval_ns - lead_ns, MOST_PAUSE_NS)
        return now_ns + pause_ns if pause_ns > 0 else 0
