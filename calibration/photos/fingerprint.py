"""One photo has one role: the same bytes never teach a product and measure it.

Photos are told apart by the sha256 of their bytes.
- A validation or test photo that is a reference photo, a test photo that is a validation photo, or an "unknown" that is
  any of these, would make every figure too good: CatalogueError, with both names.
- The same bytes twice under one label count once. Under two labels: both stay as reference photos (a shop may use one
  picture for two sizes) and are left out as validation or test photos, where one of the labels must be wrong.
- A file that cannot be read is left out and named.

Limits: near-copies (the same shot saved twice at another quality) are not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from calibration.photos.catalogue import ROLES, UNKNOWN, Photo
from edge.errors import CatalogueError

__all__ = ["Fingerprinted", "fingerprint"]

MAX_PHOTO_BYTES = 64 << 20
_ORDER = (*ROLES, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Fingerprinted:
    """Photos that may be used, with the sha256 of each (32 bytes); the unreadable ones; what to warn of."""

    photos: tuple[Photo, ...]
    digests: tuple[bytes, ...]
    unreadable: tuple[Path, ...]
    warnings: tuple[str, ...]


def fingerprint(photos: Sequence[Photo], threads: int, advance: Callable[[int], None]) -> Fingerprinted:
    """Hash every photo and keep those with one role; raises CatalogueError for a leak. `advance` counts photos."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        digests = []
        for digest in pool.map(_sha256, (photo.path for photo in photos)):
            digests.append(digest)
            advance(1)
    readable = [(photo, digest) for photo, digest in zip(photos, digests, strict=True) if digest]
    unreadable = tuple(photo.path for photo, digest in zip(photos, digests, strict=True) if not digest)
    kept: list[tuple[Photo, bytes]] = []
    warnings: list[str] = []
    roles: dict[bytes, Photo] = {}
    for role in _ORDER:
        here = [(photo, digest) for photo, digest in readable if photo.role == role]
        _refuse_leaks(here, roles)
        chosen, more = _without_copies(here, role)
        kept += chosen
        warnings += more
        roles.update({digest: photo for photo, digest in here})
    return Fingerprinted(
        tuple(photo for photo, _ in kept), tuple(digest for _, digest in kept), unreadable, tuple(warnings)
    )


def _sha256(path: Path) -> bytes:
    """Return the digest of a file, or nothing when it cannot be read, is empty or unreasonably large."""
    try:
        if not 0 < path.stat().st_size <= MAX_PHOTO_BYTES:
            return b""
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""


def _refuse_leaks(photos: Sequence[tuple[Photo, bytes]], before: dict[bytes, Photo]) -> None:
    leaks = [(photo, before[digest]) for photo, digest in photos if digest in before]
    if leaks:
        photo, other = leaks[0]
        raise CatalogueError(
            f"{photo.path}: the same picture as {other.path} ({len(leaks)} such {photo.role} photos); a photo that "
            f"is already a {other.role} photo measures nothing: remove it"
        )


def _without_copies(photos: Sequence[tuple[Photo, bytes]], role: str) -> tuple[list[tuple[Photo, bytes]], list[str]]:
    labels: dict[bytes, set[str]] = {}
    for photo, digest in photos:
        labels.setdefault(digest, set()).add(photo.label)
    kept: list[tuple[Photo, bytes]] = []
    seen: set[tuple[bytes, str]] = set()
    copies, disputed = 0, []
    for photo, digest in photos:
        if (digest, photo.label) in seen:
            copies += 1
        elif len(labels[digest]) > 1 and role in ROLES[1:]:
            disputed.append(photo.path)
        else:
            kept.append((photo, digest))
        seen.add((digest, photo.label))
    warnings = [f"{copies} {role} photos are copies of others of the same label; counted once"] if copies else []
    if disputed:
        warnings.append(f"{len(disputed)} {role} photos appear under two SKUs (first {disputed[0]}); left out")
    return kept, warnings
