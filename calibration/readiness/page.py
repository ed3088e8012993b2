"""The report for people: one HTML page that needs nothing else, from the values of the JSON report.

Written for who owns the decision to ship: the verdict first, in words; eight rows that say what was found, how sure
that is, where the limit lies and what to do; then the drawings and pictures. No script, no request; every name that
comes from a catalogue is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from calibration.readiness.drawings import gauge
from calibration.readiness.pictures import Album
from calibration.readiness.sections import sections

__all__ = ["bound_of", "page_from_values", "shown"]

STYLE = files("calibration.readiness").joinpath("page.css").read_text(encoding="utf-8")
_WHY = {
    "samples": "Products with few photos are learnt worst and err most.",
    "distance": "Products that look alike are mixed up; the device must ask, not guess.",
    "change": "A new product is unknown to the device until somebody enrols it.",
    "memory": "A full memory makes a busy device slow, or stops it.",
    "unknown": "What is not enrolled must be noticed, not taken for something else.",
    "spread": "An average hides the products that are hardly ever recognised.",
    "confidence": "Every limit of the device rests on stated probabilities that are true.",
    "labels": "A photo under the wrong name teaches the wrong product.",
}
_PILL = {"pass": "pass", "fail": "fail", "not testable": "not"}


def page_from_values(values: Mapping[str, Any], album: Album, title: str) -> str:
    """Return the page for the values of `calibration.readiness.values.report_values`; `title` names the bundle."""
    rows = "".join(_row(check) for check in values["checks"])
    body = (
        f"<h1>{escape(title)}</h1>"
        f"<p class='soft'>Readiness report. {values['products']:,} products, {escape(str(values['backbone']))}, bundle "
        f"<code>{escape(str(values['bundle']))}</code>. Measured on {values['measured_photos']:,} "
        f"{escape(str(values['measured_on']))} photos, decided by the device's own code.</p>"
        f"{_verdict(values)}<h2>The checks</h2>{rows}"
        "<p class='soft small'>The scale under a figure: green is the wanted side, the mark the limit, the dot the "
        "figure, the band its interval. The limits are planning rules for a first deployment, not laws of nature.</p>"
        f"{sections(values, album)}{_notes(values)}"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: readiness</title><style>{STYLE}</style></head><body><main>\n{body}\n"
        "</main></body></html>\n"
    )


def shown(figure: float | None, unit: str) -> str:
    """Return a figure as people read it; units are ratio, share, points, products and plain."""
    if figure is None:
        return "not measured"
    if unit == "ratio":
        return f"{figure:.1f} : 1"
    if unit == "share":
        return f"{100 * figure:.1f} %"
    if unit == "points":
        return f"{100 * figure:.1f} points"
    return f"{figure:,.0f} products" if unit == "products" else f"{figure:.3f}"


def bound_of(limit: Mapping[str, Any]) -> str:
    """Return a limit of the JSON report in words."""
    words = f"{'at most' if limit['at_most'] else 'at least'} {shown(limit['value'], limit['unit'])}"
    return f"{words}, {limit['condition']}" if limit["condition"] else words


def _verdict(values: Mapping[str, Any]) -> str:
    checks = {check["key"]: check for check in values["checks"]}
    failed, untested = values["failed"], values["not_testable"]
    total = len(checks)
    if failed:
        lead = f"Not ready: {len(failed)} of {total} checks refused."
    elif untested:
        lead = f"Nothing refused, and {len(untested)} of {total} checks could not be made."
    else:
        lead = f"Ready: all {total} checks passed."
    items = [
        f"<li><b>{escape(checks[key]['title'])}.</b> {_WHY[key]} {escape(checks[key]['advice'])}</li>" for key in failed
    ]
    items += [
        f"<li><b>{escape(checks[key]['title'])}</b> could not be tested: it needs {escape(checks[key]['needs'])}.</li>"
        for key in untested
    ]
    passed = ", ".join(checks[key]["title"].lower() for key in values["passed"])
    tail = f"<p class='soft'>Passed: {escape(passed)}.</p>" if passed else ""
    return (
        f"<div class='box{' bad' if failed else ''}'><p class='lead'>{lead}</p>"
        f"{'<ul>' + ''.join(items) + '</ul>' if items else ''}{tail}</div>"
    )


def _row(check: Mapping[str, Any]) -> str:
    limit, interval, figure = check["limit"], check["interval"], check["figure"]
    bound = bound_of(limit)
    right = f"<p class='small soft'>limit: {escape(bound)}</p>"
    if figure is not None:
        right = f"<div class='figure'>{shown(figure, limit['unit'])}</div>{_scale(figure, interval, limit)}{right}"
    if interval is not None:
        low, high = shown(interval["low"], limit["unit"]), shown(interval["high"], limit["unit"])
        right += f"<p class='small soft'>{low} to {high} ({escape(interval['method'])})</p>"
    words = check["found"] or f"Not testable: needs {check['needs']}."
    near = " The limit lies inside the interval: the next sample may turn this verdict." if check["close"] else ""
    return (
        f"<div class='row'><div><span class='pill {_PILL[check['verdict']]}'>{escape(check['verdict'])}</span></div>"
        f"<div><h3>{escape(check['title'])}</h3><p class='soft small'>{_WHY[check['key']]}</p>"
        f"<p>{escape(words)}{near}</p><p><b>What to do:</b> {escape(check['advice'])}</p></div><div>{right}</div></div>"
    )


def _scale(figure: float, interval: Mapping[str, Any] | None, limit: Mapping[str, Any]) -> str:
    span = (interval["low"], interval["high"]) if interval is not None else None
    return gauge(figure, span, limit["value"], limit["at_most"])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _notes(values: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for name, note in values["notes"].items():
        if note["count"]:
            items = _items(note["first"], note["count"])
            parts.append(f"<p>{escape(name.capitalize())} ({note['count']:,}):</p><ul>{items}</ul>")
    return f"<h2>Left out and warned of</h2><div class='section'>{''.join(parts) or '<p>Nothing.</p>'}</div>"


def _items(entries: Sequence[str], count: int) -> str:
    more = count - len(entries)
    rest = f"<li class='soft'>and {more:,} more</li>" if more > 0 else ""
    return "".join(f"<li><code>{escape(str(entry))}</code></li>" for entry in entries) + rest
