"""The report's own drawings as SVG text: columns, bars with intervals, a gauge. Plain numbers in, text out.

Colours come from the page's style by class name. Every text given in is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["Bar", "bars", "columns", "gauge"]

_WIDTH, _HEIGHT = 560, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 18, 40
_ROW = 30
_NAMES = 250  # pixels for the names of bars

Bar = tuple[str, float, float, float, str]  # name, value, low, high, style


def columns(
    values: Sequence[float],
    labels: Sequence[str],
    titles: tuple[str, str],
    second: Sequence[float] = (),
    marked: Sequence[int] = (),
) -> str:
    """Return a column chart; `second` is drawn as steps over it, the columns `marked` in the colour of a fault."""
    top = max([*values, *second, 1e-9])
    width = (_WIDTH - _LEFT - _RIGHT) / max(len(values), 1)
    parts = [_grid(top)]
    for index, value in enumerate(values):
        style = "column fault" if index in marked else "column"
        x, y = _LEFT + index * width, _y(value / top)
        tip = f"<title>{escape(labels[index])}: {value:g}</title>"
        parts.append(
            f'<rect class="{style}" x="{x + 0.5:.1f}" y="{y:.1f}" width="{max(width - 1, 1):.1f}" '
            f'height="{_y(0) - y:.1f}">{tip}</rect>'
        )
    every = max(round(len(labels) / 10), 1)
    parts += [
        f'<text class="tick" x="{_LEFT + (i + 0.5) * width:.1f}" y="{_y(0) + 15:.1f}" text-anchor="middle">'
        f"{escape(label)}</text>"
        for i, label in enumerate(labels)
        if i % every == 0
    ]
    if second:
        corners = [
            f"{_LEFT + (i + side) * width:.1f},{_y(value / top):.1f}"
            for i, value in enumerate(second)
            for side in (0, 1)
        ]
        parts.append(f'<polyline class="line" points="{" ".join(corners)}"/>')
    return _picture("".join(parts) + _axes(titles), f"{titles[1]} by {titles[0]}", _HEIGHT)


def bars(rows: Sequence[Bar], guide: float | None, title: str) -> str:
    """Return horizontal bars on a scale from 0 to 1 with intervals; `guide` is drawn across as the limit."""
    height = _ROW * len(rows) + 44
    bottom = _ROW * len(rows) + 8
    parts = []
    for step in range(5):
        x = _across(step / 4)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{step / 4:.0%}</text>')
    for index, (name, value, low, high, style) in enumerate(rows):
        y = 8 + index * _ROW
        parts.append(f'<text class="axis" x="{_NAMES - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect class="{style}" x="{_across(0):.1f}" y="{y + 2}" width="{_across(value) - _across(0):.1f}" '
            f'height="{_ROW - 12}"><title>{value:.1%} ({low:.1%} to {high:.1%})</title></rect>'
        )
        middle = y + 2 + (_ROW - 12) / 2
        parts.append(
            f'<line class="whisker" x1="{_across(low):.1f}" x2="{_across(high):.1f}" y1="{middle}" y2="{middle}"/>'
        )
        parts.append(f'<text class="value" x="{_across(max(high, value)) + 6:.1f}" y="{y + 16}">{value:.0%}</text>')
    if guide is not None:
        x = _across(guide)
        parts.append(f'<line class="guide" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{bottom}"/>')
    parts.append(f'<text class="axis" x="{(_across(0) + _across(1)) / 2:.1f}" y="{height - 4}" text-anchor="middle">'
                 f"{escape(title)}</text>")  # fmt: skip
    return _picture("".join(parts), title, height)


def gauge(figure: float, interval: tuple[float, float] | None, limit: float, at_most: bool) -> str:
    """Return a thin scale: the side of the limit that is wanted, the interval, the figure."""
    low, high = interval or (figure, figure)
    top = max(limit * 2, high * 1.1, figure * 1.1, 1e-9)
    top = min(top, 1.0) if not at_most and limit < 1 else top
    base = min(low, figure, 0.0)

    def x(value: float) -> float:
        return 100.0 * min(max((value - base) / max(top - base, 1e-9), 0.0), 1.0)

    wanted = (0.0, x(limit)) if at_most else (x(limit), 100.0)
    return (
        '<svg class="gauge" width="100%" height="22" aria-hidden="true">'
        '<rect class="track" x="0" y="9" width="100%" height="4" rx="2"/>'
        f'<rect class="wanted" x="{wanted[0]:.2f}%" y="9" width="{wanted[1] - wanted[0]:.2f}%" height="4" rx="2"/>'
        f'<rect class="range" x="{x(low):.2f}%" y="6" width="{max(x(high) - x(low), 0.4):.2f}%" height="10" rx="3"/>'
        f'<line class="mark" x1="{x(limit):.2f}%" x2="{x(limit):.2f}%" y1="1" y2="21"/>'
        f'<circle class="point" cx="{min(max(x(figure), 1.5), 98.5):.2f}%" cy="11" r="5"/></svg>'
    )


def _across(value: float) -> float:
    return _NAMES + min(max(value, 0.0), 1.0) * (_WIDTH - _NAMES - 52)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _grid(top: float) -> str:
    parts = []
    for step in range(5):
        y = _y(step / 4)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        value = top * step / 4
        label = f"{value:,.0f}" if top >= 8 else f"{value:.3g}"
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    return "".join(parts)


def _axes(titles: tuple[str, str]) -> str:
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return (
        f'<text class="axis" x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(titles[0])}</text>'
        f'<text class="axis" x="{_LEFT}" y="11" text-anchor="start">{escape(titles[1])}</text>'
    )


def _picture(inside: str, name: str, height: int) -> str:
    return f'<svg class="drawing" role="img" aria-label="{escape(name)}" viewBox="0 0 {_WIDTH} {height}">{inside}</svg>'
