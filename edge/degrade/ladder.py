"""One ladder down: how much less a device in trouble does, and why.

    step            frames     batch   unchanged regions       cameras
    0 whole         all        whole   looked at               all
    1 half_rate     every 2nd  whole   looked at               all
    2 small_batch   every 2nd  1       looked at               all
    3 skip_still    every 2nd  1       every 8th frame         all
    4 shed_camera   every 2nd  1       every 8th frame         one less on each further step, the lowest priority first
    last, smaller_engine, where a bundle with one is configured: as before, and that bundle decides

Only live cameras are thinned and shed: a file is decided on to its last frame. On every step but the first the device
accepts at the stricter cut points (`edge.parameters.Cuts`).

Each axis is a reading between three marks: `low` (relaxed, stress 0), `high` (stress 1) and `critical` (stress 2).
- An axis at 1 or more takes a step down, and another every CLIMB_S while it stays there; one at 2 takes all at once.
- All axes at 0 or less for `calm_s` give a step back. Between the two nothing moves: that is the hysteresis. Trouble
  that comes back soon after a step back doubles `calm_s`, up to MOST_PATIENCE times; peace for PATIENT_S undoes that.
- Doing less does not mend a full disk or a low power mode: these hold the ladder at step 1, take it no further and
  keep it on no further step.
- A smaller engine is loaded beside the one that decides, so only while memory is relaxed. It mends too much work.
- Two axes that worsen together are told as an alarm: what each of them allows says nothing about both.
- Memory that a camera waits for counts as taken, so room is made for it where something can be closed. It has room
  where the ladder would not step down for it, or where as much again would be left.
- Other marks (`follow`) move nothing by themselves: the step stays, and calm is counted anew by them.

No clock, no I/O, no randomness: time and readings are arguments. An axis that cannot be read is left out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    "steps_of",
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
_MEMORY = (Axis.MEMORY, Axis.OWN_MEMORY)
_NOTHING_LEFT = {Axis.MEMORY: 0.0, Axis.OWN_MEMORY: 1.0}


@dataclass(frozen=True, slots=True)
class Marks:
    """Three readings in the order of trouble, rising or falling."""

    low: float
    high: float
    critical: float


@dataclass(frozen=True, slots=True)
class Measures:
    """What a step means: one frame in `every` is decided on, `batch` 0 is the whole, `shed` cameras are closed.

    `smaller`: the configured smaller bundle decides.
    """

    every: int = 1
    batch: int = 0
    still_every: int = 1
    shed: int = 0
    smaller: bool = False

    @property
    def strict(self) -> bool:
        """Whether only the stricter cut points accept."""
        return self != Measures()


STEPS: tuple[tuple[str, Measures], ...] = (
    ("whole", Measures()),
    ("half_rate", Measures(every=2)),
    ("small_batch", Measures(every=2, batch=1)),
    ("skip_still", Measures(every=2, batch=1, still_every=STILL_EVERY)),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """Where the ladder stands. `moved` is how many steps it just took, `alarm` the axes that worsen together.

    `name` and `measures` are those of `step`.
    """

    step: int
    moved: int
    cause: str
    alarm: tuple[str, ...]
    stress: Mapping[Axis, float]
    name: str = STEPS[0][0]
    measures: Measures = STEPS[0][1]


def steps_of(cameras: int, smaller: bool) -> tuple[tuple[str, Measures], ...]:
    """Return the steps of a device with so many live cameras, of which one is never closed, with or without a smaller
    engine: the name of each and what it means, the whole first.
    """
    least = STEPS[-1][1]
    closing = [("shed_camera", replace(least, shed=number)) for number in range(1, cameras)]
    last = ("smaller_engine", replace(least, shed=len(closing), smaller=True))
    return (*STEPS, *closing, *([last] if smaller else []))


def stress(value: float, marks: Marks) -> float:
    """Return how bad a reading is: 0 at `low`, 1 at `high`, 2 at `critical`, straight lines between and beyond."""
    found = (value - marks.low) / (marks.high - marks.low)
    if found > 1:
        found = 1 + (value - marks.high) / (marks.critical - marks.high)
    return min(max(found, -MOST_STRESS), MOST_STRESS)


class Ladder:
    """The state of one device; `smaller` tells whether it has a smaller engine."""

    def __init__(self, marks: Mapping[Axis, Marks], calm_s: float, smaller: bool = False) -> None:
        self._marks = marks
        self._smaller = smaller
        self._steps = steps_of(1, smaller)
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

    def has_room(self, readings: Mapping[Axis, float], taking: Mapping[Axis, float]) -> bool:
        """Whether memory may be taken that changes the readings by `taking`; an axis without one refuses nothing."""
        for axis in _MEMORY:
            if axis not in readings or axis not in taking or axis not in self._marks:
                continue
            once, twice = (readings[axis] + times * taking[axis] for times in (1, 2))
            as_much_is_left = (_NOTHING_LEFT[axis] - twice) * taking[axis] >= 0
            if stress(once, self._marks[axis]) >= 1 and not as_much_is_left:
                return False
        return True

    def follow(self, marks: Mapping[Axis, Marks], calm_s: float | None = None, smaller: bool = False) -> None:
        """Go on by other marks, from the step that it stands on; without `calm_s` as patient as before.

        Where it stood on a smaller engine and there is none any more, it stands on the step before. What was calm by
        the old marks need not be so by these: a step back is `calm_s` away from here, or more.
        """
        self._marks = dict(marks)
        self._smaller = smaller
        self._calm_s = self._calm_s if calm_s is None else calm_s
        self._calm_since_s = None
        self._history.clear()  # stress by other marks is another scale

    def update(self, readings: Mapping[Axis, float], cameras: int, now_s: float) -> Turn:
        """Take readings, at most one set a second, and return where the ladder stands.

        `cameras` are the live ones: all but one can be closed.
        """
        before = self._step
        self._stand_among(cameras)
        known = {axis: value for axis, value in readings.items() if math.isfinite(value)}
        found = {axis: stress(known[axis], marks) for axis, marks in self._marks.items() if axis in known}
        worst = max(found, key=found.__getitem__, default=None)
        level = found[worst] if worst is not None else 0.0
        mending = max((value for axis, value in found.items() if axis not in _ONLY_FIRST), default=0.0)
        if mending <= 0 and (level <= 0 or self._step > 1):
            self._back(now_s)
        else:
            self._calm_since_s = None
            if level >= 1:
                self._down(mending, all(found.get(axis, 0.0) <= 0 for axis in _MEMORY), now_s)
        cause = f"{worst.value} {readings[worst]:.4g}" if worst is not None and level > 0 else ""
        return Turn(
            self._step, self._step - before, cause, self._worsening(found, now_s), found, *self._steps[self._step]
        )

    def _stand_among(self, cameras: int) -> None:
        """Stay where it is on the steps of a device with so many cameras: a smaller engine stays, and none is taken."""
        is_smaller = self._steps[self._step][1].smaller
        self._steps = steps_of(cameras, self._smaller)
        self._step = len(self._steps) - 1 if is_smaller else min(self._step, self._last(room=False))

    def _last(self, room: bool) -> int:
        """Return the last step that can be taken, with or without `room` for another engine beside this one."""
        return len(self._steps) - 1 - (self._smaller and not room)

    def _down(self, mending: float, room: bool, now_s: float) -> None:
        last = self._last(room) if mending >= 1 else 1
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
