"""The drawings and pictures under the rows of the readiness page, one section per check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from calibration.readiness.drawings import Bar, bars, columns
from calibration.readiness.pictures import Album
from calibration.report.charts import reliability_diagram, risk_coverage_chart

__all__ = ["sections"]

_KINDS = {"near": "siblings of enrolled products", "brands": "products of new brands",
          "shifted": "enrolled, dark or blurred"}  # fmt: skip
_WIDE = 24  # columns before the last one gathers the rest
_STRAYS = 18
_WEAK = 12

Details = Mapping[str, Any]


def sections(values: Mapping[str, Any], album: Album) -> str:
    """Return all sections for which there is something to show; labels come first when they are wrong."""
    details = {check["key"]: check["details"] for check in values["checks"]}
    names = values["names"]
    parts = [
        ("Photos under the wrong name", _labels(details["labels"], names, album)),
        ("Products that look alike", _distances(details["distance"], names, album)),
        ("Accuracy from product to product", _spread(details["spread"], names, album)),
        ("Honesty of the confidence", _confidence(details["confidence"])),
        ("Error against automation", _curves(values)),
        ("Accuracy as the catalogue grows", _degradation(values["degradation"])),
        ("Unknown products", _unknown(details["unknown"])),
        ("Photos per product", _samples(details["samples"], names)),
        ("Memory", _memory(details["memory"])),
        ("Changes of the catalogue", _history(details["change"])),
    ]
    return "".join(f"<h2>{title}</h2><div class='section'>{body}</div>" for title, body in parts if body)


def _labels(details: Details, names: Mapping[str, str], album: Album) -> str:
    folders = "".join(_folder(finding, names, album) for finding in details["folders"])
    photos = "".join(_photo(stray, names, album) for stray in details["photos"][:_STRAYS])
    parts = []
    if folders:
        parts.append(
            "<p>Each card compares two products: the reference photo of each, and beside it one from the folder that "
            f"contradicts it.</p><div class='cards'>{folders}</div>"
        )
    if photos:
        shown = min(len(details["photos"]), _STRAYS)
        parts.append(
            f"<h3>Single photos to look at ({shown} of {details['suspects']})</h3><p class='soft'>They are far from "
            "the other photos of their product and near those of another. Some may only be odd photos.</p>"
            f"<div class='cards'>{photos}</div>"
        )
    return "".join(parts)


def _folder(finding: Details, names: Mapping[str, str], album: Album) -> str:
    first, second, role = finding["first"], finding["second"], finding["role"]
    figures = [
        _figure(album.of(first), _name(first, names), "reference"),
        _figure(album.of(first, role), _name(first, names), role),
        _figure(album.of(second), _name(second, names), "reference"),
    ]
    if finding["kind"] == "swapped":
        figures.append(_figure(album.of(second, role), _name(second, names), role))
        text = f"The {role} photos of these two products are swapped, or their reference photos are."
        if len(finding["roles"]) > 1:
            text = "Validation and test photos agree against the reference photos: those are probably swapped."
    else:
        text = f"The {role} photos of {escape(first)} look like {escape(second)}."
    return (
        f"<div class='card fault'><div class='pair'>{''.join(figures[:2])}</div>"
        f"<div class='pair'>{''.join(figures[2:])}</div><p>{text} {finding['photos']} photos.</p></div>"
    )


def _photo(stray: Details, names: Mapping[str, str], album: Album) -> str:
    own, other = stray["sku"], stray["looks_like"]
    filed = f"filed under; similarity {stray['own_similarity']:.2f}"
    like = f"looks like; similarity {stray['other_similarity']:.2f}"
    return (
        f"<div class='card'><div class='pair'>{_figure(album.at(stray['path']), 'the photo', stray['path'])}"
        f"{_figure(album.of(own), _name(own, names), filed)}{_figure(album.of(other), _name(other, names), like)}"
        "</div></div>"
    )


def _distances(details: Details, names: Mapping[str, str], album: Album) -> str:
    if not details:
        return ""
    limit, edges = details["fifth_percentile"], details["edges"]
    marked = [i for i, edge in enumerate(edges[:-1]) if (edge + edges[i + 1]) / 2 <= limit]
    chart = columns(
        details["histogram"],
        [f"{edge:.2f}" for edge in edges[:-1]],
        ("distance to the nearest other product", "products"),
        marked=marked,
    )
    cards = "".join(_pair(pair, names, album) for pair in details["pairs"])
    return (
        f"{chart}<p class='soft'>Red: the closest products, under {limit:.3f}. {details['close_pairs']:,} pairs lie "
        f"that close, {details['confused_pairs']:,} of them are confused, {details['open_pairs']:,} of these are not "
        f"handled. The worst {len(details['pairs'])}:</p><div class='cards'>{cards}</div>"
    )


def _pair(pair: Details, names: Mapping[str, str], album: Album) -> str:
    first, second = pair["first"], pair["second"]
    if pair["handled"]:
        state = f"Handled ({escape(pair['handled'])})."
    else:
        state = "<b>Can be accepted: not handled.</b>" if pair["mixed_up"] else "Told apart."
    fault = " fault" if pair["mixed_up"] and not pair["handled"] else ""
    return (
        f"<div class='card{fault}'><div class='pair'>{_figure(album.of(first), _name(first, names), first)}"
        f"{_figure(album.of(second), _name(second, names), second)}</div>"
        f"<p>Distance {pair['distance']:.3f}; {pair['confused']} of {pair['photos']} photos mixed up. {state}</p></div>"
    )


def _spread(details: Details, names: Mapping[str, str], album: Album) -> str:
    if not details:
        return ""
    labels = [f"{10 * i}-{10 * i + 10}" for i in range(10)]
    chart = columns(
        details["histogram"], labels, ("share of a product's photos that are right, %", "products"),
        second=details["shrunk_histogram"],
    )  # fmt: skip
    tiers = [(row["tier"], f"{row['products']:,}", f"{row['accuracy']:.1%}") for row in details["tiers"]]
    cards = "".join(_weak(row, names, album) for row in details["worst"][:_WEAK])
    return (
        f"<div class='two'><div>{chart}<p class='soft small'>Columns: as counted, {details['photos']:,} photos of "
        f"{details['products']:,} products. Line: with the luck of few photos taken off.</p></div>"
        f"<div>{_table(('by reference photos', 'products', 'accuracy'), tiers)}</div></div>"
        f"<h3>Weakest products, and what they are taken for</h3><div class='cards'>{cards}</div>"
    )


def _weak(row: Details, names: Mapping[str, str], album: Album) -> str:
    sku, other = row["sku"], row["taken_for"]
    taken = (
        _figure(album.of(other), _name(other, names), other) if other else _figure("", "nothing", "no other product")
    )
    return (
        f"<div class='card'><div class='pair'>{_figure(album.of(sku), _name(sku, names), sku)}{taken}</div>"
        f"<p>{row['right']} of {row['photos']} photos right (true share {row['low']:.0%} to {row['high']:.0%}).</p>"
        "</div>"
    )


def _degradation(steps: Sequence[Details]) -> str:
    if not steps:
        return ""
    rows: list[Bar] = [
        (f"{s['products']:,} products, {s['drawn']}", s["top1"], s["low"], s["high"], "bar") for s in steps
    ]
    words = (
        "Random parts of this catalogue, drawn by whole families or product by product; the lines are the lowest and "
        "highest of the draws. Where only the second falls, it is the siblings that cost accuracy. What a larger "
        "catalogue will do is a forecast, and not in this report."
    )
    chart = bars(rows, None, "best candidate right, every product alike")
    return f"{chart}<p class='soft small'>{words}</p>"


def _confidence(details: Details) -> str:
    if not details:
        return ""
    rows = [
        (
            row["tier"],
            f"{row['photos']:,}",
            "not testable" if row["ece"] is None else f"{row['ece']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
        )
        for row in details["tiers"]
    ]
    rows.insert(0, ("all products", f"{details['photos']:,}", f"{details['all']:.3f}"))
    return (
        f"<div class='two'><div>{reliability_diagram(details['bins'])}</div><div><p>On the dashed line the device is "
        "right as often as it says. Under it, it is too sure of itself; above it, it asks more often than it must. "
        f"Larger dots: more photos.</p>{_table(('tier', 'photos', 'calibration error'), rows)}</div></div>"
    )


def _curves(values: Mapping[str, Any]) -> str:
    target = values["accept_error"] or 0.01
    charts = "".join(
        f"<div><h3>{escape(curve['tier'])} <span class='soft'>({curve['photos']:,} photos)</span></h3>"
        f"{risk_coverage_chart(curve['coverage'], curve['risk'], target)}</div>"
        for curve in values["risk_coverage"]
        if curve["coverage"]
    )
    words = (
        "If the device accepted only its most confident share of the photos (across), this share would be wrong "
        "(up). Tail, mid and head: products with few, some and many reference photos."
    )
    return f"<p>{words}</p><div class='three'>{charts}</div>" if charts else ""


def _kind(kind: Mapping[str, Any]) -> str:
    name: str = kind["kind"]
    return _KINDS.get(name, f"photos of {name}")


def _unknown(details: Details) -> str:
    if not details:
        return ""
    rows: list[Bar] = []
    for kind in details["kinds"]:
        for budget, style in (("0.01", "bar light"), ("0.05", "bar"), ("0.10", "bar light")):
            found = kind["detected"].get(budget)
            if found is not None:
                shade = "bar wrong" if kind["kind"] == "shifted" and budget == "0.05" else style
                name = f"{_kind(kind)}, {100 * float(budget):g} %"
                rows.append((name, found["value"], found["low"], found["high"], shade))
    table = [
        (
            _kind(kind),
            f"{kind['classes']:,} / {kind['photos']:,}",
            f"{kind['auroc']['value']:.3f}",
            f"{kind['fpr95']['value']:.0%}",
            "-" if kind["accepted_share"] is None else f"{kind['accepted_share']:.1%}",
        )
        for kind in details["kinds"]
    ]
    return (
        f"{bars(rows, 0.7, 'called unknown, by budget of false unknowns')}<p class='soft small'>Dashed: the limit for "
        "products of new brands at 5 %. For enrolled products that are dark or blurred, every bar is false unknowns. "
        f"Method: {escape(details['method'])}, {details['splits']} splits.</p>"
        f"{_table(('kind', 'products / photos', 'AUROC', 'false unknowns at 95 % found', 'accepted'), table)}"
    )


def _samples(details: Details, names: Mapping[str, str]) -> str:
    counts = details["histogram"]
    shown = counts[:_WIDE]
    rest = sum(number for _, number in counts[_WIDE:])
    labels = [str(size) for size, _ in shown] + ([f"> {shown[-1][0]}"] if rest else [])
    values = [number for _, number in shown] + ([rest] if rest else [])
    chart = columns(values, labels, ("reference photos of a product", "products"))
    few = ", ".join(f"{escape(_name(row['sku'], names))} ({row['photos']})" for row in details["fewest"][:12])
    return f"{chart}<p class='soft'>Fewest: {few}.</p>"


def _memory(details: Details) -> str:
    if not details:
        return ""
    rows = [(escape(str(name)), f"{mib:,.1f} MiB") for name, mib in details["lines"]]
    rows.append(("<b>all</b>", f"<b>{details['needed_mib']:,.0f} MiB</b> of {details['budget_mib']:,.0f}"))
    return _table((f"one process on the {escape(details['device'])}", "resident"), rows)


def _history(details: Details) -> str:
    if not details:
        return ""
    months = details["months"][-24:]
    return columns(
        [added + changed + removed for _, added, changed, removed in months],
        [name for name, *_ in months],
        ("month", "products added, changed or removed"),
    )


def _figure(picture: str, name: str, what: str) -> str:
    image = f"<img alt='{escape(what, quote=True)}' src='{picture}'>" if picture else "<div class='empty'></div>"
    return f"<figure>{image}<figcaption><b>{escape(name)}</b>{escape(what)}</figcaption></figure>"


def _name(sku: str, names: Mapping[str, str]) -> str:
    return names.get(sku) or sku


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"
    return f"<table>{top}{''.join('<tr>' + ''.join(f'<td>{c}</td>' for c in row) + '</tr>' for row in rows)}</table>"
