"""The report for people: one HTML page that needs nothing else, from the values of report.json alone.

Style and drawings are inside; there is no script and no request, so the page opens from a bundle on any machine and
prints. Every name that comes from a catalogue is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from calibration.report.charts import ROUTES, reliability_diagram, risk_coverage_chart, route_bar

__all__ = ["page_from_values"]

_STYLE = """
:root{--ink:#1d2733;--soft:#5f6c7b;--line:#dfe4ea;--accept:#1f7a4d;--verify:#2f6fab;--review:#b7791f;--unknown:#6b5b95}
*{box-sizing:border-box}
body{margin:0 auto;max-width:960px;padding:32px 24px 64px;color:var(--ink);background:#fff;
font:15px/1.5 system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif}
h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 8px;padding-top:12px;border-top:1px solid var(--line)}
p{margin:6px 0}.soft{color:var(--soft)}.lead{font-size:17px;margin:14px 0}
.box{border:1px solid var(--line);border-left:5px solid var(--accept);border-radius:4px;padding:12px 16px;margin:16px 0}
.box.bad{border-left-color:#b3382c}
table{border-collapse:collapse;width:100%;margin:8px 0;font-variant-numeric:tabular-nums}
th{text-align:right;font-weight:600;color:var(--soft);font-size:13px}td{text-align:right}
th,td{padding:4px 10px;border-bottom:1px solid var(--line)}th:first-child,td:first-child{text-align:left;padding-left:0}
.bar{display:block;border-radius:4px;margin:8px 0 4px}.on{fill:#fff;font-size:13px;text-anchor:middle}
.accept{fill:var(--accept);color:var(--accept)}.verify{fill:var(--verify);color:var(--verify)}
.review{fill:var(--review);color:var(--review)}.unknown{fill:var(--unknown);color:var(--unknown)}
.key{display:flex;gap:22px;flex-wrap:wrap;font-size:14px}.key b::before{content:"\\25A0\\00A0"}
.two{display:grid;grid-template-columns:1fr 1fr;gap:24px}.chart{width:100%;max-width:400px}
.grid{stroke:var(--line)}.guide{stroke:#b3382c;stroke-dasharray:4 3}.line{fill:none;stroke:var(--verify);stroke-width:2}
.dot{fill:var(--verify);fill-opacity:.55}.tick{fill:var(--soft);font-size:11px}.axis{fill:var(--ink);font-size:12px}
ul{margin:4px 0;padding-left:20px}code{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:13px}
@media (max-width:640px){.two{grid-template-columns:1fr}}
@media print{body{padding:0;max-width:none}h2{break-after:avoid}table,.two,.box{break-inside:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
_MEANING = {
    "accept": "charged without anyone looking",
    "verify": "a short list that a next view, a barcode or a weight settles",
    "review": "a person looks",
    "unknown": "like nothing in the catalogue",
}
_TWINS = 20
_NOTES = {
    "left_out": "Products left out: no reference photo that can be read",
    "outside_the_mix": "Products outside the certified mix: never accepted, too few validation photos (or not on sale)",
    "unreadable": "Photos that could not be read",
    "not_finite": "Photos for which the engine gave no finite features",
    "warnings": "Warnings about the catalogue",
}


def page_from_values(values: Mapping[str, Any], title: str) -> str:
    """Return the page for the values of `calibration.report.values.report_values`; `title` names the bundle."""
    sections = (
        _promise(values),
        _forecast(values),
        _groups(values),
        _tiers(values),
        _unknown(values),
        _confidence(values),
        _verify(values),
        _sizes(values),
        _notes(values),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{escape(title)}</h1><p class='soft'>Calibration report</p>\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def _promise(values: Mapping[str, Any]) -> str:
    promise, needed = values["promise"], values["clean_photos_needed"]
    mix = f"Mix: {escape(promise['mix'])}; {promise['products_covered']} products covered."
    error, certainty = _limit(promise["accept_error"]), _limit(promise["certainty"])
    if not promise["certified"]:
        return (
            "<div class='box bad'><p class='lead'><b>Nothing is certified: no product is ever accepted.</b> "
            "Everything goes to verify, review or unknown.</p>"
            f"<p>To certify an error of {error} at {certainty} takes at least {needed} accepted validation photos of "
            "equal weight without an error. Add validation photos, above all of products that have few, or allow more "
            f"error.</p><p>{mix}</p></div>"
        )
    return (
        f"<div class='box'><p class='lead'><b>Of what is accepted, at most {error} is wrong, with {certainty} "
        "certainty.</b></p><p>Of photos of look-alikes that are not enrolled, at most "
        f"{_limit(promise['near_unknown'])} are accepted (simulated by taking products out). Of enrolled products, "
        f"{_limit(promise['false_unknown'])} are called unknown.{_reach(values['groups'])}</p><p>{mix} The certificate "
        "holds for products and photos like those of the catalogue.</p></div>"
    )


def _reach(groups: Sequence[Mapping[str, Any]]) -> str:
    """Say of which tiers and bands the promise is certified by itself."""
    tiers = [escape(part["name"].replace("+", " and ")) for group in groups for part in _claimed(group, "parts")]
    first = f" The first holds by itself in each of these: {'; '.join(tiers)}." if tiers else ""
    bands = any(_claimed(group, "bands") for group in groups)
    return first + (" The second holds by itself beside products that stand alone." if bands else "")


def _claimed(group: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the parts or bands of a group that have a claim of their own; none where there is but one."""
    bound = {"parts": "error_bound", "bands": "near_unknown_bound"}[name]
    return [one for one in group[name] if one[bound] < 1.0] if len(group[name]) > 1 else []


def _forecast(values: Mapping[str, Any]) -> str:
    findings = values["findings"]
    outcome = findings["outcome"]
    what = (
        "test photos, on which nothing was fitted"
        if findings["measured_on"] == "test"
        else "the validation photos that set the cut points (there are no test photos)"
    )
    key = "".join(
        f"<span><b class='{route}'>{route} {_share(outcome['shares'][route])}</b> "
        f"<span class='soft'>{_MEANING[route]}</span></span>"
        for route in ROUTES
    )
    return (
        f"<h2>Forecast</h2>{route_bar(outcome['shares'])}<div class='key'>{key}</div>"
        f"<p>Decided by the device's own code on {outcome['photos']:,} {what}, weighted to the mix. "
        f"Accepted: {outcome['accepted']:,} photos, {outcome['wrong']:,} of them wrong "
        f"({_share(outcome['accepted_error'])} weighted). The best candidate is right for {_share(outcome['top1'])} "
        "of all photos.</p>"
    )


def _groups(values: Mapping[str, Any]) -> str:
    rows = [
        (
            escape(part["name"].replace("+", ", ")),
            f"{part['products']:,}",
            f"{part['photos']:,}",
            _number(group["confidence"]),
            _share(part["share"]),
            f"{part['wrong']:,} of {part['accepted']:,}",
            _bound(part["error_bound"], group),
        )
        for group in values["groups"]
        for part in group["parts"]
    ]
    bands = [
        (
            escape(group["name"].replace("+", ", ")),
            _neighbours(band["crowding_from"], group["bands"]),
            _nearest(band, group),
            _share(band["near_unknown"]),
            _bound(band["near_unknown_bound"], group),
        )
        for group in values["groups"]
        for band in group["bands"]
    ]
    other = [
        (_limit(entry["accept_error"]), _limit(entry["near_unknown"]), _share(entry["accepted"]), _claimed_in(entry))
        for entry in values["alternatives"]
    ]
    head = ("tier", "products", "photos", "confidence from", "accepted", "wrong", "error at most")
    near = ("tier", "which products", "near enough to accept", "look-alikes accepted", "at most")
    return (
        "<h2>Certificate</h2>"
        + _table(head, rows)
        + "<p class='soft'>Photos are the part of the validation photos that certifies. Tiers are joined when one "
        "alone has too few photos. All bounds hold at once.</p>"
        + _table(near, bands)
        + "<p class='soft'>Look-alikes are products that are not enrolled and resemble one that is, simulated with the "
        "catalogue's own. A product stands alone when no other one is near it: there the lead over the next candidate "
        "says nothing, so it has a limit of its own. How near is counted in photos of enrolled products: the nearest "
        "70 % means as near as 70 in 100 of them.</p>"
        + "<p>What other promises would accept, each taken by itself:</p>"
        + _table(("error at most", "look-alikes at most", "accepted", "error claimed by itself in"), other)
        + f"<p>{_degraded(values['promise']['degraded'])}</p>"
        + f"<p class='soft'>{_plug_in(values['plug_in'])}</p>"
    )


def _degraded(promise: Mapping[str, Any]) -> str:
    """Say what the device accepts while it is degraded."""
    if not promise["certified"]:
        return "A degraded device (hot, short of memory) accepts nothing: these photos certify no stricter promise."
    limits = f"{_limit(promise['accept_error'])} wrong and {_limit(promise['near_unknown'])} of look-alikes accepted"
    share = _share(promise["accepted"])
    return f"A degraded device (hot, short of memory) accepts {share}: at most {limits}."


def _claimed_in(entry: Mapping[str, Any]) -> str:
    """Return the parts that an alternative promises something of by themselves, in words."""
    if not entry["accepted"] > 0:
        return ""
    return "; ".join(escape(name.replace("+", " + ")) for name in entry["claimed"]) or "all together"


def _bound(bound: float, group: Mapping[str, Any]) -> str:
    """Return a bound in words: those of 1 are not part of the certificate."""
    if group["confidence"] is None:
        return "not certified"
    return _share(bound) if bound < 1.0 else "not by itself"


def _neighbours(crowding_from: float | None, bands: Sequence[Mapping[str, Any]]) -> str:
    """Say which products a band holds; the first begins at no number."""
    if len(bands) == 1:
        return "all"
    return "alone" if crowding_from is None else "with near neighbours"


def _nearest(band: Mapping[str, Any], group: Mapping[str, Any]) -> str:
    """Say how near a photo must be, in photos of enrolled products: a detector's score has no unit of its own."""
    return "never" if group["confidence"] is None else f"the nearest {_share(band['nearer'])}"


def _plug_in(found: Mapping[str, Any]) -> str:
    return (
        f"For comparison, the usual threshold per product, the least confidence at which the photos seen have at most "
        f"{_limit(found['target'])} error: on photos that did not set it, it accepts {_share(found['accepted'])}, of "
        f"which {_share(found['error'])} are wrong, and {_share(found['near_unknown'])} of look-alikes that are not "
        "enrolled."
    )


def _tiers(values: Mapping[str, Any]) -> str:
    rows = [
        (
            escape(tier["tier"]),
            f"{tier['products']:,}",
            f"{tier['photos']:,}",
            _share(tier["top1"]),
            _share(tier["accepted"]),
            _share(tier["accepted_error"]),
        )
        for tier in values["findings"]["tiers"]
    ]
    head = ("tier", "products", "photos", "best is right", "accepted", "wrong of these")
    return (
        "<h2>By number of reference photos</h2>"
        + _table(head, rows)
        + "<p class='soft'>tail: up to 4 reference photos; mid: 5 to 9; head: 10 or more. As in the forecast.</p>"
    )


def _unknown(values: Mapping[str, Any]) -> str:
    rows = [
        (
            escape(figure["detection"]["kind"]),
            f"{figure['detection']['photos']:,}",
            _share(figure["detection"]["detected"]),
            f"{figure['detection']['auroc']:.3f}",
            *(_share(figure["outcome"]["shares"][route]) for route in ("accept", "verify", "review")),
        )
        for figure in values["findings"]["unknown"]
    ]
    head = ("kind", "photos", "called unknown", "AUROC", "accepted", "verify", "review")
    own = _table(head, rows) if rows else "<p>The catalogue has no <code>unknown/</code> photos.</p>"
    return "<h2>Things that are not in the catalogue</h2>" + own + _detectors(values["detector"])


def _detectors(detector: Mapping[str, Any]) -> str:
    """Return what every detector does with products that were taken out, at 5 % false unknowns."""
    kinds = {"near": "look-alikes", "brands": "new brands", "shifted": "dark or blurred, enrolled"}
    rows = []
    for method in detector["methods"]:
        found = {kind["kind"]: kind["detected"]["0.05"] for kind in method["kinds"]}
        name = escape(method["method"].replace("_", " "))
        state = "chosen" if method["chosen"] else "" if method["offered"] else "too costly"
        cells = [
            "{value:.0f} % ({low:.0f} to {high:.0f})".format(**{k: 100 * v for k, v in found[kind].items()})
            if kind in found
            else "-"
            for kind in kinds
        ]
        rows.append((f"<b>{name}</b>" if method["chosen"] else name, *cells, f"{method['operations']:,}", state))
    words = (
        "Products taken out of the catalogue, called unknown at 5 % false unknowns, with 95 % intervals; one half of "
        "the products chose the method, the other half is shown. What is called unknown of dark or blurred photos of "
        "enrolled products are false unknowns."
    )
    return f"<p class='soft'>{words}</p>" + _table(("method", *kinds.values(), "multiply-adds", ""), rows)


def _confidence(values: Mapping[str, Any]) -> str:
    fit, curve = values["reliability"], values["findings"]["curve"]
    honest = (
        f"Expected calibration error {fit['ece']:.3f} on {fit['photos']:,} photos; a perfectly calibrated model would "
        f"show {fit['ece_honest']:.3f} on as many, so {fit['ece_debiased']:.3f} is its own."
        if fit["testable"]
        else f"Not testable: {fit['photos']:,} photos, at least 500 are needed."
    )
    target = values["promise"]["accept_error"]
    return (
        "<h2>Confidence</h2><div class='two'><div>"
        + reliability_diagram(fit["bins"])
        + "</div><div>"
        + risk_coverage_chart(curve["coverage"], curve["risk"], target)
        + f"</div></div><p>{honest}</p>"
    )


def _verify(values: Mapping[str, Any]) -> str:
    verify, outcome = values["verify"], values["findings"]["outcome"]
    measured = (
        f"Of the photos in the forecast that go to verify, {_share(outcome['set_coverage'])} have their product in the "
        f"set, {outcome['set_size']:.1f} products on average."
        if outcome["shares"]["verify"] > 0
        else "No photo of the forecast goes to verify."
    )
    shown = values["twins"][:_TWINS]
    rows = [
        (escape(t["first"]), escape(t["second"]), f"{t['cosine']:.3f}", f"{t['confused']} of {t['photos']}")
        for t in shown
    ]
    more = len(values["twins"]) - len(shown)
    pairs = (
        "<p>Twin pairs, which are never accepted and always verified together:</p>"
        + _table(("product", "twin", "cosine", "photos confused"), rows)
        + (f"<p class='soft'>and {more:,} more, in report.json</p>" if more > 0 else "")
        if rows
        else "<p>No twin pairs were found.</p>"
    )
    return (
        f"<h2>Verify</h2><p>The set holds every product within {_number(verify['set_gap'])} of the best; verify asks "
        f"for a confidence of {_number(verify['confidence'])}. {measured}</p>{pairs}"
    )


def _sizes(values: Mapping[str, Any]) -> str:
    head, table, counts = values["head"], values["table"], values["catalogue"]
    rows = [
        ("products", f"{counts['products']:,}"),
        ("reference photos", f"{counts['reference_photos']:,}"),
        ("validation photos that teach / certify", f"{counts['fit_photos']:,} / {counts['certify_photos']:,}"),
        ("test / unknown photos", f"{counts['test_photos']:,} / {counts['unknown_photos']:,}"),
        (
            f"head ({escape(head['method'])})",
            f"{head['features']:,} to {head['dimension']}, shrinkage {head['shrinkage']:.3f}",
        ),
        ("prototypes", f"{table['prototypes']:,} ({table['bytes'] / 1024:,.0f} KiB)"),
        ("int8 table agrees with float", _share(table["int8_agreement"])),
        ("called unknown", _strangest(values)),
        ("crops from", f"{values['quality']['min_side_px']} px, sharpness {values['quality']['min_sharpness']:.1f}"),
    ]
    return "<h2>Sizes and limits</h2>" + _table(("", ""), rows)


def _strangest(values: Mapping[str, Any]) -> str:
    """Say what is called unknown, in photos of enrolled products and as the score that the device compares with."""
    budget, method = values["promise"]["false_unknown"], escape(values["detector"]["method"].replace("_", " "))
    if values["unknown_threshold"] is None:
        return f"nothing: too few validation photos to keep {_limit(budget)} false unknowns"
    return f"stranger than {_limit(1 - budget)} of enrolled photos ({method} over {values['unknown_threshold']:.3f})"


def _notes(values: Mapping[str, Any]) -> str:
    parts = []
    for name, title in _NOTES.items():
        note = values["notes"].get(name, {"count": 0, "first": []})
        if note["count"]:
            more = note["count"] - len(note["first"])
            items = "".join(f"<li><code>{escape(str(entry))}</code></li>" for entry in note["first"])
            rest = f"<li class='soft'>and {more:,} more</li>" if more > 0 else ""
            parts.append(f"<p>{title} ({note['count']:,}):</p><ul>{items}{rest}</ul>")
    return "<h2>Left out and warned of</h2>" + ("".join(parts) or "<p>Nothing.</p>")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>" if any(head) else ""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{top}{body}</table>"


def _share(value: float) -> str:
    return "0 %" if value == 0 else f"{100 * value:.{1 if value >= 0.1 else 2}f} %"


def _limit(value: float) -> str:
    return f"{100 * value:g} %"


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:.3f}"
