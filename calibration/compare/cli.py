"""`edge-compare`: a build against another one, usually its own float form, on the photos of a catalogue.

The gate before a quantised backbone is shipped: what it loses over all products, and in the worst tier. Exit 3 names
the products that lost most. A tier with too few photos is not judged, and said so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from calibration.compare.measure import ALL, Compared, Line, Recognised, compared, recognised
from calibration.photos.catalogue import Catalogue, read_catalogue
from calibration.photos.embed import embed_photos
from calibration.photos.feature_store import FeatureStore
from calibration.photos.fingerprint import Fingerprinted, fingerprint
from calibration.photos.material import Material, material_from_embedded
from calibration.report.screen import Screen
from edge.build_folder import BuildFolder, read_build
from edge.command import Parser, run, whole_number
from edge.engines import EngineSpec, open_reference
from edge.errors import CatalogueError, GateError, InputError
from edge.writing import whole_file

__all__ = ["main"]

PROG = "edge-compare"
MAX_LOSS, MAX_TIER_LOSS = 0.5, 1.0  # points
SHOWN, NAMED = 8, 5


@dataclass(frozen=True, slots=True)
class _Place:
    cache: Path | None
    threads: int
    seed: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-compare`."""
    return run(PROG, _compare, argv)


def _compare(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    baseline, build = read_build(arguments.baseline), read_build(arguments.build)
    if baseline.id == build.id:
        raise InputError(f"{arguments.build}: is the baseline itself; give another build")
    catalogue = read_catalogue(arguments.catalogue)
    place = _Place(arguments.cache, arguments.threads, arguments.seed)
    with Screen() as screen:
        photos = fingerprint(catalogue.photos, place.threads, screen.count("read", len(catalogue.photos)))
        material, first = _looked_up(baseline, (catalogue, photos), place, screen, "baseline")
        other, second = _looked_up(build, (catalogue, photos), place, screen, "build")
    if [p.sku for p in material.products] != [p.sku for p in other.products] or not len(first.true):
        raise CatalogueError(f"{arguments.catalogue}: no validation or test photos that both builds can read; add some")
    found = compared(material, first, second, place.seed)
    Console().print(_table(found))
    if found.lost_most:
        Console().print(_losses(found))
    if arguments.out is not None:
        with whole_file(arguments.out) as file:
            file.write(msgspec.json.format(msgspec.json.encode(found), indent=1))
    _refuse(found, arguments.max_loss, arguments.max_tier_loss)
    return 0


def _looked_up(
    build: BuildFolder, photos: tuple[Catalogue, Fingerprinted], place: _Place, screen: Screen, name: str
) -> tuple[Material, Recognised]:
    catalogue, prints = photos
    spec = EngineSpec(threads=place.threads, max_batch=build.info.max_batch)
    with FeatureStore(place.cache, build.path.absolute().parent, build.id, build.info.feature_dimension) as store:
        with open_reference(build.info.engine, build.graph, spec) as engine:
            advance = screen.count(f"{name}: embed", len(prints.photos))
            embedded = embed_photos(engine, build.info.input, store, prints, place.threads, advance)
        material = material_from_embedded(catalogue, embedded, place.seed)
        screen.step(f"{name}: look up")
        return material, recognised(material, store, place.seed)


def _refuse(found: Compared, max_loss: float, max_tier_loss: float) -> None:
    """Raise GateError where the loss, in points, is over its limit over all products or in a tier."""
    broken = []
    for line in found.lines:
        limit = max_loss if line.name == ALL else max_tier_loss
        if line.is_judged and 100 * line.loss > limit:
            broken.append(f"{line.name} {100 * line.loss:.2f} points, expected at most {limit:g}")
    if broken:
        worst = ", ".join(loss.sku for loss in found.lost_most[:NAMED])
        mend = "raise edge-build's --min-cosine so that more layers stay in float, or give photos like those in use"
        raise GateError(f"the build recognises fewer photos: {'; '.join(broken)}; lost most: {worst}; {mend}")


def _table(found: Compared) -> Table:
    table = Table(title=f"recognised photos; the same best candidate for {found.same:.1%}", title_justify="left")
    for column in ("", "products", "photos", "baseline", "build", "loss, points", "95 %"):
        table.add_column(column, justify="right" if column else "left")
    for line in found.lines:
        table.add_row(
            line.name,
            f"{line.products:,}",
            f"{line.photos:,}",
            f"{line.baseline:.1%}",
            f"{line.build:.1%}",
            f"{100 * line.loss:+.2f}",
            _interval(line),
        )
    return table


def _interval(line: Line) -> str:
    if not line.has_interval:
        return "not judged"
    bounds = f"{100 * line.low:+.2f} to {100 * line.high:+.2f}"
    return bounds if line.is_judged else f"{bounds}, too few photos to judge"


def _losses(found: Compared) -> Table:
    table = Table(title="products that lost most", title_justify="left")
    for column in ("sku", "name", "tier", "photos", "baseline", "build"):
        table.add_column(column, justify="left" if column in {"sku", "name", "tier"} else "right")
    for loss in found.lost_most[:SHOWN]:
        table.add_row(loss.sku, loss.name, loss.tier, str(loss.photos), str(loss.baseline), str(loss.build))
    return table


def _parser() -> Parser:
    parser = Parser(
        PROG,
        "Hold a build against another one, such as its float form, on the photos of a catalogue.",
        f"{PROG} --baseline float-build --build build --catalogue catalogue",
    )
    add = parser.add_argument
    add("--baseline", type=Path, required=True, metavar="DIR", help="a build, such as one of --precision float32")
    add("--build", type=Path, required=True, metavar="DIR", help="the build to judge")
    add("--catalogue", type=Path, required=True, metavar="DIR", help="with validation photos, best with test photos")
    add("--max-loss", type=float, default=MAX_LOSS, metavar="POINTS", help="over all products (default: 0.5)")
    add("--max-tier-loss", type=float, default=MAX_TIER_LOSS, metavar="POINTS", help="in any tier (default: 1)")
    add("--out", type=Path, metavar="FILE", help="the figures as JSON")
    add("--cache", type=Path, metavar="DIR", help="keep features between runs")
    add("--threads", type=whole_number(1, 256), default=2, metavar="N", help="CPU threads (default: 2)")
    add("--seed", type=whole_number(0, 1 << 31), default=0, metavar="N", help="of the split (default: 0)")
    return parser
