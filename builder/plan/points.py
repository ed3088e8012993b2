"""What a plan is made of, which points no other point beats, and which one is taken.

A form is a network at one input size and precision: what it recognises and how long it takes is found once. A point is
a form with a batch, a length and a number of prototypes: its memory is predicted by the ledger of `builder.budget`.

The choice is made among the points that fit, are fast enough and can be built:
1. those that recognise at most `tolerance` points less than the most accurate of them;
2. of these, those within SAME_SPEED of the fastest (timings differ by as much from run to run);
3. of these, the smallest; then the most accurate.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from builder.budget import Line

__all__ = [
    "CHOSEN",
    "COMPARED",
    "FITS",
    "OVER",
    "REFUSED",
    "SLOW",
    "Form",
    "Limits",
    "Plan",
    "Point",
    "Unusable",
    "chosen",
    "front",
    "judged",
]

SAME_SPEED = 0.05
CHOSEN, FITS, OVER, REFUSED, SLOW, COMPARED = (
    "chosen",
    "fits",
    "over budget",
    "refused",
    "too slow",
    "for comparison",
)


class Unusable(Struct, frozen=True):
    """A network at a size that it does not take, and why."""

    model: str
    size_px: int
    why: str


class Form(Struct, frozen=True, kw_only=True):
    """A network at one size and precision. `in_float` layers of an INT8 one are kept in float.

    `accuracy` says where `top1` comes from (measured, float's, not measured) and `latency` where the times do; `top1`
    is by DIMENSIONxPROTOTYPES, `latency_ms` by batch, of one crop in a full batch. `loss` is in points against float,
    with its 95 % interval. `refused` says which gate it fails, empty for none.
    """

    model: str
    size_px: int
    precision: str
    in_float: int = 0
    accuracy: str = "not measured"
    top1: dict[str, float] = {}
    loss: tuple[float, float, float] | None = None
    latency: str = "not known"
    latency_ms: dict[str, float] = {}
    refused: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        kept = f", {self.in_float} in float" if self.in_float else ""
        return f"{self.model} {self.size_px} px {self.precision}{kept}"

    @property
    def best(self) -> float | None:
        """The share that is right at the best length and number of prototypes."""
        return max(self.top1.values(), default=None)


class Point(Struct, frozen=True, kw_only=True):
    """One thing that could be built; `form` is its position in the plan, `state` and `why` what became of it."""

    form: int
    batch: int
    dimension: int
    prototypes: int
    memory_mib: float
    top1: float | None = None
    latency_ms: float | None = None
    state: str = FITS
    why: str = ""


class Limits(Struct, frozen=True, kw_only=True):
    """What a point must keep: memory, and the time of a crop where one is asked for; `tolerance` in points."""

    memory_mib: float
    latency_ms: float | None
    tolerance: float


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that was looked at. `photos` and `products` were measured on, 0 where nothing was.

    `largest` are the three largest lines of the ledger of the point that needs least memory.
    """

    device: str
    engine: str
    limits: Limits
    photos: int
    products: int
    forms: tuple[Form, ...]
    points: tuple[Point, ...]
    unusable: tuple[Unusable, ...]
    largest: tuple[Line, ...]

    @property
    def choice(self) -> Point | None:
        """The point that is taken."""
        return next((point for point in self.points if point.state == CHOSEN), None)

    @property
    def nearest(self) -> Point:
        """The point that needs least memory."""
        return min(self.points, key=lambda point: point.memory_mib)

    def least_mib(self, form: int) -> float:
        """Return the least memory of a form's points."""
        return min(point.memory_mib for point in self.points if point.form == form)

    def words(self, point: Point) -> str:
        """Return a point as people read it."""
        return (
            f"{self.forms[point.form].name}, batch {point.batch}, {point.dimension} dimensions, "
            f"{point.prototypes} prototype{'' if point.prototypes == 1 else 's'} a product"
        )

    def count(self, *states: str) -> int:
        """Return how many points came to one of these states."""
        return sum(point.state in states for point in self.points)


def judged(form: Form, point: Point, limits: Limits) -> Point:
    """Return the point with what it recognises, its time, and whether it is usable."""
    top1 = form.top1.get(f"{point.dimension}x{point.prototypes}")
    time = form.latency_ms.get(str(point.batch))
    state, why = FITS, ""
    if point.memory_mib > limits.memory_mib:
        state, why = OVER, f"{point.memory_mib - limits.memory_mib:.0f} MiB over"
    elif form.refused:
        state, why = REFUSED, form.refused
    elif form.precision == "float16":
        state, why = COMPARED, "edge-build makes no float16 build"
    elif limits.latency_ms is not None and (time is None or time > limits.latency_ms):
        state, why = SLOW, f"expected at most {limits.latency_ms:g} ms a crop"
    return structs.replace(point, top1=top1, latency_ms=time, state=state, why=why)


def chosen(points: Sequence[Point], limits: Limits) -> tuple[Point, ...]:
    """Return the points, the one that is taken marked as such; all as they are where none can be."""
    usable = [point for point in points if point.state == FITS]
    if not usable:
        return tuple(points)
    best = max(_right(point) for point in usable)
    near = [point for point in usable if _right(point) >= best - limits.tolerance / 100.0]
    fastest = min(_time(point) for point in near)
    quick = [point for point in near if _time(point) <= fastest * (1.0 + SAME_SPEED)]
    taken = min(quick, key=lambda point: (point.memory_mib, -_right(point), _time(point), point.form))
    why = (
        f"within {limits.tolerance:g} points of the most accurate that fits ({len(near)} of {len(usable)}), "
        f"among the fastest of these ({len(quick)}), the smallest"
    )
    return tuple(structs.replace(point, state=CHOSEN, why=why) if point is taken else point for point in points)


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in memory, time and what is recognised at once, by rising memory.

    What can be taken is held against its like alone; what is over budget, too slow or only to compare, against
    everything; what a gate refused is left out. The taken one is always there.
    """
    usable = {_figures(point) for point in points if point.state in {CHOSEN, FITS}}
    every = {_figures(point) for point in points if point.state != REFUSED}
    kept: dict[tuple[float, float, float], Point] = {}
    shown = (point for point in points if point.state != REFUSED)
    for point in sorted(shown, key=lambda one: (one.state != CHOSEN, one.state != FITS)):
        own = _figures(point)
        rivals = usable if point.state in {CHOSEN, FITS} else every
        if point.state == CHOSEN or not any(_dominates(other, own) for other in rivals):
            kept.setdefault(own, point)
    return sorted(kept.values(), key=lambda point: point.memory_mib)


def _dominates(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def _figures(point: Point) -> tuple[float, float, float]:
    """Return memory, time and errors: less is better in each."""
    return round(point.memory_mib, 1), round(_time(point), 3), round(1.0 - _right(point), 4)


def _right(point: Point) -> float:
    return point.top1 if point.top1 is not None else 0.0


def _time(point: Point) -> float:
    return point.latency_ms if point.latency_ms is not None else float("inf")
