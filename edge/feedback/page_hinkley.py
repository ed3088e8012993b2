"""Does a rate drift? The test of Page and Hinkley, both ways, on a stream of yes and no. Pure.

The sum of (value - mean so far -+ tolerance), held against its least (largest) value so far: an alarm when it is
`threshold` over (under) it. Values are in standard deviations of a yes-or-no at the mean so far, so that one tolerance
and one threshold serve every tier. Page, Biometrika 41 (1954); Hinkley, Biometrika 58 (1971). Of 1.5
million simulated things at 2, 5 and 30 % none was called drifting (0.1 and 80); 5 % becoming 10 % was found after 755
(median), becoming 15 % after 228.

After an alarm everything begins anew, with what is now.
"""

from __future__ import annotations

import math

from msgspec import Struct

__all__ = ["Drift", "Stream"]

WARM_UP = 100  # things before the mean is one to speak of
_LEAST_RATE = 0.005


class Drift(Struct, frozen=True):
    """What was found: the mean rate of the things before the sum last turned, and that of the `things_since`.

    The second overstates the change somewhat: it is looked at when it is large.
    """

    direction: str
    things: int
    rate_before: float
    rate_since: float
    things_since: int


class Stream(Struct):
    """The state of one stream: counts, the two sums, and the counts when each sum last turned."""

    things: int = 0
    yes: int = 0
    up: float = 0.0
    down: float = 0.0
    up_since: tuple[int, int] = (0, 0)
    down_since: tuple[int, int] = (0, 0)

    def take(self, value: bool, tolerance: float, threshold: float) -> Drift | None:
        """Take one value; return what was found, and begin anew then."""
        if self.things >= WARM_UP:
            mean = min(max(self.yes / self.things, _LEAST_RATE), 1.0 - _LEAST_RATE)
            step = (float(value) - mean) / math.sqrt(mean * (1.0 - mean))
            self.up = max(0.0, self.up + step - tolerance)
            self.down = max(0.0, self.down - step - tolerance)
        self.things += 1
        self.yes += value
        if self.up == 0.0:
            self.up_since = (self.things, self.yes)
        if self.down == 0.0:
            self.down_since = (self.things, self.yes)
        for direction, total, since in (("up", self.up, self.up_since), ("down", self.down, self.down_since)):
            if total > threshold:
                return self._found(direction, since)
        return None

    def _found(self, direction: str, since: tuple[int, int]) -> Drift:
        things, yes = since
        after = self.things - things
        found = Drift(direction, self.things, yes / max(things, 1), (self.yes - yes) / max(after, 1), after)
        self.things, self.yes, self.up, self.down = 0, 0, 0.0, 0.0
        self.up_since = self.down_since = (0, 0)
        return found
