"""`edge-plan`: what new products would do to a catalogue, before they go live. Composition root."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from calibration.growth.compressed import space_of
from calibration.growth.plan import Endangered, Newcomer, Plan, plan_for
from calibration.growth.plan_page import plan_page
from calibration.growth.workshop import (
    Place,
    Workshop,
    check_products,
    joint_catalogue,
    only,
    settings_of,
    workshop,
)
from calibration.photos.catalogue import read_catalogue
from calibration.photos.material import Material
from calibration.photos.photoset import joined
from calibration.report.screen import Screen
from edge import command
from edge.bundle import Bundle, read_bundle
from edge.errors import CatalogueError
from edge.sealed import refuse_foreign, write_sealed

__all__ = ["main"]

PROG, KIND, SCHEMA = "edge-plan", "plan", 1
VALUES, PAGE = "plan.json", "plan.html"
MOST_THREADS = 8
SHOWN = 8  # rows on the terminal


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command.run(PROG, _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    refuse_foreign(arguments.out, KIND)
    bundle = read_bundle(arguments.bundle)
    catalogue, new = read_catalogue(arguments.catalogue), read_catalogue(arguments.new)
    extra = check_products(bundle, catalogue)
    ours = only(catalogue, frozenset(entry.sku for entry in bundle.classes))
    joint = joint_catalogue(ours, new)
    place = Place(arguments.cache, arguments.out.absolute().parent, arguments.threads, arguments.seed)
    added = frozenset(product.sku for product in new.products)
    with Screen() as screen, workshop(bundle, joint, place, screen) as shop:
        screen.step("shorten features")
        material = shop.material
        flags = np.array([product.sku in added for product in material.products])
        if not flags.any():
            raise CatalogueError(f"{arguments.new}: no reference photo can be read, expected JPEG or PNG pictures")
        settings = settings_of(bundle, place.seed)
        plan = _plan(bundle, shop, flags, place.seed, screen)
    values = plan_values(bundle, plan, material, flags, settings.weighted)
    values["not_in_bundle"] = extra
    places = [f"{folder}{os.sep}" for folder in (catalogue.path, new.path)]
    values["warnings"] = [_without(text, places) for text in shop.warnings]
    title = f"{len(added):,} new products for bundle {arguments.bundle.name}"
    with write_sealed(arguments.out, KIND, SCHEMA, {"bundle": bundle.id}) as folder:
        (folder / VALUES).write_bytes(msgspec.json.format(msgspec.json.encode(values), indent=1))
        (folder / PAGE).write_text(plan_page(values, _pictures(material), title), encoding="utf-8")
    Console().print(_summary(values))
    print(f"page: {arguments.out / PAGE}")
    return 0


def _plan(bundle: Bundle, shop: Workshop, new: NDArray[np.bool_], seed: int, screen: Screen) -> Plan:
    material = shop.material
    taught = joined([material.reference, material.fit])
    on_sale = taught.rows[~new[taught.labels]]
    wanted = material.with_crowded(joined([material.reference, material.fit, material.certify])).rows
    space = space_of(shop.rows, on_sale, wanted, seed)
    screen.step("rehearse without and with the new products")
    return plan_for(material, new, space, bundle.info.input, settings_of(bundle, seed))


def _parser() -> command.Parser:
    parser = command.Parser(
        PROG,
        "Say which products a set of new ones endangers, which become twins and which need more photos.",
        "edge-plan --bundle bundle --catalogue shop --new spring --out plan",
    )
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR", help="the bundle in use")
    add("--catalogue", type=Path, required=True, metavar="DIR", help="the catalogue that it was calibrated on")
    add("--new", type=Path, required=True, metavar="DIR", help="a catalogue folder of the new products alone")
    add("--out", type=Path, required=True, metavar="DIR", help="the folder to write or replace")
    add("--cache", type=Path, metavar="DIR", help="the --cache of edge-calibrate: photos in it are not embedded again")
    add("--seed", type=command.whole_number(0, 2**31), default=0, metavar="N", help="that of the calibration (0)")
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    add("--threads", type=command.whole_number(1, 256), default=threads, metavar="N", help=f"CPU threads ({threads})")
    return parser


def plan_values(
    bundle: Bundle, plan: Plan, material: Material, new: NDArray[np.bool_], weighted: bool
) -> dict[str, Any]:
    """Return the content of plan.json: products by SKU and name, shares before and after."""

    def named(index: int) -> dict[str, str]:
        return {"sku": material.products[index].sku, "name": material.products[index].name}

    def threatened(one: Endangered) -> dict[str, Any]:
        return {**asdict(one), "product": named(one.product), "rival": named(one.rival)}

    def newcomer(one: Newcomer) -> dict[str, Any]:
        twin = named(one.twin) if one.twin is not None else None
        return {**asdict(one), "product": named(one.product), "nearest": named(one.nearest), "twin": twin}

    return {
        "bundle": bundle.id,
        "promise": bundle.info.promise,
        "on_sale": int((~new).sum()),
        "new": int(new.sum()),
        "sales_mix": weighted,
        "top1": plan.top1,
        "accept": plan.accept,
        "endangered": [threatened(one) for one in plan.endangered],
        "newcomers": [newcomer(one) for one in plan.newcomers],
        "twins": [{**asdict(t), "first": named(t.first), "second": named(t.second)} for t in plan.twins],
    }


def _pictures(material: Material) -> dict[str, Path]:
    """Return the first reference photo of each product, by SKU."""
    found: dict[str, Path] = {}
    for sku, path in sorted(zip(material.reference.kinds, material.reference.paths, strict=True)):
        found.setdefault(sku, path)
    return found


def _without(text: str, places: Sequence[str]) -> str:
    for place in places:
        text = text.replace(place, "")
    return text


def _summary(values: Mapping[str, Any]) -> Table:
    result = Table(title=f"{values['new']:,} new products beside {values['on_sale']:,}", title_justify="left")
    for name in ("endangered", "by", "likeness", "best is right", "accepted"):
        result.add_column(name, justify="left" if name in ("endangered", "by") else "right")
    for one in values["endangered"][:SHOWN]:
        if one["loss"] is not None and one["loss"] > 0:
            result.add_row(
                one["product"]["sku"],
                one["rival"]["sku"],
                f"{one['cosine']:.2f}",
                _change(one["top1"]),
                _change(one["accept"]),
            )
    lacking = sum(bool(one["needs"]) for one in values["newcomers"])
    result.caption = (
        f"products on sale: best is right {_change(values['top1'])}, accepted {_change(values['accept'])}; "
        f"{len(values['twins'])} twin pairs with new products; {lacking} new products need photos"
    )
    return result


def _change(pair: Sequence[float]) -> str:
    return f"{pair[0]:.1%} to {pair[1]:.1%}"
