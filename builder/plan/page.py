"""The plan for people: one HTML page that needs nothing else, from the plan's own values.

The choice first, in words; then what is gained for what memory and time as drawings; then the tables. Nothing is
fetched and no script runs; every name that comes from outside is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files

from builder.budget import named
from builder.plan.points import CHOSEN, FITS, OVER, REFUSED, SLOW, Plan, Point, front
from builder.plan.table import loss_of

__all__ = ["plan_page"]

STYLE = files("builder.plan").joinpath("page.css").read_text(encoding="utf-8")
WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 20, 14, 42
TICKS = 4


def plan_page(plan: Plan) -> str:
    """Return the page."""
    title = f"Plan for {plan.device}"
    body = (_lead(plan), _charts(plan), _front(plan), _forms(plan), _refused(plan), _how(plan))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>\n<h1>{escape(title)}</h1>"
        f"<p class='soft'>What edge-build could make for {escape(plan.engine)}: {len(plan.points):,} points of "
        f"{len(plan.forms)} forms.</p>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def _lead(plan: Plan) -> str:
    limit, choice = plan.limits.memory_mib, plan.choice
    counts = ", ".join(f"{plan.count(state):,} {state}" for state in sorted({point.state for point in plan.points}))
    if choice is None:
        nearest = plan.nearest
        words = (
            f"<p class='lead'><b>No point can be taken.</b></p><p>Least memory: {escape(plan.words(nearest))}, about "
            f"{nearest.memory_mib:.0f} MiB of at most {limit:.0f}. The largest: {escape(named(plan.largest))}.</p>"
        )
        return f"<div class='box bad'>{words}<p class='soft'>Points: {counts}.</p></div>"
    figures = [f"{choice.memory_mib:.0f} of at most {limit:.0f} MiB (predicted)"]
    if choice.top1 is not None:
        figures.insert(0, f"{100 * choice.top1:.1f} % of labelled photos recognised")
    if choice.latency_ms is not None:
        figures.append(f"{choice.latency_ms:.2f} ms a crop ({escape(plan.forms[choice.form].latency)})")
    return (
        f"<div class='box'><p class='lead'><b>{escape(plan.words(choice))}</b></p><p>{'; '.join(figures)}.</p>"
        f"<p>Why: {escape(choice.why)}.</p><p class='soft'>Points: {counts}.</p></div>"
    )


def _charts(plan: Plan) -> str:
    known = [point for point in plan.points if point.top1 is not None]
    if not known:
        return "<p class='soft'>Nothing was measured, because no point fits the memory.</p>"
    memory = _chart(known, lambda point: point.memory_mib, "memory, MiB", plan.limits.memory_mib)
    timed = [point for point in known if point.latency_ms is not None]
    time = _chart(timed, lambda point: point.latency_ms or 0.0, "ms a crop", plan.limits.latency_ms) if timed else ""
    names = (("chosen", "taken"), ("fits", "fits"), ("over", "over budget"), ("no", "refused, too slow or to compare"))
    legend = "".join(f"<span><i class='{kind}'></i>{name}</span>" for kind, name in names)
    return (
        f"<h2>Recognised photos against memory and time</h2><div class='two'>{memory}{time}</div>"
        f"<p class='legend'>{legend}<span>dashed: the limit</span></p>"
    )


def _chart(points: Sequence[Point], across: Callable[[Point], float], name: str, limit: float | None) -> str:
    """Return the points with `across` to the right and what is recognised upwards, from the least of each."""
    xs = [across(point) for point in points]
    ys = [100 * (point.top1 or 0.0) for point in points]
    left, right = _range([*xs, limit] if limit is not None and limit <= 1.5 * max(xs) else xs)
    low, high = _range(ys)

    def x(value: float) -> float:
        return LEFT + (value - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    parts = []
    for at in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(at):.1f}" y2="{y(at):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(at) + 4:.1f}" text-anchor="end">{at:g}</text>')
    for at in _ticks(left, right):
        place = f'x="{x(at):.1f}" y="{HEIGHT - BOTTOM + 16}"'
        parts.append(f'<text class="tick" {place} text-anchor="middle">{at:g}</text>')
    if limit is not None and left <= limit <= right:
        at_x = f"{x(limit):.1f}"
        parts.append(f'<line class="limit" x1="{at_x}" x2="{at_x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    order = sorted(zip(points, xs, ys, strict=True), key=lambda one: one[0].state == CHOSEN)
    for point, at, up in order:
        radius = 6 if point.state == CHOSEN else 3
        parts.append(f'<circle class="{_kind(point.state)}" cx="{x(at):.1f}" cy="{y(up):.1f}" r="{radius}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{name}</text>')
    label = f"recognised, %, against {name}"
    return (
        f'<div><b>recognised, %</b><svg class="chart" role="img" aria-label="{label}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg></div>'
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return a span around the values, never empty and never below zero."""
    low, high = min(values), max(values)
    room = max((high - low) * 0.06, 0.01 * abs(high), 1e-3)
    return max(low - room, 0.0), high + room


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers in a span: steps of 1, 2 or 5 times a power of ten, TICKS of them or a few more."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * max(factor for factor in (1, 2, 5) if factor * power <= rough)
    first = math.ceil(low / step)
    return [round(place * step, 10) for place in range(first, math.floor(high / step) + 1)]


