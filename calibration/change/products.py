"""A bundle as a dictionary of products: take it apart, change entries, put it together again.

Invariants, each with a property test
- Putting together what was taken apart gives the same arrays, bit for bit.
- Products are sorted by SKU, so the order of changes leaves no trace; twins and successors are held by SKU, so no index
  can point at the wrong product.
- A product that is removed leaves nothing behind: who named it as successor names nobody, whose twin it was has none
  (or the next in the near pairs), and all others keep their values. Only a product that calibration saw among near
  neighbours and that stands alone without this one takes the strictest cut points (`alone_without`), and one that
  calibration called its twin is never accepted (`twins_of_calibration`).
- What no product owns passes through untouched: slopes and bias of the confidence, unknown threshold, quality limits,
  the verify rule, the scale of the table.

Twins. Calibration finds pairs. Enrolment finds near pairs, each of a new product and another, and they are kept. A
product without a twin of calibration has the nearest of its near pairs as twin, whichever was enrolled first. So a twin
found at enrolment may name a product whose own twin is another one; both are verified, never accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.space.crowding import centres_of, nearest_cosine
from edge.bundle import Bundle, NearPair, Rules
from edge.parameters import ClassInfo, PrototypeTable

__all__ = [
    "ACTIVE",
    "DISCONTINUED",
    "ISOLATED",
    "NEVER",
    "NEW",
    "NONE",
    "AcceptCuts",
    "Entry",
    "alone_without",
    "bundle_of",
    "entries_of",
    "near_pair",
    "settled",
    "strictest",
    "twins_of_calibration",
    "without",
]

ACTIVE = "active"  # the status of a product on sale
DISCONTINUED = "discontinued"  # the status of a tombstone
ISOLATED = "isolated"  # source of the cut points of a product without near neighbours
NONE = "none"  # ... of one that is never accepted
NEW = "new"  # tier, source of cut points and status of a product that was enrolled after calibration
_NONE = -1


class AcceptCuts(NamedTuple):
    """The accept cut points of a product, and those for a degraded device; +inf, -inf where nothing is accepted."""

    accept_confidence: float
    accept_strangeness: float
    strict_confidence: float
    strict_strangeness: float

    def within(self, entry: Entry) -> AcceptCuts:
        """Return the stricter of these and those of a product, one by one."""
        return AcceptCuts(
            max(self.accept_confidence, entry.accept_confidence),
            min(self.accept_strangeness, entry.accept_strangeness),
            max(self.strict_confidence, entry.strict_confidence),
            min(self.strict_strangeness, entry.strict_strangeness),
        )


NEVER = AcceptCuts(np.inf, -np.inf, np.inf, -np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """Everything that a bundle holds of one product. `prototypes` are (k, D) int8; twin and successor SKUs or ""."""

    info: ClassInfo
    prototypes: NDArray[np.int8]
    offset: float
    accept_confidence: float
    accept_strangeness: float
    strict_confidence: float
    strict_strangeness: float
    verify_confidence: float
    source: str
    twin: str = ""
    successor: str = ""


def entries_of(bundle: Bundle) -> dict[str, Entry]:
    """Return the products of a bundle by SKU."""
    cuts, table = bundle.rules.cuts, bundle.table
    skus = [info.sku for info in bundle.classes]
    parts = np.split(table.prototypes, np.searchsorted(table.owners, np.arange(1, len(skus))))
    return {
        info.sku: Entry(
            info=info,
            prototypes=parts[index],
            offset=float(bundle.rules.confidence.class_offset[index]),
            accept_confidence=float(cuts.accept_confidence[index]),
            accept_strangeness=float(cuts.accept_strangeness[index]),
            strict_confidence=float(cuts.strict_confidence[index]),
            strict_strangeness=float(cuts.strict_strangeness[index]),
            verify_confidence=float(cuts.verify_confidence[index]),
            source=cuts.source[index],
            twin=_name(skus, int(cuts.twin[index])),
            successor=_name(skus, int(cuts.successor[index])),
        )
        for index, info in enumerate(bundle.classes)
    }


def bundle_of(bundle: Bundle, entries: Mapping[str, Entry], near: Sequence[NearPair]) -> Bundle:
    """Return `bundle` with these products, at least one, and near pairs; everything else is that of `bundle`."""
    ordered = [entries[sku] for sku in sorted(entries)]
    position = {entry.info.sku: index for index, entry in enumerate(ordered)}
    owners = np.repeat(np.arange(len(ordered), dtype=np.int32), [len(entry.prototypes) for entry in ordered])
    prototypes = np.concatenate([entry.prototypes for entry in ordered])
    cuts = replace(
        bundle.rules.cuts,
        accept_confidence=np.array([entry.accept_confidence for entry in ordered], np.float32),
        accept_strangeness=np.array([entry.accept_strangeness for entry in ordered], np.float32),
        strict_confidence=np.array([entry.strict_confidence for entry in ordered], np.float32),
        strict_strangeness=np.array([entry.strict_strangeness for entry in ordered], np.float32),
        verify_confidence=np.array([entry.verify_confidence for entry in ordered], np.float32),
        source=tuple(entry.source for entry in ordered),
        twin=np.array([position.get(entry.twin, _NONE) for entry in ordered], np.int32),
        successor=np.array([position.get(entry.successor, _NONE) for entry in ordered], np.int32),
    )
    offsets = np.array([entry.offset for entry in ordered], np.float32)
    rules: Rules = replace(bundle.rules, confidence=replace(bundle.rules.confidence, class_offset=offsets), cuts=cuts)
    pairs = tuple(sorted(near, key=lambda pair: (pair.first, pair.second)))
    return replace(
        bundle,
        info=msgspec.structs.replace(bundle.info, classes=len(ordered), near=pairs),
        classes=tuple(entry.info for entry in ordered),
        table=PrototypeTable(prototypes, bundle.table.scale, owners),
        rules=rules,
    )


def without(
    entries: Mapping[str, Entry], near: Sequence[NearPair], sku: str
) -> tuple[dict[str, Entry], list[NearPair]]:
    """Return products and near pairs without `sku` and without anything that refers to it."""
    kept = {
        name: replace(
            entry,
            twin="" if entry.twin == sku else entry.twin,
            successor="" if entry.successor == sku else entry.successor,
        )
        for name, entry in entries.items()
        if name != sku
    }
    pairs = [pair for pair in near if sku not in (pair.first, pair.second)]
    return settled(kept, pairs), pairs


def alone_without(bundle: Bundle, sku: str) -> set[str]:
    """Return the products that have near neighbours and would have none without `sku`.

    Only products that calibration saw count: cut points were set without those that were enrolled later.
    """
    old = [index for index, info in enumerate(bundle.classes) if info.tier != NEW]
    rest = [index for index in old if bundle.classes[index].sku != sku]
    if len(rest) == len(old):
        return set()
    centres, edge = centres_of(bundle.table), bundle.rules.cuts.isolated_below
    before = dict(zip(old, nearest_cosine(centres[old]).tolist(), strict=True))
    after = dict(zip(rest, nearest_cosine(centres[rest]).tolist(), strict=True))
    alone = [index for index in rest if after[index] < edge <= before[index]]
    return {bundle.classes[index].sku for index in alone}


def twins_of_calibration(bundle: Bundle) -> list[tuple[str, str]]:
    """Return each product that calibration found a twin for, with it; those of near pairs are not among them."""
    found = {(pair.first, pair.second) for pair in bundle.info.near}
    pairs = [(sku, entry.twin) for sku, entry in entries_of(bundle).items() if entry.twin]
    return [(sku, twin) for sku, twin in pairs if (min(sku, twin), max(sku, twin)) not in found]


def strictest(entries: Mapping[str, Entry]) -> AcceptCuts | None:
    """Return the strictest cut points of products that may be accepted, in each way; None without any."""
    certified = [entry for entry in entries.values() if entry.accept_confidence <= 1.0]
    if not certified:
        return None
    confidence = max(entry.accept_confidence for entry in certified)
    strangeness = min(entry.accept_strangeness for entry in certified)
    degraded = [entry for entry in certified if entry.strict_confidence <= 1.0]
    if not degraded:
        return AcceptCuts(confidence, strangeness, np.inf, -np.inf)
    return AcceptCuts(
        confidence,
        strangeness,
        max(confidence, *(entry.strict_confidence for entry in degraded)),
        min(strangeness, *(entry.strict_strangeness for entry in degraded)),
    )


def settled(entries: Mapping[str, Entry], near: Sequence[NearPair]) -> dict[str, Entry]:
    """Return the products with the twins that follow from calibration's pairs and the near pairs."""
    partners: dict[str, list[tuple[float, str]]] = {}
    for pair in near:
        partners.setdefault(pair.first, []).append((-pair.cosine, pair.second))
        partners.setdefault(pair.second, []).append((-pair.cosine, pair.first))
    result = dict(entries)
    for sku, others in partners.items():
        entry = entries[sku]
        if not entry.twin or entry.twin in {name for _, name in others}:
            result[sku] = replace(entry, twin=min(others)[1])
    return result


def near_pair(sku: str, other: str, cosine: float) -> NearPair:
    """Return the pair in the order of its names."""
    return NearPair(first=min(sku, other), second=max(sku, other), cosine=cosine)


def _name(skus: Sequence[str], index: int) -> str:
    return skus[index] if index != _NONE else ""
