"""`edge-readiness`: a bundle and its catalogue against eight checks, before the shop finds out.

Exit code 0 when no check refused, 3 when one did (the report is written all the same), 2 for bad input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from calibration.photos.catalogue import read_catalogue
from calibration.readiness.calibration_error import check_calibration_error
from calibration.readiness.degradation import degradation
from calibration.readiness.distances import check_distances
from calibration.readiness.evidence import Evidence, Options, gather, report_of
from calibration.readiness.footprint import Footprint, measure
from calibration.readiness.headroom import RUNS, check_headroom, find_device
from calibration.readiness.history import HEADER, OWN_RECORD, check_history, months_from_record, read_history
from calibration.readiness.labels import check_labels
from calibration.readiness.page import bound_of, page_from_values, shown
from calibration.readiness.pictures import Album
from calibration.readiness.samples import check_samples
from calibration.readiness.spread import check_spread, recognised_from
from calibration.readiness.unknowns import check_unknowns, detector_from_report
from calibration.readiness.values import report_values
from calibration.readiness.verdict import Check
from calibration.report.screen import Screen
from calibration.space.table import centroids
from edge import command
from edge.bundle import read_bundle
from edge.device import device_names
from edge.errors import EngineError, InputError
from edge.writing import real_path, whole_file

__all__ = ["main"]

PROG = "edge-readiness"
REFUSED = 3
MOST_THREADS = 8
_STYLES = {"pass": "green", "fail": "bold red", "not testable": "yellow"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command.run(PROG, _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    bundle = read_bundle(arguments.bundle)
    page, figures = _places(arguments.out, arguments.bundle)
    detector = detector_from_report(report_of(bundle))
    months = read_history(arguments.history) if arguments.history else months_from_record(bundle.info.changes)
    source = "" if arguments.history else OWN_RECORD
    device = find_device(arguments.device)
    catalogue = read_catalogue(arguments.catalogue)
    seed = int(bundle.info.promise.get("seed", 0)) if arguments.seed is None else arguments.seed
    options = Options(arguments.threads, seed, arguments.cache, page.absolute().parent)
    with Screen() as screen:
        evidence = gather(bundle, catalogue, options, screen)
        runs = _measure(arguments.bundle, screen) if device is not None else []
        screen.step("check")
        checks = [
            *_checks(evidence, options.seed),
            check_history(months, _on_sale(evidence), arguments.unknown_loop, options.seed, source),
            check_headroom(device, runs, bundle.info.engine, bundle.info.classes),
            check_unknowns(detector),
            check_labels(evidence.material, evidence.embeddings, catalogue.path),
        ]
        order = ("samples", "distance", "change", "memory", "unknown", "spread", "confidence", "labels")
        checks.sort(key=lambda check: order.index(check.key))
        values = report_values(evidence, checks, degradation(evidence, options.seed))
        screen.step("write")
        content = page_from_values(values, Album(catalogue), f"Bundle {arguments.bundle.resolve().name}")
        with whole_file(page) as file, whole_file(figures) as numbers:
            file.write(content.encode())
            numbers.write(msgspec.json.format(msgspec.json.encode(values), indent=1))
    Console().print(_summary(values))
    print(f"report: {page}")
    return REFUSED if values["failed"] else 0


def _checks(evidence: Evidence, seed: int) -> list[Check]:
    """Return the checks that need only photos and decisions."""
    material, skus = evidence.material, evidence.skus
    classes = len(skus)
    reference, seen = material.reference, evidence.seen()
    centres = centroids(evidence.embeddings[reference.rows], reference.labels, classes)
    on_sale = np.array([product.status != "discontinued" for product in material.products])
    return [
        check_samples(np.bincount(reference.labels, minlength=classes), skus, seed),
        check_distances(centres, seen, evidence.never, skus),
        check_spread(recognised_from(seen.true, seen.best, skus, material.tiers), on_sale, seed),
        check_calibration_error(evidence.judged(), material.tiers, seed),
    ]


def _measure(bundle: Path, screen: Screen) -> list[Footprint]:
    """Return the measured runs; none, and a line on standard error, when a run fails."""
    advance = screen.count("memory", RUNS)
    runs = []
    for _ in range(RUNS):
        try:
            runs.append(measure(bundle))
        except EngineError as error:
            print(f"{PROG}: warning: {error}", file=sys.stderr)
            return []
        advance(1)
    return runs


def _on_sale(evidence: Evidence) -> int:
    return sum(product.status != "discontinued" for product in evidence.material.products)


def _places(out: Path, bundle: Path) -> tuple[Path, Path]:
    """Return where the page and the figures go: a folder gets both under plain names, a .html file a neighbour."""
    if real_path(out).is_relative_to(real_path(bundle)):
        raise InputError(f"{out}: lies in the bundle, whose seal it would break; choose another --out")
    if out.suffix.lower() == ".html":
        if not out.absolute().parent.is_dir():
            raise InputError(f"{out}: no such folder as {out.parent}; make it or choose another --out")
        return out, out.with_suffix(".json")
    if out.suffix.lower() == ".json" or (out.exists() and not out.is_dir()):
        raise InputError(f"{out}: expected a folder, or a name for the page that ends in .html")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror or error}); choose another --out") from None
    return out / "readiness.html", out / "readiness.json"


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(
        PROG,
        "Check before a roll-out whether a bundle is ready for its shop: eight checks, JSON and a page with pictures.\n"
        f"The history is a file with the header {','.join(HEADER)}: one row per calendar month, none left out,\n"
        "oldest first, for example 2026-01,14,6,9.",
        "edge-readiness --bundle bundle --catalogue shop --device orin-nano-4gb \\\n"
        "      --history changes.csv --out readiness.html",
    )
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR", help="a bundle that edge-calibrate wrote")
    add("--catalogue", type=Path, required=True, metavar="DIR", help="the catalogue that it was made from")
    add("--out", type=Path, required=True, metavar="DIR|FILE.html", help="where page and JSON go")
    known = ", ".join(device_names())
    add("--device", type=Path, metavar="NAME|FILE", help=f"the weakest of {known} (default: the smallest), or a file")
    add(
        "--history",
        type=Path,
        metavar="FILE",
        help=f"changes of the catalogue: {','.join(HEADER)} (else the bundle's record)",
    )
    add("--unknown-loop", default="", metavar="TEXT", help="who enrols what the device calls unknown, and how soon")
    add("--seed", type=command.whole_number(0, 2**31), metavar="N", help="that of edge-calibrate (the bundle knows)")
    add("--cache", type=Path, metavar="DIR", help="keep embeddings there, so that the next report is quick")
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    add("--threads", type=command.whole_number(1, 256), default=threads, metavar="N", help=f"CPU threads ({threads})")
    return parser


def _summary(values: Mapping[str, Any]) -> Table:
    """Return the checks as a table for the terminal."""
    table = Table(title=f"readiness of bundle {values['bundle']}", title_justify="left")
    for name in ("check", "verdict", "figure", "limit"):
        table.add_column(name)
    for check in values["checks"]:
        limit, interval = check["limit"], check["interval"]
        figure = shown(check["figure"], limit["unit"]) if check["figure"] is not None else f"needs {check['needs']}"
        if interval is not None:
            figure += f" ({shown(interval['low'], limit['unit'])} to {shown(interval['high'], limit['unit'])})"
        verdict = f"[{_STYLES[check['verdict']]}]{check['verdict']}[/]"
        table.add_row(check["title"], verdict, figure, bound_of(limit))
    return table


if __name__ == "__main__":
    sys.exit(main())
