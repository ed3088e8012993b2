"""What the pages of forecast and plan are drawn with: the frame, tables, a chart over the number of products, pictures.

Text in, text out; every name from a catalogue is escaped by whoever passes it (`safe`). Nothing is fetched.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape as safe
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from calibration.photos.embed import read_photo

__all__ = ["Point", "frame", "growth_chart", "memory", "picture", "safe", "share", "table"]

STYLE = files("calibration.growth").joinpath("page.css").read_text(encoding="utf-8")
PICTURE_PX = 220
_WIDTH, _HEIGHT = 460, 280
_LEFT, _BOTTOM, _TOP, _RIGHT = 46, 40, 14, 22

Point = tuple[int, float]  # products, share


def frame(title: str, kind: str, sections: Iterable[str]) -> str:
    """Return the whole page; `title` is escaped here."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{STYLE}</style></head><body>\n"
        f"<h1>{safe(title)}</h1><p class='soft'>{kind}</p>\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], kind: str = "") -> str:
    """Return a table of class `kind` (`words`: the last column is a sentence); a row is its class and its cells."""
    top = "<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"
    body = "".join(
        f"<tr class='{kind}'>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for kind, cells in rows
    )
    return f"<div class='scroll'><table class='{kind}'>{top}{body}</table></div>"


def share(value: float) -> str:
    """Return a share in percent with one decimal."""
    return f"{100 * value:.1f} %"


def memory(size_bytes: float) -> str:
    """Return a size in KiB or MiB."""
    return f"{size_bytes / 2**20:.1f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 2**10:.0f} KiB"


def growth_chart(
    seen: Sequence[Point], now: Point, ahead: Sequence[tuple[int, float, float, float]], title: str
) -> str:
    """Return dots for what was measured, today's bundle, and the forecasts with their intervals (value, low, high)."""
    largest = max([products for products, *_ in ahead] + [products for products, _ in seen] + [now[0]])
    top = min(max([high for *_, high in ahead] + [value for _, value in seen] + [now[1], 0.05]) * 1.15, 1.0)

    def x(products: float) -> float:
        return _LEFT + products / largest * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _BOTTOM - _TOP)

    parts = []
    for step in range(5):
        height = y(step / 4 * top)
        parts.append(f'<line class="grid" x1="{x(0):.1f}" x2="{x(largest):.1f}" y1="{height:.1f}" y2="{height:.1f}"/>')
        text = f"{step / 4 * top:.0%}"
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{text}</text>')
    for products in sorted({now[0], *(products for products, *_ in ahead)}):
        at = f'x="{x(products):.1f}" y="{_HEIGHT - _BOTTOM + 16}"'
        parts.append(f'<text class="tick" {at} text-anchor="middle">{products:,}</text>')
    parts += [f'<circle class="seen" cx="{x(p):.1f}" cy="{y(v):.1f}" r="4"/>' for p, v in seen]
    for products, value, low, high in ahead:
        parts.append(
            f'<line class="bar" x1="{x(products):.1f}" x2="{x(products):.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}"/>'
        )
        parts.append(f'<circle class="then" cx="{x(products):.1f}" cy="{y(value):.1f}" r="5"/>')
    parts.append(f'<circle class="now" cx="{x(now[0]):.1f}" cy="{y(now[1]):.1f}" r="5"/>')
    parts.append(
        f'<text class="axis" x="{(x(0) + x(largest)) / 2:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">products</text>'
    )
    return (
        f'<div><b>{title}</b><svg class="chart" role="img" aria-label="{title}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        + "".join(parts)
        + "</svg></div>"
    )


def picture(path: Path | None, caption: str) -> str:
    """Return a figure with the photo inside, at most PICTURE_PX a side; `caption` is escaped here."""
    image = read_photo(path) if path is not None else None
    if image is None:
        return f"<figure><figcaption>no picture: {safe(caption)}</figcaption></figure>"
    scale = PICTURE_PX / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    _, raw = cv2.imencode(".jpg", np.asarray(small), [cv2.IMWRITE_JPEG_QUALITY, 82])
    data = base64.b64encode(raw.tobytes()).decode("ascii")
    return (
        f"<figure><img alt='{safe(caption)}' src='data:image/jpeg;base64,{data}'>"
        f"<figcaption>{safe(caption)}</figcaption></figure>"
    )
