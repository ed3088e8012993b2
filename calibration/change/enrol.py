"""A new product from its photos, without fitting anything again.

What it gets
- Prototypes like every other product (`calibration.space.table`), at most as many as the bundle has for one product, in
  the table's own scale: no other row changes. A row with a component beyond the range of int8 is bent into it, and
  named; refused where it then points elsewhere (MIN_ROW_COSINE) or falls short of unit length (MIN_ROW_LENGTH). - The
  strictest tier: the strictest accept cut points of all products that have certified ones, the mean class offset (0).
  With one photo nothing can be left out and checked, so it is never accepted until calibration sees it; neither is
  anything where nothing is certified.
- Twins. Each photo is judged by the device's own pipeline with the product taught by the others (in up to ROUNDS
  rounds). Another product is near when the cosine of both centres reaches that of calibration's least twin pair (where
  it found none: that of the nearest two of calibration's products, and a photo judged without the new product is near
  enough to be accepted as the other), when CONFUSED of the photos (two at least) have it as best candidate, or
  when a single one would be accepted as it. To a single photo the nearest product that might accept it is near: of 25
  rendered products enrolled from one photo each, 16 and 17 of 500 camera photos were accepted as another product
  without this rule, 4 and 2 with it. What is off sale counts as if it were not, for it may be reinstated. Near products
  are verified, never accepted (`calibration.change.products`).

A product whose centre comes nearer than DUPLICATE to another one's is refused until that one is named with --force: 60
products of a rendered catalogue of 1,000, enrolled again from part of their photos, lay at 0.982 to 0.998 to themselves
and at 0.982 at most to any other.

Limits: photos of the new product that other products' photos are taken for cannot be seen without those; nor whether
the photos look like what the device's camera will see. `edge-calibrate` with all photos settles both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.change.photos import ProductPhotos
from calibration.change.products import (
    ACTIVE,
    NEVER,
    NEW,
    NONE,
    Entry,
    bundle_of,
    entries_of,
    near_pair,
    settled,
    strictest,
    twins_of_calibration,
)
from calibration.rules.twins import CONFUSED, MIN_CONFUSIONS
from calibration.space.crowding import centres_of, nearest_cosine
from calibration.space.table import prototypes_of
from edge.bundle import Bundle, NearPair
from edge.errors import GateError, InputError
from edge.parameters import ClassInfo
from edge.pipeline import Batch, Pipeline
from edge.ports import Engine
from edge.types import Decision, Embeddings, Route

__all__ = ["DUPLICATE", "Enrolled", "enrol", "prototype_rows"]

DUPLICATE = 0.98  # cosine of two centres
MIN_ROW_COSINE = 0.99
MIN_ROW_LENGTH = 0.97
ROUNDS = 20
FEW = 4  # photos. Wrong among the accepted, rendered packs: 3 of 168 with 2 photos, 2 of 246 with 3, 1 of 300 with 4
_RANGE = 127
_BENDS = 10  # each may push further components to the edge of the range


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """The changed bundle and what was found: notes for the person, near products as the pairs that were added."""

    bundle: Bundle
    entry: Entry
    near: tuple[NearPair, ...]
    notes: tuple[str, ...]


def enrol(bundle: Bundle, engine: Engine, info: ClassInfo, photos: ProductPhotos, forced: Sequence[str]) -> Enrolled:
    """Return `bundle` with a product of these photos, N >= 1; `engine` is that of the bundle, open.

    Raises GateError for a duplicate that `forced` does not name, InputError when a row does not fit the table.
    """
    entries = entries_of(bundle)
    entry, notes = _entry(bundle, entries, info, photos.embeddings)
    draft = bundle_of(bundle, {**entries, info.sku: entry}, bundle.info.near)
    cosines = _cosines(draft, info.sku)
    _refuse_duplicates(info.sku, cosines, forced)
    shelf = _all_on_sale(bundle)
    decisions = _left_out_and_judged(shelf, engine, entry, photos)
    near = _near(shelf, engine, info.sku, cosines, (photos, decisions))
    pairs = [near_pair(info.sku, sku, cosines[sku]) for sku in sorted({*near, *forced})]
    everyone = (*bundle.info.near, *pairs)
    changed = bundle_of(bundle, settled({**entries, info.sku: entry}, everyone), everyone)
    notes += _doubts(photos, decisions, info.sku)
    return Enrolled(changed, entries_of(changed)[info.sku], tuple(pairs), tuple(notes))


def prototype_rows(prototypes: Embeddings, scale: float) -> tuple[NDArray[np.int8], int]:
    """Return unit rows (k, D) as int8 of this scale, and how many had to be bent into the range.

    Raises InputError when one cannot be, within MIN_ROW_COSINE and MIN_ROW_LENGTH.
    """
    limit = scale * _RANGE
    beyond = np.abs(prototypes).max(axis=1) > limit * (1.0 + 0.5 / _RANGE)
    fitted = prototypes.astype(np.float64)
    for _ in range(_BENDS):
        fitted = np.clip(fitted, -limit, limit)
        free = np.abs(fitted) < limit
        held = np.square(np.where(free, 0.0, fitted)).sum(axis=1)
        loose = np.square(np.where(free, fitted, 0.0)).sum(axis=1)
        stretch = np.sqrt(np.maximum(1.0 - held, 0.0) / np.maximum(loose, 1e-12))
        fitted = np.where(free & beyond[:, None], fitted * stretch[:, None], fitted)
    rows = np.clip(np.rint(fitted.astype(np.float32) / np.float32(scale)), -_RANGE, _RANGE).astype(np.int8)
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    cosines = np.einsum("kd,kd->k", rows.astype(np.float64), prototypes) / np.maximum(lengths, 1.0)
    if not float(cosines.min()) >= MIN_ROW_COSINE or not float(lengths.min()) * scale >= MIN_ROW_LENGTH:
        raise InputError(
            f"the product lies outside the range of this bundle's table (cosine {float(cosines.min()):.3f} and length "
            f"{float(lengths.min()) * scale:.3f} in it, expected {MIN_ROW_COSINE} and {MIN_ROW_LENGTH} at least); run "
            "edge-calibrate on the catalogue with its photos"
        )
    return rows, int(beyond.sum())


def _entry(
    bundle: Bundle, entries: Mapping[str, Entry], info: ClassInfo, embeddings: Embeddings
) -> tuple[Entry, list[str]]:
    most = int(np.bincount(bundle.table.owners).max())
    prototypes, _ = prototypes_of(embeddings, np.zeros(len(embeddings), np.int32), most)
    rows, bent = prototype_rows(prototypes, bundle.table.scale)
    notes = [f"{bent} of {len(rows)} prototypes bent into the range of the table"] if bent else []
    cuts = strictest(entries)
    own, source = NEVER, NONE
    if cuts is None:
        notes.append("never accepted: this bundle certifies nothing")
    elif len(embeddings) < 2:
        notes.append("never accepted until calibrated: one photo cannot be checked against others")
    else:
        own, source = cuts, NEW
        if len(embeddings) < FEW:
            notes.append(f"{len(embeddings)} photos are few; with {FEW} or more it is told apart better")
    reached = [e.verify_confidence for e in entries.values() if np.isfinite(e.verify_confidence)]
    verify = max(reached, default=np.inf)
    return Entry(info, rows, 0.0, *own, float(verify), source), notes


def _cosines(bundle: Bundle, sku: str) -> dict[str, float]:
    """Return the cosine of the product's centre to that of every other one."""
    centres = centres_of(bundle.table)
    skus = [info.sku for info in bundle.classes]
    cosines = centres @ centres[skus.index(sku)]
    return {other: float(cosine) for other, cosine in zip(skus, cosines, strict=True) if other != sku}