def _kind(state: str) -> str:
    return {CHOSEN: "chosen", FITS: "fits", OVER: "over"}.get(state, "no")


def _front(plan: Plan) -> str:
    rows = [
        (
            _kind(point.state),
            (
                escape(plan.forms[point.form].name),
                str(point.batch),
                str(point.dimension),
                str(point.prototypes),
                "-" if point.top1 is None else f"{100 * point.top1:.1f} %",
                f"{point.memory_mib:.0f}",
                "-" if point.latency_ms is None else f"{point.latency_ms:.2f}",
                point.state,
            ),
        )
        for point in front(plan.points)
    ]
    head = ("form", "batch", "dimensions", "prototypes", "recognised", "MiB", "ms a crop", "state")
    return (
        f"<h2>Points that no other beats</h2>{_table(head, rows)}<p class='soft'>In memory, time and what is "
        "recognised at once. What is over budget, too slow or not made is held against every other point.</p>"
    )


def _forms(plan: Plan) -> str:
    rows = [
        (
            "over" if plan.least_mib(place) > plan.limits.memory_mib else "no" if form.refused else "",
            (
                escape(form.name),
                "-" if form.best is None else f"{100 * form.best:.1f} %",
                loss_of(form) or "-",
                f"{plan.least_mib(place):.0f}",
                escape(form.accuracy),
                " / ".join(f"{time:.2f}" for time in form.latency_ms.values()) or "-",
            ),
        )
        for place, form in enumerate(plan.forms)
    ]
    batches = " / ".join(sorted({b for form in plan.forms for b in form.latency_ms}, key=int))
    head = (
        "form",
        "recognised at best",
        "loss, points (95 %)",
        "MiB from",
        "accuracy",
        f"ms a crop, batch {batches or '-'}",
    )
    times = sorted({form.latency for form in plan.forms if form.latency_ms})
    return f"<h2>Forms</h2>{_table(head, rows)}<p class='soft'>Times: {escape('; '.join(times) or 'not known')}.</p>"


def _refused(plan: Plan) -> str:
    reasons = [(form.name, form.refused) for form in plan.forms if form.refused]
    reasons += [(f"{one.model} {one.size_px} px", one.why) for one in plan.unusable]
    over = plan.count(OVER)
    if over:
        reasons.append((f"{over:,} points", f"over {plan.limits.memory_mib:.0f} MiB, the budget less its headroom"))
    if plan.count(SLOW):
        reasons.append((f"{plan.count(SLOW):,} points", f"slower than {plan.limits.latency_ms:g} ms a crop"))
    if not reasons:
        return "<h2>Refused</h2><p>Nothing.</p>"
    items = "".join(f"<li><b>{escape(name)}</b>: {escape(why)}</li>" for name, why in reasons)
    return f"<h2>{REFUSED.capitalize()}</h2><ul>{items}</ul>"


def _how(plan: Plan) -> str:
    measured = (
        f"{plan.photos:,} photos of {plan.products:,} products, each judged by a head that it did not teach"
        if plan.photos
        else "nothing, for no point fits"
    )
    return (
        f"<h2>How, and what it cannot know</h2><p>Recognition was measured on {measured}; products count alike, and "
        "no augmented copies teach, so a bundle does better. It compares forms, and says little about other kinds of "
        "photos. The table is int8, the only one that the device has; how long and how many its prototypes are is what "
        "memory is kept for, edge-calibrate chooses. Memory is predicted by the same ledger as in a build. float16 is "
        "shown with the accuracy of float32 and predicted memory: edge-build makes none.</p>"
    )


def _table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    top = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(
        f"<tr class='{kind}'>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for kind, cells in rows
    )
    return f"<div class='scroll'><table><tr>{top}</tr>{body}</table></div>"
