"""`edge-build --plan DIR`: search, show, write the plan, and say what to build.

DIR holds `plan.json` (everything) and `plan.html` (for people). They are written whatever the outcome, also where no
point can be taken and the command ends with exit 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from builder.budget import limit_mib, named
from builder.onnx_checks import load_backbone, size_of
from builder.plan.page import plan_page
from builder.plan.points import OVER, REFUSED, SLOW, Limits, Plan, Point
from builder.plan.search import Axes, search
from builder.plan.table import forms_table, points_table
from builder.prepare import Progress, Request
from builder.recognition import Judge
from builder.sidecar import read_preprocess
from edge.errors import GateError, InputError
from edge.writing import whole_file

__all__ = ["PAGE", "VALUES", "Wanted", "planned"]

PAGE, VALUES = "plan.html", "plan.json"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
DIMENSIONS = (64, 128, 192, 256)
PROTOTYPES = (1, 2, 4, 8, 16, 32, 64)
STEP_PX, STEPS, LEAST_PX = 32, 3, 96  # sizes that are tried where none are given: the network's own and two smaller


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched: models, sizes (none: chosen from each network's own), a limit of time, the folder to write."""

    folder: Path
    models: tuple[Path, ...]
    sizes: tuple[int, ...]
    max_ms: float | None


def planned(request: Request, wanted: Wanted, output: Console, progress: Progress) -> tuple[Request, Judge, Any]:
    """Return what to build, what judged it already, and why as plain values for the build's report.

    `request` gives everything that is not searched, and the largest batch and number of prototypes. Raises GateError
    where no point can be taken, and the errors of `search`.
    """
    requests = [
        replace(request, model=model, size=size)
        for model in wanted.models
        for size in wanted.sizes or _sizes(replace(request, model=model))
    ]
    load = request.load
    axes = Axes(
        batches=_up_to(BATCHES, load.max_batch), dimensions=DIMENSIONS, prototypes=_up_to(PROTOTYPES, load.prototypes)
    )
    limits = Limits(memory_mib=limit_mib(request.device, load), latency_ms=wanted.max_ms, tolerance=request.max_loss)
    _make(wanted.folder)
    plan, judge = search(requests, axes, limits, progress)
    _write(wanted.folder, plan)
    output.print(forms_table(plan))
    output.print(points_table(plan))
    choice = plan.choice
    if choice is None or judge is None:
        raise GateError(f"{_none_fits(plan)}; the plan is in {wanted.folder / PAGE}")
    output.print(f"takes {plan.words(choice)}: {choice.why}", markup=False, highlight=False, soft_wrap=True)
    calibrate = f"edge-calibrate --dimension {choice.dimension} --prototypes {choice.prototypes}"
    output.print(f"calibrate with {calibrate}, for that is what memory is kept for", highlight=False, soft_wrap=True)
    return _request(requests, plan, choice), judge, _reasons(plan, choice)


def _sizes(request: Request) -> tuple[int, ...]:
    """Return a network's own size and smaller ones; only its own where it is not square."""
    given = load_backbone(request.model)
    layout = read_preprocess(request.model, given, request.preprocess).layout
    height, width = size_of(request.model, given, layout)
    if height != width:
        raise InputError(f"{request.model}: takes {width} x {height} pixels; a plan needs square inputs")
    smaller = [height - STEP_PX * step for step in range(STEPS)]
    return tuple(size for size in smaller if size >= LEAST_PX or size == height)


def _up_to(values: Sequence[int], most: int) -> tuple[int, ...]:
    return tuple(sorted({*(value for value in values if value < most), most}))


def _request(requests: Sequence[Request], plan: Plan, choice: Point) -> Request:
    form = plan.forms[choice.form]
    own = next(one for one in requests if one.model.stem == form.model and (one.size or 0) == form.size_px)
    load = replace(own.load, max_batch=choice.batch, dimension=choice.dimension, prototypes=choice.prototypes)
    return replace(own, load=load, precision=form.precision)


def _none_fits(plan: Plan) -> str:
    nearest = plan.nearest
    if nearest.memory_mib > plan.limits.memory_mib:
        return (
            f"none of {len(plan.points):,} points fits: the nearest ({plan.words(nearest)}) needs about "
            f"{nearest.memory_mib:.0f} MiB on {plan.device}, expected at most {plan.limits.memory_mib:.0f} MiB; the "
            f"largest: {named(plan.largest)}; take a smaller network or catalogue, or more memory"
        )
    fitting = [point for point in plan.points if point.state != OVER]
    counts = ", ".join(f"{plan.count(state):,} {state}" for state in (OVER, REFUSED, SLOW) if plan.count(state))
    best = max(fitting, key=lambda point: (point.top1 or 0.0, -point.memory_mib))
    return (
        f"none of {len(plan.points):,} points can be taken ({counts}); of those that fit the most accurate is "
        f"{plan.words(best)}, {best.state}: {best.why}"
    )


def _reasons(plan: Plan, choice: Point) -> dict[str, Any]:
    """Return why this point was taken and which were not, as plain values."""
    states = sorted({point.state for point in plan.points})
    return {
        "chosen": plan.words(choice),
        "calibrate": {"dimension": choice.dimension, "prototypes": choice.prototypes},
        "why": choice.why,
        "point": msgspec.to_builtins(choice),
        "limits": msgspec.to_builtins(plan.limits),
        "photos": plan.photos,
        "points": {state: plan.count(state) for state in states},
        "forms": [
            {"form": form.name, "refused": form.refused, "over_budget": _over(plan, place), "points": _all(plan, place)}
            for place, form in enumerate(plan.forms)
        ],
        "unusable": msgspec.to_builtins(plan.unusable),
    }


def _all(plan: Plan, form: int) -> int:
    return sum(point.form == form for point in plan.points)


def _over(plan: Plan, form: int) -> int:
    return sum(point.form == form and point.state == OVER for point in plan.points)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; give another --plan") from None


def _write(folder: Path, plan: Plan) -> None:
    with whole_file(folder / VALUES, "--plan") as file:
        file.write(msgspec.json.format(msgspec.json.encode(plan), indent=1))
    with whole_file(folder / PAGE, "--plan") as file:
        file.write(plan_page(plan).encode())
