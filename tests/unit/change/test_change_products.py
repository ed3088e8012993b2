"""A bundle as a dictionary of products: order leaves no trace, and what is removed was never there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
from change_worlds import arrays, direction, entry, judged, memory_bundle, removed, shots, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.change.products import bundle_of, entries_of, near_pair, settled
from calibration.space.crowding import centres_of
from calibration.space.table import table_from_embeddings
from edge import lookup
from edge.bundle import Bundle, NearPair
from edge.types import Route

NEW = [f"new-{number}" for number in range(4)] + ["a-first", "sku-003-b"]  # before, between and after the others


def enrolled(bundle: Bundle, order: Sequence[str], cosines: dict[tuple[str, str], float]) -> Bundle:
    """Enrol the products one after the other; `cosines` are those of the pairs that are near."""
    for sku in order:
        here = {**entries_of(bundle), sku: entry(sku, seed=len(sku) + ord(sku[-1]), rows=1 + len(sku) % 3)}
        pairs = [near_pair(*pair, cosine) for pair, cosine in cosines.items() if sku in pair and set(pair) <= set(here)]
        near = (*bundle.info.near, *pairs)
        bundle = bundle_of(bundle, settled(here, near), near)
    return bundle


@given(st.integers(1, 9), st.integers(1, 4))
def test_taken_apart_and_put_together_is_the_same_bit_for_bit(count: int, per_class: int) -> None:
    bundle = memory_bundle(count, per_class=per_class)
    assert arrays(bundle_of(bundle, entries_of(bundle), ())) == arrays(bundle)


near_pairs = st.dictionaries(
    st.tuples(st.sampled_from(NEW), st.sampled_from([*NEW, *(f"sku-{n:03d}" for n in range(6))])).filter(
        lambda pair: pair[0] != pair[1]
    ),
    st.floats(0.5, 0.99),
    max_size=8,
).map(lambda found: {(min(pair), max(pair)): cosine for pair, cosine in found.items()})


@given(st.permutations(NEW), near_pairs)
@settings(deadline=None)
def test_the_order_of_enrolments_leaves_no_trace(order: list[str], cosines: dict[tuple[str, str], float]) -> None:
    bundle = memory_bundle(6)
    expected = enrolled(bundle, NEW, cosines)
    assert arrays(enrolled(bundle, order, cosines)) == arrays(expected)
    assert [info.sku for info in expected.classes] == sorted(info.sku for info in expected.classes)


@given(st.permutations(NEW), st.integers(0, len(NEW)), near_pairs)
@settings(deadline=None)
def test_what_is_removed_was_never_there(order: list[str], gone: int, cosines: dict[tuple[str, str], float]) -> None:
    bundle = memory_bundle(6)
    changed = removed(enrolled(bundle, order, cosines), order[:gone])
    assert arrays(changed) == arrays(enrolled(bundle, sorted(order[gone:]), cosines))


@given(st.lists(st.sampled_from([f"sku-{n:03d}" for n in range(6)]), unique=True, max_size=5), near_pairs)
@settings(deadline=None)
def test_removing_before_and_after_enrolling_is_the_same(
    gone: list[str], cosines: dict[tuple[str, str], float]
) -> None:
    bundle = memory_bundle(6)
    assert arrays(removed(enrolled(bundle, NEW, cosines), gone)) == arrays(
        enrolled(removed(bundle, gone), NEW, cosines)
    )


def test_every_array_that_has_a_row_per_product_follows() -> None:
    bundle = memory_bundle(6)
    for changed, count in ((enrolled(bundle, ["new-0"], {}), 7), (removed(bundle, ["sku-000"]), 5)):
        for part in (changed.rules.cuts, changed.rules.confidence):
            rows = [getattr(part, f.name) for f in fields(part)]
            assert {len(value) for value in rows if isinstance(value, (np.ndarray, tuple))} == {count}
        assert changed.info.classes == len(changed.classes) == count


def test_a_product_of_calibration_that_is_removed_takes_twin_and_successor_along() -> None:
    bundle = memory_bundle(6)
    assert entries_of(bundle)["sku-001"].twin == "sku-000"
    assert entries_of(bundle)["sku-002"].successor == "sku-004"
    changed = entries_of(removed(bundle, ["sku-000", "sku-004"]))
    assert changed["sku-001"].twin == ""
    assert changed["sku-002"].successor == ""


def test_twins_of_calibration_stand_and_the_nearest_pair_follows() -> None:
    cosines = {("new-0", "sku-000"): 0.9, ("new-1", "sku-003"): 0.8, ("new-0", "sku-003"): 0.7, ("new-0", "new-1"): 0.6}
    changed = entries_of(enrolled(memory_bundle(6), ["new-0", "new-1"], cosines))
    assert changed["sku-000"].twin == "sku-001"  # found by calibration
    assert changed["new-0"].twin == "sku-000"
    assert changed["sku-003"].twin == "new-1"
    assert changed["new-1"].twin == "sku-003"


def test_similarities_without_a_product_are_those_of_a_table_that_never_had_it() -> None:
    bundle = memory_bundle(6, per_class=3)
    queries = np.concatenate([shots(number, 5, 0.6) for number in range(8)])
    every = lookup.similarities(lookup.index_from_table(bundle.table), queries)
    changed = removed(bundle, ["sku-003"])
    kept = lookup.similarities(lookup.index_from_table(changed.table), queries)
    np.testing.assert_allclose(kept, np.delete(every, 3, axis=1), atol=1e-6)


@pytest.mark.parametrize("gone", [0, 3, 7])
def test_removed_is_a_table_made_again_without_the_product_within_one_rounding(gone: int) -> None:
    photos = [shots(number, 6, 0.4) for number in range(8)]
    embeddings, labels = np.concatenate(photos), np.repeat(np.arange(8, dtype=np.int32), 6)
    bundle = memory_bundle(8)
    bundle = replace(bundle, table=table_from_embeddings(embeddings, labels, 3))
    changed = removed(bundle, [f"sku-{gone:03d}"]).table
    kept = labels != gone
    again = table_from_embeddings(embeddings[kept], (labels - (labels > gone))[kept].astype(np.int32), 3)
    np.testing.assert_array_equal(changed.owners, again.owners)
    difference = changed.prototypes * changed.scale - again.prototypes * again.scale
    assert float(np.abs(difference).max()) <= (changed.scale + again.scale) / 2 + 1e-6


@given(st.integers(0, 50))
@settings(deadline=None, max_examples=25)
def test_one_product_more_never_makes_another_one_accepted(seed: int) -> None:
    bundle = memory_bundle(6, seed=seed)
    rng = np.random.default_rng(seed)
    new = replace(entry("new-0", 0), prototypes=np.rint(unit(direction(2) + direction(77)) / bundle.table.scale))
    new = replace(new, prototypes=np.clip(new.prototypes, -127, 127).astype(np.int8)[None])
    changed = bundle_of(bundle, {**entries_of(bundle), "new-0": new}, ())
    queries = unit(np.stack([direction(n % 6) for n in range(60)]) + rng.normal(0, 0.2, (60, 16)))
    for before, after in zip(judged(bundle, queries), judged(changed, queries), strict=True):
        if after.route is Route.ACCEPT and after.sku != "new-0":
            assert (before.route, before.sku) == (Route.ACCEPT, after.sku)


def test_a_removed_product_leaves_no_decision_behind() -> None:
    bundle = memory_bundle(6)
    cosines = {("new-0", "sku-003"): 0.9}
    changed = removed(enrolled(bundle, ["new-0"], cosines), ["new-0"])
    queries = np.concatenate([shots(number, 6, 0.8) for number in range(8)])
    assert judged(changed, queries) == judged(bundle, queries)


def test_centres_are_unit_and_do_not_depend_on_the_scale() -> None:
    bundle = memory_bundle(4)
    centres = centres_of(bundle.table)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1.0, rtol=1e-5)
    assert centres.shape == (4, 16)
    assert float((centres @ np.stack([direction(n) for n in range(4)]).T).diagonal().min()) > 0.9


def test_a_pair_is_named_in_order() -> None:
    assert near_pair("b", "a", 0.5) == near_pair("a", "b", 0.5) == NearPair(first="a", second="b", cosine=0.5)
