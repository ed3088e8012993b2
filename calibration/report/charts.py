"""The report's drawings as SVG text: a bar of routes, a reliability diagram, a risk-coverage curve.

Plain numbers in, text out; colours come from the page's style by class name, so the drawings print and need nothing
else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["ROUTES", "reliability_diagram", "risk_coverage_chart", "route_bar"]

ROUTES = ("accept", "verify", "review", "unknown")
_SIZE = 300
_LEFT, _BOTTOM, _TOP, _RIGHT = 46, 38, 12, 20


def route_bar(shares: Mapping[str, float]) -> str:
    """Return one stacked bar for shares that sum to 1 over ROUTES."""
    parts, at = [], 0.0
    for route in ROUTES:
        width = 100.0 * max(shares.get(route, 0.0), 0.0)
        if width > 0:
            parts.append(f'<rect class="{route}" x="{at:.3f}%" y="0" width="{width:.3f}%" height="26"/>')
        if width >= 7:
            parts.append(f'<text class="on" x="{at + width / 2:.3f}%" y="18">{width:.0f} %</text>')
        at += width
    words = ", ".join(f"{route} {shares.get(route, 0.0):.1%}" for route in ROUTES)
    return f'<svg class="bar" role="img" aria-label="{words}" width="100%" height="26">{"".join(parts)}</svg>'


def reliability_diagram(bins: Sequence[Sequence[float]]) -> str:
    """Return the diagram for (mean confidence, share right, share of the photos) per bin."""
    dots = "".join(
        f'<circle class="dot" cx="{_x(c):.1f}" cy="{_y(r):.1f}" r="{2.5 + 14 * m**0.5:.1f}"/>' for c, r, m in bins
    )
    diagonal = f'<line class="guide" x1="{_x(0):.1f}" y1="{_y(0):.1f}" x2="{_x(1):.1f}" y2="{_y(1):.1f}"/>'
    return _chart(diagonal + dots, ("stated probability", "share that was right"), 1.0, "reliability diagram")


def risk_coverage_chart(coverage: Sequence[float], risk: Sequence[float], target: float) -> str:
    """Return the curve of the error among the most confident photos, with the promised error as a guide."""
    top = max([target * 2, *risk], default=target * 2)
    points = " ".join(f"{_x(c):.1f},{_y(r / top):.1f}" for c, r in zip(coverage, risk, strict=True))
    line = f'<polyline class="line" points="{points}"/>' if points else ""
    height = _y(target / top)
    guide = f'<line class="guide" x1="{_x(0):.1f}" y1="{height:.1f}" x2="{_x(1):.1f}" y2="{height:.1f}"/>'
    label = f'<text class="tick" x="{_x(1) - 4:.1f}" y="{height - 5:.1f}" text-anchor="end">target {target:.1%}</text>'
    return _chart(guide + label + line, ("share of photos, most confident first", "error"), top, "risk-coverage curve")


def _x(value: float) -> float:
    return _LEFT + value * (_SIZE - _LEFT - _RIGHT)


def _y(value: float) -> float:
    return _SIZE - _BOTTOM - value * (_SIZE - _BOTTOM - _TOP)


def _chart(inside: str, titles: tuple[str, str], top: float, name: str) -> str:
    """Return a square chart with both axes; x runs from 0 to 1 and y from 0 to `top`."""
    grid = []
    for step in range(5):
        value = step / 4
        grid.append(f'<line class="grid" x1="{_x(0):.1f}" x2="{_x(1):.1f}" y1="{_y(value):.1f}" y2="{_y(value):.1f}"/>')
        grid.append(
            f'<text class="tick" x="{_x(value):.1f}" y="{_y(0) + 15:.1f}" text-anchor="middle">{value:.0%}</text>'
        )
        label = f"{value * top:.1%}" if top < 0.1 else f"{value * top:.0%}"
        grid.append(f'<text class="tick" x="{_LEFT - 6}" y="{_y(value) + 4:.1f}" text-anchor="end">{label}</text>')
    middle = (_x(0) + _x(1)) / 2
    axes = (
        f'<text class="axis" x="{middle:.1f}" y="{_SIZE - 6}" text-anchor="middle">{titles[0]}</text>'
        f'<text class="axis" transform="translate(11 {middle - 30:.1f}) rotate(-90)" text-anchor="middle">'
        f"{titles[1]}</text>"
    )
    body = "".join(grid) + inside + axes
    return f'<svg class="chart" role="img" aria-label="{name}" viewBox="0 0 {_SIZE} {_SIZE}">{body}</svg>'