def _refuse_duplicates(sku: str, cosines: Mapping[str, float], forced: Sequence[str]) -> None:
    unknown = sorted(set(forced) - set(cosines))
    if unknown:
        raise InputError(f"--force {unknown[0]}: not a product of the bundle; name the product that {sku} looks like")
    same = sorted((-cosine, other) for other, cosine in cosines.items() if cosine > DUPLICATE and other not in forced)
    if same:
        cosine, other = same[0]
        raise GateError(
            f"{sku}: its photos look like {other} (cosine {-cosine:.3f}, expected {DUPLICATE} at most); if it is "
            f"another product all the same, add --force {other}: both will be verified, never accepted"
        )


def _all_on_sale(bundle: Bundle) -> Bundle:
    """Return the bundle with every tombstone on sale: what looks alike does so too when it is reinstated."""
    return replace(bundle, classes=tuple(replace(info, status=ACTIVE) for info in bundle.classes))


def _left_out_and_judged(bundle: Bundle, engine: Engine, entry: Entry, photos: ProductPhotos) -> list[Decision]:
    """Return what the device decides about each photo with the product taught by the others; nothing for one photo."""
    if len(photos) < 2:
        return []
    entries = entries_of(bundle)
    rounds = np.arange(len(photos)) % ROUNDS
    decisions: dict[int, Decision] = {}
    most = int(np.bincount(bundle.table.owners).max())
    for number in np.unique(rounds).tolist():
        outside, inside = np.flatnonzero(rounds == number), np.flatnonzero(rounds != number)
        prototypes, _ = prototypes_of(photos.embeddings[inside], np.zeros(len(inside), np.int32), most)
        taught = replace(entry, prototypes=prototype_rows(prototypes, bundle.table.scale)[0])
        pipeline = Pipeline(bundle_of(bundle, {**entries, entry.info.sku: taught}, bundle.info.near), engine)
        decisions.update(zip(outside.tolist(), _judged(pipeline, photos, outside), strict=True))
    return [decisions[index] for index in range(len(photos))]


