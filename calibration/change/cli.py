"""`edge-calibrate enrol | retire | reinstate | remove`: a bundle with one product more or less, or another status.

Nothing is fitted again: seconds, not minutes. The new bundle has a new id, names the one before and says what changed.
Everything is checked before anything is written; `--out` may be the bundle itself, which stays until the new one is
whole.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console
from rich.table import Table

from calibration.change.enrol import Enrolled, enrol
from calibration.change.photos import photos_in, photos_of
from calibration.change.products import DISCONTINUED, NEW, entries_of
from calibration.change.record import net_changes, recorded, write_changed
from calibration.change.status import reinstated, removed, retired, status_of
from calibration.photos.catalogue import check_sku
from calibration.report.screen import Screen
from edge.assembly import engine_of
from edge.bundle import KIND, Bundle, Change, read_bundle
from edge.command import Parser, whole_number
from edge.config import EngineConfig
from edge.engines import REFERENCE
from edge.errors import InputError
from edge.parameters import ClassInfo
from edge.sealed import refuse_foreign

__all__ = ["COMMANDS"]

PROG = "edge-calibrate"
MANY = 0.05  # of the calibrated products: from here on the command says that it is time to calibrate
MAX_TEXT = 200
_MOST_THREADS = 8

Notes = Iterable[tuple[str, str]]


def _enrol(argv: Sequence[str]) -> int:
    parser = _parser(
        "enrol",
        "Add a product to a bundle from a folder of its photos.",
        'sku-77 --bundle bundle --images photos/sku-77 --name "Oat drink 1 l" --out bundle',
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="photos of this one product")
    parser.add_argument("--name", required=True, help="what people call it")
    parser.add_argument("--category", default="", help="its category (none)")
    parser.add_argument("--barcode", default="", help="its barcode (none)")
    parser.add_argument(
        "--force", action="append", default=[], metavar="SKU", help="a product that it looks like and is not"
    )
    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    parser.add_argument(
        "--threads", type=whole_number(1, 256), default=threads, metavar="N", help=f"CPU threads ({threads} here)"
    )
    arguments = parser.parse_args(argv)
    bundle = _read(arguments)
    check_sku("enrol", arguments.sku)
    info = _info(bundle, arguments)
    photos, others = photos_in(arguments.images, info.sku)
    with Screen() as screen:
        screen.step("engine")
        with engine_of(bundle, EngineConfig(threads=arguments.threads, fallback=REFERENCE)) as engine:
            scratch = arguments.out.absolute().parent
            embedded = photos_of(photos, bundle, engine, (scratch, arguments.threads), screen.count)
            screen.step("enrol")
            done = enrol(bundle, engine, info, embedded, arguments.force)
        change = Change(change="enrol", sku=info.sku, date=arguments.date, photos=len(embedded))
        identity = _write(arguments, bundle, done.bundle, change)
    ignored = [("note", f"{', '.join(others[:5])}: {len(others)} that are no photos, ignored")] if others else []
    _show(identity, done.bundle, change, bundle, (*_enrolled(bundle, done, len(embedded)), *ignored))
    return 0


def _enrolled(bundle: Bundle, done: Enrolled, photos: int) -> Iterator[tuple[str, str]]:
    entry, sku, barcode = done.entry, done.entry.info.sku, done.entry.info.barcode
    yield "photos", f"{photos} in {len(entry.prototypes)} prototypes"
    never = entry.twin or not entry.accept_confidence <= 1.0
    cut = f"at the strictest cut points of the bundle: confidence {entry.accept_confidence:.3f}"
    yield "accepted", "never" if never else cut
    others = [pair.second if pair.first == sku else pair.first for pair in done.near]
    if others:
        yield "verified with", ", ".join(others)
    same = [other.sku for other in bundle.classes if barcode and other.barcode == barcode]
    if same:
        yield "note", f"barcode {barcode} belongs to {', '.join(same[:5])} too"
    yield from (("note", note) for note in done.notes)


def _retire(argv: Sequence[str]) -> int:
    parser = _parser(
        "retire",
        "Take a product off sale: its pictures go to a person, with its successor named.",
        "sku-12 --successor sku-77 --bundle bundle --out bundle",
    )
    parser.add_argument("--successor", default="", metavar="SKU", help="the product that replaces it (none)")
    arguments = parser.parse_args(argv)
    bundle = _read(arguments)
    was = status_of(bundle, arguments.sku)
    changed = retired(bundle, arguments.sku, arguments.successor)
    change = Change(change="retire", sku=arguments.sku, date=arguments.date, successor=arguments.successor, was=was)
    naming = sorted(sku for sku, entry in entries_of(changed).items() if entry.successor == arguments.sku)
    notes = [("note", f"{', '.join(naming)}: names it as successor; retire again with another one")] if naming else []
    _show(_write(arguments, bundle, changed, change), changed, change, bundle, notes)
    return 0


def _reinstate(argv: Sequence[str]) -> int:
    parser = _parser("reinstate", "Undo a retirement: the product is on sale again.", "sku-12 --bundle b --out b")
    arguments = parser.parse_args(argv)
    bundle = _read(arguments)
    changed = reinstated(bundle, arguments.sku)
    change = Change(change="reinstate", sku=arguments.sku, date=arguments.date)
    certified = entries_of(changed)[arguments.sku].accept_confidence <= 1.0
    notes = [] if certified else [("note", "never accepted until calibrated: it has no certified cut point")]
    _show(_write(arguments, bundle, changed, change), changed, change, bundle, notes)
    return 0


def _remove(argv: Sequence[str]) -> int:
    parser = _parser(
        "remove",
        "Delete a product from a bundle, as if it had never been there.",
        "sku-12 --bundle bundle --out bundle",
    )
    arguments = parser.parse_args(argv)
    bundle = _read(arguments)
    changed = removed(bundle, arguments.sku)
    change = Change(change="remove", sku=arguments.sku, date=arguments.date)
    before, after = entries_of(bundle), entries_of(changed)
    lost = []
    for sku in (sku for sku, e in before.items() if e.twin == arguments.sku):
        never = before[sku].accept_confidence <= 1.0 < after[sku].accept_confidence
        lost.append(f"{sku}: its twin is gone{', never accepted until calibrated' if never else ''}")
    lost += [f"{sku}: its successor is gone" for sku, e in before.items() if e.successor == arguments.sku]
    _show(_write(arguments, bundle, changed, change), changed, change, bundle, [("note", text) for text in lost])
    return 0


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "enrol": _enrol,
    "retire": _retire,
    "reinstate": _reinstate,
    "remove": _remove,
}


def _parser(command: str, description: str, example: str) -> Parser:
    parser = Parser(f"{PROG} {command}", description, f"{PROG} {command} {example}")
    today = datetime.now(timezone.utc).date().isoformat()
    parser.add_argument("sku", metavar="SKU")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="a bundle, which is only read")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the bundle to write or replace; may be the same"
    )
    parser.add_argument("--date", type=_date, default=today, metavar="YYYY-MM-DD", help="kept in the record (today)")
    return parser


def _date(text: str) -> str:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc).date().isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a date such as 2026-11-24") from None


def _read(arguments: argparse.Namespace) -> Bundle:
    refuse_foreign(arguments.out, KIND)
    return read_bundle(arguments.bundle)


def _info(bundle: Bundle, arguments: argparse.Namespace) -> ClassInfo:
    for option in ("name", "category", "barcode"):
        text = getattr(arguments, option)
        if len(text) > MAX_TEXT or not text.isprintable() or (option == "name" and not text.strip()):
            raise InputError(f"--{option} is {text[:40]!r}, expected 1 to {MAX_TEXT} characters without line breaks")
    known = {info.sku: info for info in bundle.classes}
    if arguments.sku in known:
        mend = "reinstate it" if known[arguments.sku].status == DISCONTINUED else "remove it first to enrol it again"
        raise InputError(f"{arguments.sku}: is in the bundle already ({known[arguments.sku].name}); {mend}")
    return ClassInfo(arguments.sku, arguments.name, arguments.category, arguments.barcode, NEW, NEW)


def _write(arguments: argparse.Namespace, bundle: Bundle, changed: Bundle, change: Change) -> str:
    return write_changed(arguments.out, bundle, recorded(bundle, changed, change))


def _show(identity: str, changed: Bundle, change: Change, bundle: Bundle, notes: Notes) -> None:
    """Print what was done."""
    table = Table("", "", title=f"{change.change} {change.sku}", show_header=False, title_justify="left")
    for name, text in notes:
        table.add_row(name, text)
    table.add_row("products", f"{len(bundle.classes):,} before, {len(changed.classes):,} now")
    table.add_row("bundle", f"{identity}, was {bundle.id}")
    enrolled = len(net_changes((*bundle.info.changes, change))["enrolled"])
    if enrolled > MANY * (len(changed.classes) - enrolled):
        table.add_row("time to calibrate", f"{enrolled} products were enrolled since, which no certificate covers")
    Console().print(table)
