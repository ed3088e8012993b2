"""What a changed bundle says about itself, and how it is written.

The manifest names the bundle before (`parent`), every change since calibration, and in `promise.changes` what they
came to. What was certified stays what it was: for the products and the mix of the calibration. Both reports stay those
of the calibration and say so. Engine and every file that is not a parameter are copied byte for byte.

Limits: golden crops stay, for they prove the engine; one of them may show a product that was removed, without its name.
A change is dated to the day, so the id of a changed bundle depends on the day.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from calibration.assemble import REPORT, REPORT_PAGE
from edge.bundle import Bundle, Change, write_bundle, write_parameters
from edge.errors import BundleError, InputError
from edge.sealed import MANIFEST

__all__ = ["MAX_CHANGES", "net_changes", "recorded", "write_changed"]

MAX_CHANGES = 2000
_UNDOES = {  # change -> what it adds the product to, unless it undoes that
    "retire": ("retired", "reinstated"),
    "reinstate": ("reinstated", "retired"),
    "remove": ("removed", "enrolled"),
}
_PARAGRAPH = re.compile(r"<p id='changes' class='box bad'>.*?</p>", re.DOTALL)


def recorded(bundle: Bundle, changed: Bundle, change: Change) -> Bundle:
    """Return `changed`, which came from `bundle` by `change`, with its history and promise; raises InputError."""
    changes = (*bundle.info.changes, change)
    if len(changes) > MAX_CHANGES:
        raise InputError(f"{bundle.path}: changed {MAX_CHANGES} times since its calibration; run edge-calibrate again")
    promise = {**changed.info.promise, "changes": net_changes(changes)}
    info = msgspec.structs.replace(changed.info, parent=bundle.id, changes=changes, promise=promise)
    return replace(changed, info=info)


def net_changes(changes: Sequence[Change]) -> dict[str, list[str]]:
    """Return the SKUs, sorted, that were enrolled, retired, reinstated or removed since calibration and still are."""
    found: dict[str, set[str]] = {name: set() for name in ("enrolled", "retired", "reinstated", "removed")}
    for entry in changes:
        if entry.change == "enrol":
            found["enrolled"].add(entry.sku)
            continue
        after, before = _UNDOES[entry.change]
        if entry.sku not in found[before]:
            found[after].add(entry.sku)
        found[before].discard(entry.sku)
        if entry.change == "remove":
            found["retired"].discard(entry.sku)
            found["reinstated"].discard(entry.sku)
    return {name: sorted(skus) for name, skus in found.items()}


def write_changed(out: Path, bundle: Bundle, changed: Bundle) -> str:
    """Write `changed`, which came from `bundle`, to `out` and return its id; `out` may be where `bundle` stands.

    Raises InputError where `out` cannot be written, PublishError when the disk is full, BundleError when the bundle
    was changed by someone else meanwhile.
    """
    with write_bundle(out, changed.info) as folder:
        write_parameters(folder, changed.classes, changed.table, changed.rules, changed.golden)
        _write_reports(bundle.path, folder, changed.info.changes)
        for name in _manifest(bundle)["files"]:
            if not (folder / name).exists():
                shutil.copyfile(bundle.path / name, folder / name)
        if _manifest(bundle)["id"] != bundle.id:
            raise BundleError(f"{bundle.path}: changed by another run meanwhile; run again")
    return str(json.loads((out / MANIFEST).read_bytes())["id"])


def _manifest(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle.path / MANIFEST).read_bytes())
    return found


def _write_reports(old: Path, new: Path, changes: Sequence[Change]) -> None:
    """Write both reports as they were, where there are any, with what was changed since."""
    if (old / REPORT).exists():
        values = {**json.loads((old / REPORT).read_bytes()), "changes": msgspec.to_builtins(changes)}
        (new / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(values), indent=1))
    if (old / REPORT_PAGE).exists():
        page = _PARAGRAPH.sub("", (old / REPORT_PAGE).read_text(encoding="utf-8"))
        head, title, rest = page.partition("</h1>")
        (new / REPORT_PAGE).write_text(f"{head}{title}{_paragraph(changes)}{rest}", encoding="utf-8")


def _paragraph(changes: Sequence[Change]) -> str:
    parts = [f"{name}: {escape(', '.join(skus))}" for name, skus in net_changes(changes).items() if skus]
    what = "; ".join(parts) or "what was changed was changed back"
    return (
        f"<p id='changes' class='box bad'>These are the figures of the calibration. The bundle was changed since "
        f"({what}); nothing was measured again.</p>"
    )
