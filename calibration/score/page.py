"""The page of a run: every placed product with its crop, the reference photo of what was decided, route and reasons.

One self-contained HTML file: pictures are embedded, nothing is fetched. Wrong accepts come first, in red: they are the
one thing that must not happen.
"""

from __future__ import annotations

import base64
import html
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import cv2

from calibration.score.figures import Figures, Judged
from edge.capture.stills import SUFFIXES, read_still
from edge.errors import InputError
from edge.replay.record import PICTURES
from edge.types import Image, Route

__all__ = ["page"]

CARDS_PER_ROUTE = 24
THUMB_PX = 132
STYLE = files("calibration.score").joinpath("page.css").read_text(encoding="utf-8")


def page(judged: Sequence[Judged], figures: Figures, sources: tuple[Path, Path, str]) -> str:
    """Return the page; `sources` are the recording's folder, the catalogue's folder and the bundle id."""
    recording, catalogue, bundle_id = sources
    parts = [_head(figures, bundle_id)]
    scores = sorted(one.decision.ood_score for one in judged)
    for title, cards in _sections(judged):
        if cards:
            shown = cards[:CARDS_PER_ROUTE]
            more = f" ({len(shown)} of {len(cards)} products)" if len(cards) > len(shown) else ""
            parts.append(f"<h2>{title}{more}</h2><div class='cards'>")
            parts += [
                _card(one, f"{_times(count)} &middot; {_strangeness(one, scores)}", (recording, catalogue))
                for one, count in shown
            ]
            parts.append("</div>")
    parts.append("</main>")
    return "\n".join(parts)


def _sections(judged: Sequence[Judged]) -> Iterator[tuple[str, list[tuple[Judged, int]]]]:
    accepted = [one for one in judged if one.decision.route == Route.ACCEPT.value]
    yield "Accepted and wrong: silent errors", _one_per_event(one for one in accepted if not one.right)
    yield "Accepted and right", _one_per_event(one for one in accepted if one.right)
    for route in (Route.VERIFY, Route.REVIEW, Route.UNKNOWN):
        yield route.value.capitalize(), _one_per_event(one for one in judged if one.decision.route == route.value)


def _one_per_event(judged: Iterable[Judged]) -> list[tuple[Judged, int]]:
    """Return the surest decision about each placed product, and how many there were: a card per frame tells no more."""
    best: dict[int, tuple[Judged, int]] = {}
    for one in judged:
        key = one.about.event if one.about else -1 - one.decision.frame // 30
        kept, count = best.get(key, (one, 0))
        surer = one if one.decision.confidence > kept.decision.confidence else kept
        best[key] = (surer, count + 1)
    return list(best.values())


def _head(figures: Figures, bundle_id: str) -> str:
    total, things = max(figures.decisions, 1), figures.things
    bar = "".join(f"<div class='{r}' style='width:{100 * n / total:.2f}%'></div>" for r, n in figures.routes.items())
    legend = "".join(f"<i class='{r}'></i>{r} {n} ({100 * n / total:.1f} %)" for r, n in figures.routes.items())
    boxes = "".join(
        f"<div class='figure'><b>{value}</b><span>{label}</span></div>"
        for value, label in (
            (str(figures.decisions), "decisions"),
            (f"{100 * figures.automation:.1f} %", "automation rate (enrolled products)"),
            (f"{100 * figures.silent_error:.1f} %", f"silent errors: {figures.accepted_wrong} of {figures.accepted}"),
            (f"{things['rightly']} of {things['placed']}", f"enrolled things accepted; {things['wrongly']} wrongly"),
            (f"{100 * figures.top1_right / max(figures.enrolled, 1):.1f} %", "best candidate right, any route"),
            (f"{figures.latency_p50_ms:.0f} / {figures.latency_p99_ms:.0f} ms", "latency p50 / p99"),
        )
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>shelfedge decisions</title><style>{STYLE}</style><main><h1>What the cart decided</h1>"
        f"<p class='lead'>Bundle {html.escape(bundle_id)}, held against the truth of the clip. Synthetic packs.</p>"
        f"<div class='figures'>{boxes}</div><div class='bar'>{bar}</div><div class='legend'>{legend}</div>"
    )


def _times(count: int) -> str:
    return f"{count} decisions like this" if count > 1 else "one decision"


def _strangeness(one: Judged, scores: Sequence[float]) -> str:
    """Say how strange it looked among all decisions (`scores`, rising): a detector's score has no unit of its own."""
    below = bisect_left(scores, one.decision.ood_score)
    return f"stranger than {100 * below / len(scores):.0f} % of the clip"


def _card(one: Judged, said: str, sources: tuple[Path, Path]) -> str:
    """Return the card of a decision; `said` is what else there is to say about it."""
    recording, catalogue = sources
    decision = one.decision
    truth = "nothing enrolled" if one.about is None else f"{one.about.kind} {one.about.sku or ''}"
    verdict = (
        "<span class='good'>right</span>" if one.right else f"<span class='bad'>truth: {html.escape(truth)}</span>"
    )
    wrong = " wrong" if decision.route == Route.ACCEPT.value and not one.right else ""
    return (
        f"<div class='card{wrong}'><div class='pair'>"
        f"<figure><img alt='crop' src='{_crop(one, recording)}'>"
        f"<figcaption>crop, frame {decision.frame}</figcaption></figure>"
        f"<figure><img alt='reference' src='{_reference(decision.sku, catalogue)}'>"
        f"<figcaption>reference of {html.escape(decision.sku or 'none')}</figcaption></figure></div>"
        f"<div><span class='pill {decision.route}'>{decision.route}</span> "
        f"<span class='name'>{html.escape(decision.name or 'no candidate')}</span></div>"
        f"<div class='note'>{html.escape(', '.join(decision.reasons))} &middot; confidence {decision.confidence:.2f} "
        f"&middot; {said} &middot; {verdict}</div></div>"
    )


def _crop(one: Judged, recording: Path) -> str:
    decision = one.decision
    name = f"{decision.camera_id}-{decision.frame:08d}.png"
    try:
        frame = read_still(recording / PICTURES / name)
    except InputError:
        return ""
    region = decision.region
    crop = frame[max(region.y, 0) : region.y + region.height, max(region.x, 0) : region.x + region.width]
    return _embedded(crop) if crop.size else ""


def _reference(sku: str | None, catalogue: Path) -> str:
    found = (catalogue / "reference" / sku).glob("*") if sku else ()
    photos = sorted(path for path in found if path.suffix.lower() in SUFFIXES)
    try:
        return _embedded(read_still(photos[0])) if photos else ""
    except InputError:
        return ""


def _embedded(image: Image) -> str:
    scale = 2 * THUMB_PX / max(image.shape[:2])
    if scale < 1:
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    else:
        small = image
    _, raw = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(raw.tobytes()).decode("ascii")