def _judged(pipeline: Pipeline, photos: ProductPhotos, chosen: NDArray[np.intp]) -> list[Decision]:
    no_crops = np.zeros((0, 0, 0, 3), np.uint8)  # embedded already
    sides, sharpness = tuple(photos.sides_px[chosen].tolist()), tuple(photos.sharpness[chosen].tolist())
    return pipeline.judge(Batch(no_crops, sides, sharpness), photos.rows[chosen])


def _near(
    bundle: Bundle, engine: Engine, sku: str, cosines: Mapping[str, float], seen: tuple[ProductPhotos, list[Decision]]
) -> set[str]:
    """Return the products that are too near to `sku`, as the module says."""
    photos, decisions = seen
    limit = _twin_cosine(bundle)
    might = _might_accept(bundle, engine, photos) if limit is None or not decisions else set()
    if limit is None:
        least = _nearest_cosine(bundle)
        near = {other for other in might if cosines[other] >= least}
    else:
        near = {other for other, cosine in cosines.items() if cosine >= limit}
    near |= {d.sku for d in decisions if d.route is Route.ACCEPT and d.sku not in (None, sku)}
    confused = Counter(d.sku for d in decisions if d.route is not Route.UNKNOWN and d.sku not in (None, sku))
    enough = max(MIN_CONFUSIONS, CONFUSED * len(decisions))
    near |= {other for other, count in confused.items() if count >= enough}
    return near if decisions else near | might


def _might_accept(bundle: Bundle, engine: Engine, photos: ProductPhotos) -> set[str]:
    """Return, for each photo judged without the new product, the nearest product with an accept cut point, if the
    photo is not too strange for it.
    """
    entries, might = entries_of(bundle), set()
    for decision in _judged(Pipeline(bundle, engine), photos, np.arange(len(photos))):
        found = (entries[candidate.sku] for candidate in decision.candidates)
        able = [e for e in found if e.accept_confidence <= 1.0]
        if able and decision.ood_score <= able[0].accept_strangeness:
            might.add(able[0].info.sku)
    return might


def _twin_cosine(bundle: Bundle) -> float | None:
    """Return the cosine of calibration's least twin pair, None without any."""
    centres = dict(zip((info.sku for info in bundle.classes), centres_of(bundle.table), strict=True))
    return min((float(centres[a] @ centres[b]) for a, b in twins_of_calibration(bundle)), default=None)


def _nearest_cosine(bundle: Bundle) -> float:
    """Return the cosine of the nearest two of calibration's products, -1 where there are no two."""
    centres = centres_of(bundle.table)
    old = np.array([index for index, info in enumerate(bundle.classes) if info.tier != NEW], np.intp)
    return float(nearest_cosine(centres[old]).max(initial=-1.0))


def _doubts(photos: ProductPhotos, decisions: Sequence[Decision], sku: str) -> list[str]:
    strange = [path for path, d in zip(photos.paths, decisions, strict=False) if d.route is Route.UNKNOWN]
    other = [
        (path, d.sku)
        for path, d in zip(photos.paths, decisions, strict=False)
        if d.route is not Route.UNKNOWN and d.sku not in (None, sku)
    ]
    notes = [f"{_names(photos.left_out)}: not readable, left out"] if photos.left_out else []
    if strange:
        notes.append(f"{_names(strange)}: like nothing that the other photos taught; of this product?")
    notes += [f"{path.name}: looks like {taken} without itself; of this product?" for path, taken in other]
    return notes + list(photos.warnings)


def _names(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(path.name for path in paths[:5]) + more
