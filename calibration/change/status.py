"""A product taken off sale, put back, or taken out: what becomes of its entry.

- retire: a tombstone. Its prototypes stay as negatives, and a picture of old stock goes to a person with the successor
  named, instead of being taken for the product that looks most like it.
- reinstate: undoes a retirement; cut points and twin were kept.
- remove: nothing of it stays in what decides. Its pictures become those of a product that is not enrolled. For a
  product that was enrolled after calibration this is as if it had never been there; one that calibration saw has left
  its mark in what all products share: the head, the confidence, the unknown threshold, the cut points. Whoever stands
  alone without it takes the strictest cut points: its look-alikes have nothing to be compared with any more.

Who is whose successor: only a product on sale can be named. A product that is named as successor and is retired itself
stays named; the command says so.
"""

from __future__ import annotations

from dataclasses import replace

from calibration.change.products import (
    ACTIVE,
    DISCONTINUED,
    ISOLATED,
    NEVER,
    NONE,
    alone_without,
    bundle_of,
    entries_of,
    strictest,
    twins_of_calibration,
    without,
)
from edge.bundle import Bundle
from edge.errors import InputError
from edge.parameters import ClassInfo

__all__ = ["reinstated", "removed", "retired", "status_of"]


def status_of(bundle: Bundle, sku: str) -> str:
    """Return the status of a product; raises InputError when the bundle does not have it."""
    return _info(bundle, sku).status


def retired(bundle: Bundle, sku: str, successor: str) -> Bundle:
    """Return the bundle with `sku` discontinued and `successor` (a SKU, or "") in its place; raises InputError."""
    info, entries = _info(bundle, sku), entries_of(bundle)
    entry = replace(entries[sku], info=replace(info, status=DISCONTINUED), successor=successor)
    if successor == sku:
        raise InputError(f"{sku}: cannot be its own successor; name the product that replaces it, or none")
    if successor and _info(bundle, successor).status == DISCONTINUED:
        raise InputError(f"{successor}: is discontinued itself, expected a product on sale; name its successor")
    if (info.status, entries[sku].successor) == (DISCONTINUED, successor):
        named = f"with the successor {successor}" if successor else "without a successor"
        raise InputError(f"{sku}: is discontinued already, {named}; nothing to change")
    return bundle_of(bundle, {**entries, sku: entry}, bundle.info.near)


def reinstated(bundle: Bundle, sku: str) -> Bundle:
    """Return the bundle with `sku` on sale again; raises InputError when it is not discontinued."""
    info = _info(bundle, sku)
    if info.status != DISCONTINUED:
        raise InputError(f"{sku}: is {info.status}, expected a discontinued product; nothing to change")
    before = [change.was for change in bundle.info.changes if change.sku == sku and change.change == "retire"]
    status = next((was for was in reversed(before) if was not in ("", DISCONTINUED)), ACTIVE)
    entries = entries_of(bundle)
    entry = replace(entries[sku], info=replace(info, status=status), successor="")
    return bundle_of(bundle, {**entries, sku: entry}, bundle.info.near)


def removed(bundle: Bundle, sku: str) -> Bundle:
    """Return the bundle without `sku`; raises InputError when it is the only product."""
    _info(bundle, sku)
    if len(bundle.classes) == 1:
        raise InputError(f"{sku}: is the only product, and a bundle needs one; make another bundle instead")
    before = entries_of(bundle)
    entries, near = without(before, bundle.info.near, sku)
    cuts = strictest(before)
    for other in alone_without(bundle, sku):
        entry = entries[other]
        if cuts is not None and entry.accept_confidence <= 1.0:
            entries[other] = replace(entry, **cuts.within(entry)._asdict(), source=ISOLATED)
    for other, twin in twins_of_calibration(bundle):
        if twin == sku:
            entries[other] = replace(entries[other], **NEVER._asdict(), source=NONE)
    return bundle_of(bundle, entries, near)


def _info(bundle: Bundle, sku: str) -> ClassInfo:
    found = [info for info in bundle.classes if info.sku == sku]
    if not found:
        raise InputError(f"{bundle.path}: no product {sku!r} among its {len(bundle.classes)}; see classes.json")
    return found[0]
