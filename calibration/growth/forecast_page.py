"""The page of a forecast, from the values of forecast.json alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.growth.drawing import frame, growth_chart, memory, safe, share, table

__all__ = ["forecast_page"]

HEAD = (
    "products",
    "best is right",
    "accept",
    "verify",
    "review",
    "unknown",
    "look-alikes accepted",
    "memory",
    "lookup",
)


def forecast_page(values: Mapping[str, Any], title: str) -> str:
    """Return the page; `title` names the bundle."""
    return frame(
        title, "Forecast of a larger catalogue", (_lead(values), _charts(values), _table(values), _how(values))
    )


def _lead(values: Mapping[str, Any]) -> str:
    now, last = values["now"], values["ahead"][-1]
    accept, top1 = last["shares"]["accept"], last["shares"]["top1"]
    room = values["room"]
    full = (
        f"<p><b>This device is full at {room['full_at']:,} products</b> ({safe(room['module'])}: "
        f"{room['free_bytes'] / 2**20:,.0f} MiB beside the engine, {room['bytes_per_product']:,.0f} bytes a product; "
        "an estimate).</p>"
        if room
        else "<p class='soft'>No device was named: give --device to learn how many products fit on it.</p>"
    )
    kind = "bad" if accept["value"] < now["outcome"]["accept"] - 0.03 else ""
    return (
        f"<div class='box {kind}'><p class='lead'><b>At {last['products']:,} products about "
        f"{share(accept['value'])} of decisions are accepted</b> ({share(accept['low'])} to {share(accept['high'])}), "
        f"against {share(now['outcome']['accept'])} today with {values['products']:,}.</p>"
        f"<p>The best candidate is right for {share(top1['value'])} ({share(top1['low'])} to {share(top1['high'])}), "
        f"today {share(now['outcome']['top1'])}. {share(last['shares']['review']['value'])} go to a person and "
        f"{share(last['verify'])} to verify.</p>{full}</div>"
    )


def _charts(values: Mapping[str, Any]) -> str:
    parts = []
    for name, title in (("accept", "accepted"), ("top1", "best candidate is right")):
        seen = [(one["products"], one["outcome"][name]) for one in values["rehearsals"]]
        ahead = [
            (one["products"], *(one["shares"][name][part] for part in ("value", "low", "high")))
            for one in values["ahead"]
        ]
        parts.append(growth_chart(seen, (values["products"], values["now"]["outcome"][name]), ahead, title))
    return (
        "<h2>From part of the catalogue to more than all of it</h2><div class='two'>"
        + "".join(parts)
        + "</div><p class='soft'>Rings: rehearsals on part of the catalogue. Black: the bundle today. Green: forecast, "
        "with its 90 % interval.</p>"
    )


def _table(values: Mapping[str, Any]) -> str:
    rows = [("", _cells(one["outcome"], one)) for one in values["measured"]]
    rows.append(("now", _cells(values["now"]["outcome"], {**values["now"], "products": values["products"]})))
    for one in values["ahead"]:
        shares = {name: found["value"] for name, found in one["shares"].items()}
        rows.append(("ahead", _cells({**shares, "verify": one["verify"]}, one)))
    return (
        "<h2>Figures</h2>"
        + table(HEAD, rows)
        + "<p class='soft'>First rows: rehearsals, the mean over subsets and draws. Bold: the bundle as it is. Shaded: "
        "forecast. Memory is the table with its index; lookup is one query on the machine that made this page.</p>"
    )


def _cells(outcome: Mapping[str, float], sizes: Mapping[str, Any]) -> Sequence[str]:
    names = ("top1", "accept", "verify", "review", "unknown", "near_unknown")
    return (
        f"{sizes['products']:,}",
        *(share(outcome[name]) if outcome[name] is not None else "-" for name in names),
        memory(sizes["memory_bytes"]),
        f"{sizes['lookup_ms']:.2f} ms",
    )


def _how(values: Mapping[str, Any]) -> str:
    families, now = safe(values["families"]), values["now"]
    return (
        "<h2>How, and what it cannot know</h2>"
        f"<p>Subsets keep families together ({families}); each is calibrated like a catalogue of its own, the "
        "certificate taken many times. The photos of the same products are looked up in their subset and in the whole "
        "catalogue: how the shares differ is carried on as a learning curve. What certifying on more "
        "photos gains is simulated on the whole catalogue. Both start from what the bundle does with "
        f"{now['photos']:,} {now['measured_on']} photos; what is accepted, halfway between that and the rehearsals, "
        "for one certificate may be a lucky one.</p>"
        "<p>It is a forecast of calibrating again with more products of the kind, and with photos as many and as "
        "good, as there are now. It knows nothing of a new kind of product, and the rehearsals work on shortened "
        "features, so they lie somewhat under the bundle.</p>"
    )
