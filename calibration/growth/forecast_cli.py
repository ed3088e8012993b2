"""`edge-forecast`: what accuracy, automation, memory and time become as the catalogue grows. Composition root."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from calibration.growth.compressed import space_of
from calibration.growth.drawing import memory
from calibration.growth.families import families_from_products
from calibration.growth.forecast import FACTORS, ahead, rehearsals, study
from calibration.growth.forecast_page import forecast_page
from calibration.growth.room import room_on, table_size
from calibration.growth.values import forecast_values, present_from_bundle, room_values
from calibration.growth.workshop import Place, Workshop, check_products, only, settings_of, workshop
from calibration.photos.catalogue import read_catalogue
from calibration.photos.material import Material
from calibration.photos.photoset import joined
from calibration.report.screen import Screen
from calibration.space.head import embed
from calibration.space.table import centroids
from edge import command
from edge.bundle import Bundle, read_bundle
from edge.device import DeviceConfig, load_device_config
from edge.engines import EngineSpec, open_reference
from edge.errors import CatalogueError
from edge.sealed import refuse_foreign, write_sealed

__all__ = ["main"]

PROG, KIND, SCHEMA = "edge-forecast", "forecast", 1
VALUES, PAGE = "forecast.json", "forecast.html"
MOST_THREADS = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command.run(PROG, _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    refuse_foreign(arguments.out, KIND)
    bundle = read_bundle(arguments.bundle)
    device = load_device_config(arguments.device) if arguments.device else None
    catalogue = read_catalogue(arguments.catalogue)
    extra = check_products(bundle, catalogue)
    place = Place(arguments.cache, arguments.out.absolute().parent, arguments.threads, arguments.seed)
    ours = only(catalogue, frozenset(entry.sku for entry in bundle.classes))
    with Screen() as screen, workshop(bundle, ours, place, screen) as shop:
        values = _values(bundle, shop, device, place.seed, screen)
    values["not_in_bundle"] = extra
    values["warnings"] = [text.replace(f"{catalogue.path}{os.sep}", "") for text in shop.warnings]
    with write_sealed(arguments.out, KIND, SCHEMA, {"bundle": bundle.id}) as folder:
        (folder / VALUES).write_bytes(msgspec.json.format(msgspec.json.encode(values), indent=1))
        (folder / PAGE).write_text(forecast_page(values, f"Bundle {arguments.bundle.name}"), encoding="utf-8")
    Console().print(_summary(values))
    print(f"page: {arguments.out / PAGE}")
    return 0


def _parser() -> command.Parser:
    parser = command.Parser(
        PROG,
        "Forecast accuracy, automation, memory and lookup time of a larger catalogue, from rehearsals on parts of it.",
        "edge-forecast --bundle bundle --catalogue shop --device orin-nano-4gb --out forecast",
    )
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR", help="a bundle of edge-calibrate")
    add("--catalogue", type=Path, required=True, metavar="DIR", help="the catalogue that it was calibrated on")
    add("--device", type=Path, metavar="NAME|FILE", help="how many products fit on it")
    add("--out", type=Path, required=True, metavar="DIR", help="the folder to write or replace")
    add("--cache", type=Path, metavar="DIR", help="the --cache of edge-calibrate: photos in it are not embedded again")
    add("--seed", type=command.whole_number(0, 2**31), default=0, metavar="N", help="that of the calibration (0)")
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    add("--threads", type=command.whole_number(1, 256), default=threads, metavar="N", help=f"CPU threads ({threads})")
    return parser


def _values(bundle: Bundle, shop: Workshop, device: DeviceConfig | None, seed: int, screen: Screen) -> dict[str, Any]:
    material, settings = shop.material, settings_of(bundle, seed)
    _check_read(bundle, material)
    taught = joined([material.reference, material.fit])
    centres = centroids(embed(shop.head, shop.rows, taught.rows), taught.labels, len(material.products))
    families, source = families_from_products(material.products, centres)
    screen.step("shorten features")
    space = space_of(shop.rows, taught.rows, _wanted(material), seed)
    advance = screen.count("rehearse", rehearsals())
    found = study(material, families, space, bundle.info.input, settings, advance)
    screen.step("forecast")
    with open_reference(bundle.info.engine, bundle.graph, EngineSpec(max_batch=bundle.info.max_batch)) as engine:
        present = present_from_bundle(bundle, engine, shop.head, shop.rows, material, settings)
    further = [ahead(found, factor, present.outcome, seed) for factor in FACTORS]
    counts = {found.products, *(part.trial.products for part in found.parts), *(one.products for one in further)}
    sizes = {count: table_size(bundle.table, count, seed) for count in sorted(counts)}
    other = {"families": source, "room": room_values(room_on(device, bundle) if device else None)}
    return forecast_values(bundle, found, present, further, sizes, other)


def _wanted(material: Material) -> NDArray[np.int64]:
    return material.with_crowded(joined([material.reference, material.fit, material.certify, material.test])).rows


def _check_read(bundle: Bundle, material: Material) -> None:
    here = [product.sku for product in material.products]
    if here != [entry.sku for entry in bundle.classes]:
        lost = sorted({entry.sku for entry in bundle.classes} - set(here))
        raise CatalogueError(
            f"no reference photo of {', '.join(lost[:3])} ({len(lost)} products of the bundle) can be read; put them "
            "back, or calibrate again"
        )


def _summary(values: Mapping[str, Any]) -> Table:
    result = Table(title="forecast", title_justify="left")
    for name in ("products", "top-1", "accept", "verify", "review", "unknown", "table", "lookup"):
        result.add_column(name, justify="right")
    names = ("top1", "accept", "verify", "review", "unknown")
    now = {**values["now"], "products": values["products"]}
    for one in (*values["measured"], {**now, "fraction": None}):
        label = f"{one['products']:,}" + (" bundle" if one["fraction"] is None else "")
        result.add_row(label, *(f"{one['outcome'][name]:.1%}" for name in names), *_sizes(one))
    result.add_section()
    for one in values["ahead"]:
        cells = [_interval(one["shares"][name]) if name != "verify" else f"{one['verify']:.1%}" for name in names]
        result.add_row(f"{one['products']:,}", *cells, *_sizes(one))
    room = values["room"]
    if room:
        result.caption = f"{room['module']} is full at {room['full_at']:,} products (an estimate)"
    return result


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:.1%} ({100 * found['low']:.0f} to {100 * found['high']:.0f})"


def _sizes(one: Mapping[str, Any]) -> tuple[str, str]:
    return memory(one["memory_bytes"]), f"{one['lookup_ms']:.2f} ms"
