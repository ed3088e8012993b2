"""Check 8: do the photos show the products whose names they bear?

Wrong names teach the head, and then every figure agrees with them. So products are compared with each other: whole
folders (`calibration.readiness.folders`) and single photos (`calibration.readiness.strays`). Of validation photos those
that taught nothing are asked first, since the head did not draw them to their wrong name; then all of them.

Figure: products whose folder is swapped or shows another product; limit 0, no interval, because a person settles each
in a minute. Single photos are listed to be looked at and fail nothing: some are only odd.

Limits: with fewer than MIN_PRODUCTS products a swapped pair bends the head so much that it can hide, so finding nothing
is no pass there. The same holds for a head of far fewer dimensions than products. In seeded worlds of 8 products 9 in
10 swaps were found, from 12 on all; on 1,000 rendered products 9 of 10 (the tenth pair were near twins).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calibration.photos.material import Material
from calibration.photos.photoset import Photoset, joined
from calibration.readiness.folders import FolderFinding, wrong_folders
from calibration.readiness.strays import Stray, stray_photos
from calibration.readiness.verdict import Check, Limit, Topic, judge, not_testable
from edge.types import Embeddings

__all__ = ["check_labels"]

TOPIC = Topic("labels", "Photos under the right name", Limit(0.0, at_most=True, unit="products"))
MIN_PRODUCTS = 8
LISTED = 40


def check_labels(material: Material, embeddings: Embeddings, catalogue: Path) -> Check:
    """Check every photo of a catalogue folder; paths in the details are relative to it."""
    advice = "Look at the pictures below, move the photos to the right folders, and calibrate again."
    validation = joined([material.fit, material.certify])
    products = len(material.products)
    taught = joined([material.reference, validation])
    strays = stray_photos(embeddings, taught, products) if products > 1 else []
    folders = _folders(material, embeddings, validation)
    wrong = _products(folders)
    strays = [stray for stray in strays if stray.own not in wrong]
    skus = [product.sku for product in material.products]
    details = {
        "folders": [_folder(finding, skus, roles) for finding, roles in _distinct(folders)[:LISTED]],
        "photos": [_photo(stray, taught.paths[stray.photo], skus, catalogue) for stray in strays[:LISTED]],
        "suspects": len(strays),
        "looked_at": len(taught) + len(material.test),
    }
    if not wrong and (products < MIN_PRODUCTS or len(validation) + len(material.test) == 0):
        needs = (
            f"{MIN_PRODUCTS} products, and validation or test photos to hold against the reference photos; there are "
            f"{products} and {len(validation) + len(material.test)}"
        )
        return not_testable(TOPIC, needs, "Look through the photos by hand.", details)
    found = f"{len(taught) + len(material.test):,} photos compared. {_sentence(folders, skus)}"
    found += f" {len(strays):,} single photos look like another product." if strays else " No single photo stands out."
    kept = "Look at the single photos listed below." if strays else "Nothing."
    return judge(TOPIC, float(len(wrong)), None, (found, kept, advice), details)


def _folders(material: Material, embeddings: Embeddings, validation: Photoset) -> list[FolderFinding]:
    """Return what is wrong, each product once per role; photos that taught nothing speak first."""
    found: list[FolderFinding] = []
    for role, photos in (("validation", material.certify), ("validation", validation), ("test", material.test)):
        named = _products([finding for finding in found if finding.role == role])
        more = wrong_folders(embeddings, material.reference, photos, role)
        found += [finding for finding in more if not {finding.first, finding.second} & named]
    return found


def _products(folders: Sequence[FolderFinding]) -> set[int]:
    """Return the products whose own folder is wrong: both of a swapped pair, the first of a misplaced one."""
    return {f.first for f in folders} | {f.second for f in folders if f.kind == "swapped"}


def _sentence(folders: Sequence[FolderFinding], skus: Sequence[str]) -> str:
    if not folders:
        return "No folder shows another product."
    pairs = sorted({(f.first, f.second) for f in folders if f.kind == "swapped"})
    named = [f"{skus[a]} and {skus[b]}" for a, b in pairs[:3]]
    alone = sorted({f.first for f in folders if f.kind == "misplaced"})
    parts = []
    if pairs:
        parts.append(f"Swapped: {'; '.join(named)}{' and others' if len(pairs) > 3 else ''}.")
    if alone:
        parts.append(f"Showing another product: {', '.join(skus[c] for c in alone[:3])}{' ...' if alone[3:] else ''}.")
    return " ".join(parts)


def _distinct(folders: Sequence[FolderFinding]) -> list[tuple[FolderFinding, list[str]]]:
    """Return each pair of products once, as first found, with every role that says the same of it."""
    roles: dict[tuple[str, int, int], list[str]] = {}
    for finding in folders:
        roles.setdefault((finding.kind, finding.first, finding.second), []).append(finding.role)
    once = {(finding.kind, finding.first, finding.second): finding for finding in reversed(folders)}
    return [(once[key], said) for key, said in roles.items()]


def _folder(finding: FolderFinding, skus: Sequence[str], roles: Sequence[str]) -> dict[str, object]:
    return {
        "kind": finding.kind,
        "role": finding.role,
        "roles": list(roles),
        "first": skus[finding.first],
        "second": skus[finding.second],
        "photos": finding.photos,
        "strength": finding.strength,
    }


def _photo(stray: Stray, path: Path, skus: Sequence[str], catalogue: Path) -> dict[str, object]:
    inside = path.relative_to(catalogue) if path.is_relative_to(catalogue) else Path(path.name)
    return {
        "path": inside.as_posix(),
        "sku": skus[stray.own],
        "looks_like": skus[stray.other],
        "own_similarity": stray.own_similarity,
        "other_similarity": stray.other_similarity,
    }
