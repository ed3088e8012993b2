"""One ladder down: how much less a device in trouble does, and why.

    step            frames     batch   unchanged regions       cameras
    0 whole         all        whole   looked at               all
    1 half_rate     every 2nd  whole   looked at               all
    2 small_batch   every 2nd  1       looked at               all
    3 skip_still    every 2nd  1       every 8th frame         all
    4 shed_camera   every 2nd  1       every 8th frame         one less on each further step, the lowest priority first

Only live cameras are thinned and shed: a file is decided on to its last frame. On every step but the first the device
accepts at the stricter cut points (`edge.parameters.Cuts`).

Each axis is a reading between three marks: `low` (relaxed, stress 0), `high` (stress 1) and `critical` (stress 2).
- An axis at 1 or more takes a step down, and another every CLIMB_S while it stays there; one at 2 takes all at once.
- All axes at 0 or less for `calm_s` give a step back. Between the two nothing moves: that is the hysteresis. Trouble
  that comes back soon after a step back doubles `calm_s`, up to MOST_PATIENCE times; peace for PATIENT_S undoes that.
- Doing less does not mend a full disk or a low power mode: these hold the ladder at step 1 and take it no further.
- Two axes that worsen together are told as an alarm: what each of them allows says nothing about both.
- Other marks (`follow`) move nothing by themselves: the step stays, and calm is counted anew by them.

No clock, no I/O, no randomness: time and readings are arguments. An axis that cannot be read is left out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "CLIMB_S",
    "MOST_STRESS",
    "STEPS",
    "Axis",
    "Ladder",
    "Marks",
    "Measures",
    "Turn",
    "measures_of",
    "name_of",
    "stress",
]

CLIMB_S = 5
MOST_PATIENCE = 16
MOST_STRESS = 10.0  # in either direction
PATIENT_S = 1_800
WORSENING = 0.25  # of stress, within WINDOW_S, by an axis that is not relaxed
WINDOW_S = 60
STILL_EVERY = 8  # under `edge.track.GONE`: what is skipped stays the same track


class Axis(str, Enum):
    """What can run out. Higher stress is worse on each."""

    MEMORY = "memory"  # share of the system's memory that is still available
    OWN_MEMORY = "own_memory"  # share of this daemon's limit that it takes
    TEMPERATURE = "temperature"  # degrees Celsius of the hottest zone
    POWER = "power"  # 1 where the power mode is another one than configured
    QUEUE = "queue"  # least age of live frames as their turn comes, in units of max_age_ms
    DISK = "disk"  # MiB free where decisions are kept


_ONLY_FIRST = (Axis.DISK, Axis.POWER)


@dataclass(frozen=True, slots=True)
class Marks:
    """Three readings in the order of trouble, rising or falling."""

    low: float
    high: float
    critical: float


@dataclass(frozen=True, slots=True)
class Measures:
    """What a step means: one frame in `every` is decided on, `batch` 0 is the whole, `shed` cameras are closed."""

    every: int = 1
    batch: int = 0
    still_every: int = 1
    shed: int = 0

    @property
    def strict(self) -> bool:
        """Whether only the stricter cut points accept."""
        return self != Measures()


STEPS: tuple[tuple[str, Measures], ...] = (
    ("whole", Measures()),
    ("half_rate", Measures(every=2)),
    ("small_batch", Measures(every=2, batch=1)),
    ("skip_still", Measures(every=2, batch=1, still_every=STILL_EVERY)),
    ("shed_camera", Measures(every=2, batch=1, still_every=STILL_EVERY, shed=1)),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """Where the ladder stands. `moved` is how many steps it just took, `alarm` the axes that worsen together."""

    step: int
    moved: int
    cause: str
    alarm: tuple[str, ...]
    stress: Mapping[Axis, float]


def measures_of(step: int) -> Measures:
    """Return what a step means; each one behind the table closes one camera more."""
    last = len(STEPS) - 1
    if step <= last:
        return STEPS[step][1]
    return Measures(every=2, batch=1, still_every=STILL_EVERY, shed=1 + step - last)


def name_of(step: int) -> str:
    """Return the name of a step."""
    return STEPS[min(step, len(STEPS) - 1)][0]


def stress(value: float, marks: Marks) -> float:
    """Return how bad a reading is: 0 at `low`, 1 at `high`, 2 at `critical`, straight lines between and beyond."""
    found = (value - marks.low) / (marks.high - marks.low)
    if found > 1:
        found = 1 + (value - marks.high) / (marks.critical - marks.high)
    return min(max(found, -MOST_STRESS), MOST_STRESS)


class Ladder:
    """The state of one device."""

    def __init__(self, marks: Mapping[Axis, Marks], calm_s: float) -> None:
        self._marks = marks
        self._top = len(STEPS) - 1
        self._calm_s = calm_s
        self._patience = 1
        self._step = 0
        self._climbed_s = float("-inf")
        self._calm_since_s: float | None = None
        self._stepped_back_s = float("-inf")
        self._alarmed = False
        self._history: deque[tuple[float, Mapping[Axis, float]]] = deque()

    @property
    def step(self) -> int:
        """Where it stands."""
        return self._step

    def follow(self, marks: Mapping[Axis, Marks], calm_s: float | None = None) -> None:
        """Go on by other marks, from the step that it stands on; without `calm_s` as patient as before.

        What was calm by the old marks need not be so by these: a step back is `calm_s` away from here, or more.
        """
        self._marks = dict(marks)
        self._calm_s = self._calm_s if calm_s is None else calm_s
        self._calm_since_s = None
        self._history.clear()  # stress by other marks is another scale

    def update(self, readings: Mapping[Axis, float], cameras: int, now_s: float) -> Turn:
        """Take readings, at most one set a second, and return where the ladder stands.

        `cameras` are the live ones: all but one can be closed.
        """
        self._top = len(STEPS) - 2 + max(0, cameras - 1)
        known = {axis: value for axis, value in readings.items() if math.isfinite(value)}
        found = {axis: stress(known[axis], marks) for axis, marks in self._marks.items() if axis in known}
        worst = max(found, key=found.__getitem__, default=None)
        level = found[worst] if worst is not None else 0.0
        before, self._step = self._step, min(self._step, self._top)
        if level >= 1:
            self._calm_since_s = None
            self._down(found, now_s)
        elif level > 0:
            self._calm_since_s = None
        else:
            self._back(now_s)
        cause = f"{worst.value} {readings[worst]:.4g}" if worst is not None and level > 0 else ""
        return Turn(self._step, self._step - before, cause, self._worsening(found, now_s), found)

    def _down(self, found: Mapping[Axis, float], now_s: float) -> None:
        mending = max((value for axis, value in found.items() if axis not in _ONLY_FIRST), default=0.0)
        last = self._top if mending >= 1 else min(1, self._top)
        if self._step >= last or (now_s - self._climbed_s < CLIMB_S and mending < 2):
            return
        if self._step == 0 and now_s - self._stepped_back_s < 2 * self._calm_s * self._patience:
            self._patience = min(2 * self._patience, MOST_PATIENCE)
        self._step = last if mending >= 2 else self._step + 1
        self._climbed_s = now_s

    def _back(self, now_s: float) -> None:
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        calm_s = now_s - self._calm_since_s
        if self._step > 0 and calm_s >= self._calm_s * self._patience:
            self._step -= 1
            self._calm_since_s = self._stepped_back_s = now_s
        elif self._step == 0 and calm_s >= PATIENT_S:
            self._patience = 1

    def _worsening(self, found: Mapping[Axis, float], now_s: float) -> tuple[str, ...]:
        """Return the axes that got worse together within WINDOW_S, once until fewer than two do."""
        while self._history and now_s - self._history[0][0] > WINDOW_S:
            self._history.popleft()
        best = {
            axis: min((old[axis] for _, old in self._history if axis in old), default=found[axis]) for axis in found
        }
        self._history.append((now_s, found))
        worse = tuple(axis.value for axis in found if found[axis] > 0 and found[axis] - best[axis] >= WORSENING)
        alarm = len(worse) >= 2 and not self._alarmed
        self._alarmed = len(worse) >= 2
        return worse if alarm else ()
