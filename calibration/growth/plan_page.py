"""The page of a plan: endangered products beside the new ones that endanger them, twins, missing photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.growth.drawing import frame, picture, safe, share, table

__all__ = ["plan_page"]

CARDS = 24
ROWS = 60
LEAST_LOSS = 0.02


def plan_page(values: Mapping[str, Any], pictures: Mapping[str, Path], title: str) -> str:
    """Return the page for the values of plan.json; `pictures` are reference photos by SKU."""
    sections = (_lead(values), _endangered(values, pictures), _twins(values, pictures), _photos(values), _how(values))
    return frame(title, "Plan for new products", sections)


def _lead(values: Mapping[str, Any]) -> str:
    threatened = [one for one in values["endangered"] if _counts(one)]
    lacking = [one for one in values["newcomers"] if one["needs"]]
    kind = "bad" if threatened or values["twins"] else ""
    return (
        f"<div class='box {kind}'><p class='lead'><b>{_many(len(threatened), 'product')} of {values['on_sale']:,} on "
        f"sale would be recognised less well; {_many(len(values['twins']), 'twin pair')} with a new product.</b></p>"
        f"<p>Over all products on sale the best candidate is right for {share(values['top1'][0])} now and "
        f"{share(values['top1'][1])} with the new ones; accepted {share(values['accept'][0])} and "
        f"{share(values['accept'][1])}. {len(lacking):,} of the {_many(values['new'], 'new product')} should get more "
        "photos.</p>"
        "</div>"
    )


def _endangered(values: Mapping[str, Any], pictures: Mapping[str, Path]) -> str:
    threatened = [one for one in values["endangered"] if _counts(one)]
    if not threatened:
        return "<h2>Endangered products</h2><p>None: no product on sale loses noticeably.</p>"
    cards = "".join(_card(one, pictures) for one in threatened[:CARDS])
    more = (
        f"<p class='soft'>The first {CARDS} of {len(threatened):,}; all are in plan.json.</p>"
        if len(threatened) > CARDS
        else ""
    )
    return f"<h2>Endangered products, worst first</h2>{more}<div class='cards'>{cards}</div>"


def _card(one: Mapping[str, Any], pictures: Mapping[str, Path]) -> str:
    product, rival = one["product"], one["rival"]
    taken = f"{one['taken']} of {one['photos']} photos would be taken for a new product. " if one["taken"] else ""
    return (
        "<div class='card bad'><div class='pair'>"
        + picture(pictures.get(product["sku"]), f"{product['name']} ({product['sku']})")
        + picture(pictures.get(rival["sku"]), f"new: {rival['name']} ({rival['sku']})")
        + f"</div><p>Best is right: {_change(one['top1'])}. Accepted: {_change(one['accept'])}. {taken}"
        f"<span class='soft'>Likeness {one['cosine']:.2f}, risk {100 * one['loss']:.0f}.</span></p></div>"
    )


def _twins(values: Mapping[str, Any], pictures: Mapping[str, Path]) -> str:
    if not values["twins"]:
        return "<h2>Twins</h2><p>No new product becomes a twin.</p>"
    cards = "".join(
        "<div class='card'><div class='pair'>"
        + picture(pictures.get(pair["first"]["sku"]), f"{pair['first']['name']} ({pair['first']['sku']})")
        + picture(pictures.get(pair["second"]["sku"]), f"{pair['second']['name']} ({pair['second']['sku']})")
        + f"</div><p>{pair['confused']} of {pair['photos']} photos confused, likeness {pair['cosine']:.2f}.</p></div>"
        for pair in values["twins"][:CARDS]
    )
    return (
        "<h2>Twins</h2><p>Pairs that cannot be told apart: never accepted, always verified together. A barcode, a "
        f"weight or a view of the side that differs settles them.</p><div class='cards'>{cards}</div>"
    )


def _photos(values: Mapping[str, Any]) -> str:
    lacking = [one for one in values["newcomers"] if one["needs"]]
    if not lacking:
        return "<h2>Photos</h2><p>Every new product has the photos it needs.</p>"
    rows = [
        (
            "",
            (
                f"{safe(one['product']['name'])} ({safe(one['product']['sku'])})",
                str(one["reference_photos"]),
                str(one["validation_photos"]),
                share(one["top1"]) if one["top1"] is not None else "-",
                safe("; ".join(one["needs"])),
            ),
        )
        for one in lacking[:ROWS]
    ]
    more = f"<p class='soft'>and {len(lacking) - ROWS:,} more, in plan.json</p>" if len(lacking) > ROWS else ""
    return (
        "<h2>Photos to take before they go live</h2>"
        + table(("new product", "reference", "validation", "best is right", "take"), rows, "words")
        + more
    )


def _how(values: Mapping[str, Any]) -> str:
    return (
        "<h2>How, and what it cannot know</h2>"
        "<p>The catalogue was rehearsed without and with the new products, each validation photo looked up by a head "
        "that it did not teach. The risk of a product is the fall of the probability that its photos are recognised, "
        "in points; the order is more reliable than the figure of a single product, which rests on few photos. Shares "
        f"are means over products. {_unmeasured(values)}</p>"
    )


def _unmeasured(values: Mapping[str, Any]) -> str:
    blind = sum(one["loss"] is None for one in values["endangered"])
    return f"{_many(blind, 'product')} on sale without validation photos could not be measured." if blind else ""


def _counts(one: Mapping[str, Any]) -> bool:
    return one["loss"] is not None and one["loss"] >= LEAST_LOSS


def _accepted(one: Mapping[str, Any]) -> str:
    """Return how acceptance changes, or nothing where no photo is accepted either way."""
    return f"Accepted: {_change(one['accept'])}. " if max(one["accept"]) > 0 else ""


def _change(pair: Sequence[float]) -> str:
    kind = "worse" if pair[1] < pair[0] - 0.005 else "better" if pair[1] > pair[0] + 0.005 else "soft"
    return f"<span class='{kind}'>{share(pair[0])} to {share(pair[1])}</span>"


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
