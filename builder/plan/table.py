"""The plan in the terminal: what each form recognises, and the points that no other beats."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from builder.plan.points import CHOSEN, FITS, OVER, Form, Plan, Point, front

__all__ = ["forms_table", "loss_of", "points_table"]

SHOWN = 16
STYLES = {CHOSEN: "bold green", FITS: "", OVER: "red"}


def forms_table(plan: Plan) -> Table:
    """Return what was measured once for each network, size and precision."""
    where = f"{plan.photos:,} photos of {plan.products:,} products" if plan.photos else "not measured"
    table = Table(title=f"forms; recognised: {where}", title_justify="left")
    for column in ("form", "right, %", "loss, points (95 %)", "MiB from", "ms from", "accuracy"):
        table.add_column(column, justify="right" if column in {"right, %", "MiB from", "ms from"} else "left")
    for place, form in enumerate(plan.forms):
        least = plan.least_mib(place)
        table.add_row(
            escape(form.name),
            "-" if form.best is None else f"{100 * form.best:.1f}",
            loss_of(form),
            f"{least:.0f}",
            f"{min(form.latency_ms.values()):.2f}" if form.latency_ms else "-",
            escape(f"refused: {form.refused}" if form.refused else form.accuracy),
            style="red" if least > plan.limits.memory_mib else "yellow" if form.refused else "",
        )
    for one in plan.unusable:
        table.add_row(
            escape(f"{one.model} {one.size_px} px"), "-", "", "-", escape(f"refused: {one.why}"), style="yellow"
        )
    times = sorted({form.latency for form in plan.forms if form.latency_ms})
    table.caption = f"times: {'; '.join(times) or 'not known'}"
    table.caption_justify = "left"
    return table


def points_table(plan: Plan) -> Table:
    """Return the points that no other beats, over budget or not."""
    table = Table(title=f"points that no other beats, {plan.device}, {plan.engine}", title_justify="left")
    left = {"form", "state"}
    for column in ("form", "batch", "dim", "proto", "right, %", "MiB", "ms", "state"):
        table.add_column(column, justify="left" if column in left else "right")
    best = front(plan.points)
    for point in _some(best):
        table.add_row(
            escape(plan.forms[point.form].name),
            *(str(number) for number in (point.batch, point.dimension, point.prototypes)),
            "-" if point.top1 is None else f"{100 * point.top1:.1f}",
            f"{point.memory_mib:.0f}",
            "-" if point.latency_ms is None else f"{point.latency_ms:.2f}",
            point.state,
            style=STYLES.get(point.state, "yellow"),
        )
    counts = ", ".join(f"{plan.count(state):,} {state}" for state in sorted({point.state for point in plan.points}))
    more = f"; {len(best) - SHOWN} more in the page" if len(best) > SHOWN else ""
    table.caption = f"{len(plan.points):,} points: {counts}; at most {plan.limits.memory_mib:.0f} MiB{more}"
    table.caption_justify = "left"
    return table


def _some(points: Sequence[Point]) -> Sequence[Point]:
    """Return SHOWN points at most: the taken one, and others evenly over memory."""
    if len(points) <= SHOWN:
        return points
    places = {round(step * (len(points) - 1) / (SHOWN - 2)) for step in range(SHOWN - 1)}
    return [point for place, point in enumerate(points) if place in places or point.state == CHOSEN]


def loss_of(form: Form) -> str:
    """Return the loss against float with its interval."""
    if form.loss is None:
        return ""
    loss, low, high = form.loss
    return f"{loss:+.2f} ({low:+.2f} to {high:+.2f})"
