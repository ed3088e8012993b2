"""The catalogue: prefix-stable, near-duplicates by construction, hidden products never enrolled."""

from __future__ import annotations

from collections import Counter

import pytest

from calibration.render import words
from calibration.render.forms import FORMS
from calibration.render.identity import MOST_SKUS, Sku, catalogue, hidden_siblings, strangers
from calibration.render.layouts import LAYOUTS
from calibration.render.looks import LAYOUTS as LAYOUT_NAMES
from calibration.render.words import BRAND_NAMES, KINDS, SIZES, brand_name
from edge.errors import InputError


@pytest.fixture(scope="module")
def shop() -> tuple[Sku, ...]:
    return catalogue(1, 2500)


def test_a_smaller_catalogue_is_the_beginning_of_a_larger_one(shop: tuple[Sku, ...]) -> None:
    assert catalogue(1, 137) == shop[:137]


def test_the_seed_decides(shop: tuple[Sku, ...]) -> None:
    assert catalogue(1, 50) == catalogue(1, 50)
    assert catalogue(2, 50) != shop[:50]


def test_ids_barcodes_and_names_are_unique(shop: tuple[Sku, ...]) -> None:
    for field in ("sku", "barcode", "name"):
        assert len({getattr(sku, field) for sku in shop}) == len(shop), field
    assert shop[123].sku == "sku-000123"


def test_barcodes_are_ean_13_of_the_in_store_range(shop: tuple[Sku, ...]) -> None:
    for sku in shop:
        digits = [int(digit) for digit in sku.barcode]
        assert len(digits) == 13
        assert 20 <= int(sku.barcode[:2]) <= 29
        assert (sum(digits[0::2]) + 3 * sum(digits[1::2])) % 10 == 0


def test_families_are_long_tailed_and_some_products_have_a_size_twin(shop: tuple[Sku, ...]) -> None:
    families = Counter(sku.family for sku in shop)
    brands = {sku.brand.name for sku in shop}
    assert 300 <= len(brands) <= 420
    assert 450 <= len(families) <= 630
    assert max(families.values()) >= 17
    assert sum(1 for count in families.values() if count == 1) > 50
    flavours = Counter((sku.family, sku.flavour) for sku in shop)
    twins = sum(count for count in flavours.values() if count > 1)
    assert set(flavours.values()) <= {1, 2}
    assert 0.12 < twins / len(shop) < 0.20


def test_size_twins_differ_in_size_and_numbers_alone(shop: tuple[Sku, ...]) -> None:
    small = {(sku.family, sku.flavour): sku for sku in shop if not sku.big}
    pairs = [(small[sku.family, sku.flavour], sku) for sku in shop if sku.big]
    assert pairs
    for one, other in pairs:
        assert one.size != other.size
        assert (one.brand, one.line, one.pictures) == (other.brand, other.line, other.pictures)


def test_the_sales_weight_falls_from_head_to_tail(shop: tuple[Sku, ...]) -> None:
    weights = sorted(sku.weight for sku in shop)
    assert weights[0] >= 0.1
    assert weights[-1] <= 1.0
    assert weights[len(weights) // 2] < 0.25
    assert {sku.status for sku in shop} == {"active", "new", "discontinued"}


@pytest.mark.parametrize("count", [1, 60, 300])
def test_hidden_siblings_share_a_family_and_are_never_enrolled(count: int) -> None:
    enrolled = catalogue(4, count)
    hidden = hidden_siblings(4, count)
    later = {sku.barcode for sku in catalogue(4, count + 200)}
    assert {sku.family for sku in hidden} == {sku.family for sku in enrolled}
    assert not {sku.barcode for sku in hidden} & later
    assert not {sku.name for sku in hidden} & {sku.name for sku in enrolled}


def test_strangers_have_brands_of_their_own(shop: tuple[Sku, ...]) -> None:
    new = strangers(1, 150)
    assert len(new) == 150
    assert not {sku.brand.name for sku in new} & {sku.brand.name for sku in shop}
    assert new[:20] == strangers(1, 20)


def test_brand_names_are_all_different() -> None:
    assert len({brand_name(number) for number in range(BRAND_NAMES)}) == BRAND_NAMES


def test_every_form_has_sizes_and_every_word_a_place() -> None:
    for kind in KINDS:
        for form in kind.forms:
            assert form in FORMS
            assert SIZES[form.split("-")[0], kind.measure]
        assert len({word for word, _ in kind.flavours}) == len(kind.flavours) >= 20
    assert set(LAYOUT_NAMES) == set(LAYOUTS)
    assert len(set(words.LINES)) == len(words.LINES)


@pytest.mark.parametrize("count", [0, -1, MOST_SKUS + 1])
def test_a_catalogue_of_an_impossible_size_is_refused(count: int) -> None:
    with pytest.raises(InputError, match="products"):
        catalogue(1, count)
