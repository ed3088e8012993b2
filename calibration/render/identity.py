"""Who is on the shelf: a seeded catalogue of brands, lines, flavours and sizes.

A product is brand -> line -> flavour -> size. A brand has a look (font, palette, pattern, layout, motif) and a kind of
goods; a line varies the look; a flavour changes the picture, the colour band and a word; a size changes a number on
the label and, slightly, the geometry. So siblings (same brand and line) and size twins (same flavour too) come about
by construction.

Invariants
- The catalogue is prefix-stable: `catalogue(seed, n)` is the beginning of `catalogue(seed, m)` for n <= m.
- `hidden_siblings(seed, n)` belong to families of `catalogue(seed, n)` and are in none of its prefixes or extensions.
- `strangers(seed, n)` have brand names and looks that no catalogue of that seed uses.

Nothing is drawn here: this module needs NumPy only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from calibration.render import looks, words
from calibration.render.forms import FORMS, Form
from calibration.render.looks import BrandLook, LineLook
from edge.errors import InputError

__all__ = ["MOST_SKUS", "Sku", "catalogue", "hidden_siblings", "strangers"]

MOST_SKUS = 50_000  # half of what the 13,824 brand names last for
_MOST_PER_FAMILY = 20
_RESERVED_PER_FAMILY = 2  # variants that are never enrolled
_TWIN_SHARE = 0.105  # of the variants after a family's first: gives about 16 % of SKUs a twin
_COMPOUND_SHARE = 0.15  # "Lemon & Mint"
_BRAND, _LINE, _FAMILY = 1, 2, 3  # stream numbers: independent random streams of one seed


@dataclass(frozen=True, slots=True)
class Sku:
    """One product. Equal fields draw equal pictures; the pictures depend on the looks, flavour and size alone."""

    sku: str
    brand: BrandLook
    line: LineLook
    flavour: str
    pictures: tuple[str, ...]  # names of pictures in `art/`, one or two
    size: str
    big: bool  # the second size of the line's pair
    family: str
    category: str
    barcode: str
    status: str
    rank: float  # 0 = best seller of all, towards 1 = the end of the tail

    @property
    def name(self) -> str:
        """Return "Brand Line Flavour 250 g"."""
        return f"{self.brand.name} {self.line.name} {self.flavour} {self.size}"

    @property
    def container(self) -> str:
        """Return can, bottle, jar, box or pouch."""
        return self.line.form.split("-")[0]

    @property
    def form(self) -> Form:
        """Return the geometry of the pack."""
        return FORMS[self.line.form]

    @property
    def weight(self) -> float:
        """Return the sales weight, Zipf-like in the rank: 1 for the best seller, 0.1 at the end of the tail."""
        return round(1.0 / (1.0 + 9.0 * self.rank), 4)


def catalogue(seed: int, count: int) -> tuple[Sku, ...]:
    """Return the first `count` products of the catalogue of `seed`; raise InputError outside 1..MOST_SKUS."""
    if not 1 <= count <= MOST_SKUS:
        raise InputError(f"a catalogue of {count} products was asked for; 1 to {MOST_SKUS} can be made")
    return tuple(islice(_enrolled(seed), count))


def hidden_siblings(seed: int, count: int) -> tuple[Sku, ...]:
    """Return every never-enrolled product of the families in `catalogue(seed, count)`, in the order of the families."""
    families = {sku.family for sku in catalogue(seed, count)}
    found: list[Sku] = []
    brand = 0
    while families:
        for family, variants in _families(seed, brand):
            if family in families:
                found.extend(variants[-_RESERVED_PER_FAMILY:])
                families.discard(family)
        brand += 1
    return tuple(found)


def strangers(seed: int, count: int) -> tuple[Sku, ...]:
    """Return `count` products of brands that are in no catalogue of this seed."""
    if not 0 <= count <= MOST_SKUS // 10:
        raise InputError(f"{count} products of new brands were asked for; 0 to {MOST_SKUS // 10} can be made")
    # Brand names are counted down from the end, so they meet those of the catalogue only after 13,824 brands.
    products = (
        sku
        for brand in range(words.BRAND_NAMES - 1, -1, -1)
        for _, variants in _families(seed, brand)
        for sku in variants[:2]
    )
    return tuple(islice(products, count))


def _enrolled(seed: int) -> Iterator[Sku]:
    number = 0
    for brand in range(words.BRAND_NAMES):
        for _, variants in _families(seed, brand):
            for sku in variants[:-_RESERVED_PER_FAMILY]:
                yield _numbered(sku, seed, number)
                number += 1


def _numbered(sku: Sku, seed: int, number: int) -> Sku:
    """Give an enrolled product its id and its status."""
    draw = np.random.default_rng([seed, _FAMILY, number]).random(2)
    rank = float(draw[0])
    # New products are at the end of the tail: nobody has photographed or bought them much yet.
    status = "new" if rank > 0.97 else "discontinued" if draw[1] < 0.01 else "active"
    return replace(sku, sku=f"sku-{number:06d}", status=status, rank=round(rank, 6))


def _families(seed: int, brand: int) -> list[tuple[str, list[Sku]]]:
    """Return the lines of a brand, each with its variants; the last `_RESERVED_PER_FAMILY` are never enrolled."""
    rng = np.random.default_rng([seed, _BRAND, brand])
    look = looks.brand_look(rng, words.brand_name(_shuffled(seed, brand, words.BRAND_NAMES)))
    lines = int(rng.choice((1, 2, 3, 4), p=(0.65, 0.22, 0.11, 0.02)))
    names = rng.permutation(len(words.LINES))[:lines]
    families = []
    for place, name in enumerate(names):
        line_rng = np.random.default_rng([seed, _LINE, brand, place])
        line = looks.line_look(line_rng, look, words.LINES[name])
        family = f"{look.name}/{line.name}"
        families.append((family, _variants(line_rng, look, line, family, brand * 8 + place)))
    return families


def _shuffled(seed: int, number: int, count: int) -> int:
    """Return the place of `number` in a seeded one-to-one shuffle of range(count)."""
    step = 7919  # a prime that divides none of the table lengths
    return (number * step + seed * 104_729) % count


def _variants(rng: np.random.Generator, brand: BrandLook, line: LineLook, family: str, place: int) -> list[Sku]:
    sizes = np.arange(1, _MOST_PER_FAMILY + 1)
    chance = sizes**-1.15
    wanted = int(rng.choice(sizes, p=chance / chance.sum())) + _RESERVED_PER_FAMILY
    flavours = _flavours(rng, words.KINDS[line.kind], wanted)
    variants: list[Sku] = []
    single: list[int] = []  # variants without a size twin
    for flavour in flavours:
        if len(variants) == wanted:
            break
        variants.append(_sku(brand, line, flavour, family))
        single.append(len(variants) - 1)
        if len(variants) < wanted and rng.random() < _TWIN_SHARE * 1.15:
            twin_of = variants[single.pop(int(rng.integers(len(single))))]
            variants.append(replace(twin_of, size=line.sizes[1], big=True))
    return [
        replace(sku, sku=f"hidden-{place:08d}-{number:02d}", barcode=_barcode(line.kind, place * 32 + number))
        for number, sku in enumerate(variants)
    ]


def _flavours(rng: np.random.Generator, kind: words.Kind, wanted: int) -> list[tuple[str, tuple[str, ...]]]:
    single = [kind.flavours[i] for i in rng.permutation(len(kind.flavours))]
    compounds = rng.random(wanted) < _COMPOUND_SHARE
    flavours: list[tuple[str, tuple[str, ...]]] = []
    for place in range(wanted):
        word, picture = single[place % len(single)]
        second, other = single[(place * 7 + 3 + place // len(single)) % len(single)]
        if (compounds[place] or place >= len(single)) and other != picture:
            flavours.append((f"{word} & {second}", (picture, other)))
        elif place < len(single):
            flavours.append((word, (picture,)))
    return flavours


def _sku(brand: BrandLook, line: LineLook, flavour: tuple[str, tuple[str, ...]], family: str) -> Sku:
    """Return a variant of a line, not yet numbered."""
    category = words.KINDS[line.kind].category
    return Sku("", brand, line, *flavour, line.sizes[0], False, family, category, "", "active", 1.0)


def _barcode(kind: int, number: int) -> str:
    """Return an EAN-13 of the range 20..29, which shops give out themselves, with its check digit."""
    # 7,368,787 is prime to 10^10: different numbers stay different, neighbours look unlike.
    digits = f"{20 + kind % 10}{number * 7_368_787 % 10**10:010d}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return digits + str(-total % 10)
