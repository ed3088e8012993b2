"""What a new product gets: prototypes in the table's scale, the strictest tier, twins, or a refusal."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from change_worlds import (
    DIMENSION,
    arrays,
    direction,
    fake_engine,
    judged,
    memory_bundle,
    new_info,
    product_photos,
    removed,
    shots,
    unit,
)
from hypothesis import given
from hypothesis import strategies as st

from calibration.change.enrol import DUPLICATE, MIN_ROW_COSINE, Enrolled, enrol, prototype_rows
from calibration.change.products import NEW, entries_of
from calibration.change.status import reinstated, retired
from calibration.space.table import prototypes_of, quantise
from edge.bundle import Bundle
from edge.errors import GateError, InputError
from edge.types import Reason, Route


def add(bundle: Bundle, sku: str, embeddings: np.ndarray, *forced: str) -> Enrolled:
    return enrol(bundle, fake_engine(), new_info(sku), product_photos(embeddings), forced)


def test_a_new_product_is_accepted_at_the_strictest_cut_points() -> None:
    bundle = memory_bundle(6)
    cuts = bundle.rules.cuts
    done = add(bundle, "new", shots(50, 8))
    assert done.entry.accept_confidence == cuts.accept_confidence.max()
    assert done.entry.accept_strangeness == cuts.accept_strangeness.min()
    assert done.entry.strict_confidence == cuts.strict_confidence.max()
    assert done.entry.strict_strangeness == cuts.strict_strangeness.min()
    assert done.entry.verify_confidence == cuts.verify_confidence.max()
    assert (done.entry.source, done.entry.info.tier, done.entry.info.status, done.entry.offset) == (NEW, NEW, NEW, 0.0)
    assert len(done.entry.prototypes) == 2  # the most that the bundle has for one product
    assert done.bundle.table.scale == bundle.table.scale
    assert done.near == ()
    decision = judged(done.bundle, shots(50, 9)[-1:])[0]
    assert (decision.route, decision.sku) == (Route.ACCEPT, "new")


def test_a_class_without_a_cut_point_does_not_count_as_strictest() -> None:
    bundle = memory_bundle(6)
    accept = bundle.rules.cuts.accept_confidence.copy()
    accept[int(accept.argmax())] = np.inf
    bundle = replace(bundle, rules=replace(bundle.rules, cuts=replace(bundle.rules.cuts, accept_confidence=accept)))
    assert add(bundle, "new", shots(50, 8)).entry.accept_confidence == accept[np.isfinite(accept)].max()


def test_a_new_product_is_no_easier_to_accept_for_a_degraded_device() -> None:
    bundle = memory_bundle(6)
    strictest = int(bundle.rules.cuts.accept_confidence.argmax())
    none = bundle.rules.cuts.strict_confidence.copy()
    none[strictest] = np.inf  # it is accepted by a sound device alone
    entry = add(
        replace(bundle, rules=replace(bundle.rules, cuts=replace(bundle.rules.cuts, strict_confidence=none))),
        "new",
        shots(50, 8),
    ).entry
    assert entry.accept_confidence <= entry.strict_confidence < np.inf
    assert entry.strict_strangeness <= entry.accept_strangeness
    none[:] = np.inf
    entry = add(
        replace(bundle, rules=replace(bundle.rules, cuts=replace(bundle.rules.cuts, strict_confidence=none))),
        "new",
        shots(50, 8),
    ).entry
    assert (entry.strict_confidence, entry.strict_strangeness) == (np.inf, -np.inf)


def test_nothing_certified_means_never_accepted() -> None:
    bundle = memory_bundle(6)
    cuts = replace(bundle.rules.cuts, accept_confidence=np.full(6, np.inf, np.float32))
    done = add(replace(bundle, rules=replace(bundle.rules, cuts=cuts)), "new", shots(50, 8))
    assert np.isinf(done.entry.accept_confidence)
    assert "certifies nothing" in done.notes[0]
    decision = judged(done.bundle, shots(50, 9)[-1:])[0]
    assert (decision.route, decision.reasons) == (Route.VERIFY, (Reason.NOT_CERTIFIED,))


def test_one_photo_is_enrolled_and_never_accepted() -> None:
    done = add(memory_bundle(6), "new", shots(50, 1))
    assert np.isinf(done.entry.accept_confidence)
    assert done.entry.accept_strangeness == -np.inf
    assert len(done.entry.prototypes) == 1
    assert "one photo" in done.notes[0]
    assert done.near == ()


def test_to_one_photo_the_nearest_product_that_might_accept_it_is_near() -> None:
    bundle = memory_bundle(6)
    photo = beside(3, 0.85, 1)
    done = add(bundle, "new", photo)
    assert [pair.second for pair in done.near] == ["sku-003"]
    assert entries_of(done.bundle)["sku-003"].twin == "new"
    assert add(bundle, "new", beside(3, 0.85, 6)).near == ()  # several photos say that they are told apart
    cuts = bundle.rules.cuts
    never = replace(cuts, accept_confidence=np.full(6, np.inf, np.float32))
    assert add(replace(bundle, rules=replace(bundle.rules, cuts=never)), "new", photo).near == ()


def test_nobody_else_changes() -> None:
    bundle = memory_bundle(6)
    after = entries_of(add(bundle, "new", shots(50, 8)).bundle)
    for sku, before in entries_of(bundle).items():
        np.testing.assert_array_equal(after[sku].prototypes, before.prototypes)
        assert replace(after[sku], prototypes=before.prototypes) is not before
        for name in ("info", "offset", "accept_confidence", "accept_strangeness", "source", "twin", "successor"):
            assert getattr(after[sku], name) == getattr(before, name)


def test_order_of_three_enrolments_changes_nothing_and_removal_undoes_them() -> None:
    bundle = memory_bundle(6)
    new = {"b": shots(50, 8), "new": shots(51, 5), "sku-002-b": shots(52, 6)}
    found = []
    for order in permutations(new):
        changed = bundle
        for sku in order:
            changed = add(changed, sku, new[sku]).bundle
        found.append(arrays(changed))
        queries = np.concatenate([shots(number, 6, 0.8) for number in (*range(6), 50, 51, 52)])
        back = removed(changed, order)
        assert arrays(back) == arrays(bundle)
        assert judged(back, queries) == judged(bundle, queries)
    assert all(one == found[0] for one in found)


def beside(sku_seed: int, cosine: float, count: int, spread: float = 0.05) -> np.ndarray:
    """Return photos of a product whose direction has this cosine to that of another."""
    own, other = direction(sku_seed), direction(999)
    across = unit(other - float(other @ own) * own)
    middle = cosine * own + np.sqrt(1 - cosine**2) * across
    rng = np.random.default_rng([sku_seed, 7])
    return unit(middle + spread * unit(rng.standard_normal((count, DIMENSION))))


def test_a_product_nearer_than_the_twins_is_verified_with_the_other_and_the_other_with_it() -> None:
    done = add(memory_bundle(6), "new", beside(3, 0.93, 8))
    after = entries_of(done.bundle)
    assert [pair.second for pair in done.near] == ["sku-003"]
    assert after["new"].twin == "sku-003"
    assert after["sku-003"].twin == "new"
    for photo in (beside(3, 0.93, 9)[-1:], shots(3, 9)[-1:]):
        decision = judged(done.bundle, photo)[0]
        assert decision.route is Route.VERIFY
        assert Reason.TWIN_PAIR in decision.reasons
        assert {"new", "sku-003"} <= set(decision.verify_set)


def test_a_product_near_to_one_that_has_a_twin_is_verified_and_takes_nothing_away() -> None:
    done = add(memory_bundle(6), "new", beside(0, 0.93, 8))
    after = entries_of(done.bundle)
    assert after["new"].twin == "sku-000"
    assert after["sku-000"].twin == "sku-001"
    assert judged(done.bundle, beside(0, 0.93, 9)[-1:])[0].route is Route.VERIFY


def test_photos_taken_for_another_product_make_it_near() -> None:
    mixed = np.concatenate([shots(50, 6), shots(3, 2)])
    done = add(memory_bundle(6), "new", mixed)
    assert [pair.second for pair in done.near] == ["sku-003"]
    named = [note for note in done.notes if "sku-003" in note]
    assert [note.split(":")[0] for note in named] == ["06.jpg", "07.jpg"]


def test_a_photo_that_would_be_accepted_as_another_product_is_enough() -> None:
    done = add(memory_bundle(6), "new", np.concatenate([shots(50, 12), shots(3, 1, 0.01)]))
    assert [pair.second for pair in done.near] == ["sku-003"]


@pytest.mark.parametrize("photos", [beside(3, 0.85, 1), np.concatenate([shots(50, 12), shots(3, 1, 0.01)])])
def test_what_is_off_sale_for_now_is_near_all_the_same(photos: np.ndarray) -> None:
    """Or it would come back beside a product that it was never held against."""
    bundle = memory_bundle(6)
    enrolled_first = retired(add(bundle, "new", photos).bundle, "sku-003", "")
    retired_first = add(retired(bundle, "sku-003", ""), "new", photos).bundle
    assert arrays(retired_first) == arrays(enrolled_first)
    assert entries_of(reinstated(retired_first, "sku-003"))["sku-003"].twin == "new"


def test_a_strange_photo_is_named() -> None:
    strange = unit(-sum(direction(number) for number in (*range(6), 50)))[None]
    done = add(memory_bundle(6), "new", np.concatenate([shots(50, 8), strange]))
    assert any(note.startswith("08.jpg: like nothing") for note in done.notes)


def test_the_same_product_again_is_refused_until_it_is_named() -> None:
    bundle = memory_bundle(6)
    with pytest.raises(GateError, match=r"look like sku-003 \(cosine .*--force sku-003"):
        add(bundle, "new", shots(3, 8, 0.05))
    done = add(bundle, "new", shots(3, 8, 0.05), "sku-003")
    assert done.near[0].cosine > DUPLICATE
    assert entries_of(done.bundle)["new"].twin == "sku-003"
    with pytest.raises(InputError, match="--force sku-9: not a product"):
        add(bundle, "new", shots(50, 8), "sku-9")


def test_without_twins_near_is_what_a_photo_could_be_accepted_as() -> None:
    lone = memory_bundle(1)
    assert entries_of(add(lone, "new", beside(0, 0.9, 4)).bundle)["new"].twin == "sku-000"
    assert add(lone, "new", shots(50, 4)).near == ()


def test_identical_photos_make_one_prototype() -> None:
    done = add(memory_bundle(6), "new", np.repeat(shots(50, 1), 5, axis=0))
    assert len(done.entry.prototypes) == 1


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_rows_in_range_are_those_of_the_table(seed: int, count: int) -> None:
    prototypes = unit(np.random.default_rng(seed).standard_normal((count, DIMENSION)))
    table = quantise(prototypes, np.arange(count, dtype=np.int32))
    rows, bent = prototype_rows(prototypes, table.scale)
    np.testing.assert_array_equal(rows, table.prototypes)
    assert bent == 0


@given(st.integers(0, 10_000), st.floats(0.3, 1.0))
def test_a_row_beyond_the_range_is_bent_and_counted_or_refused(seed: int, part: float) -> None:
    row = unit(np.random.default_rng(seed).standard_normal((1, DIMENSION)))
    scale = part * float(np.abs(row).max()) / 127
    try:
        rows, bent = prototype_rows(row, scale)
    except InputError as error:
        assert "outside the range" in str(error)
        return
    assert bent == int(part < 1.0 / (1.0 + 0.5 / 127))
    value = rows[0] * scale
    assert float(value @ row[0]) / float(np.linalg.norm(value)) >= MIN_ROW_COSINE
    assert float(np.linalg.norm(value)) == pytest.approx(1.0, abs=0.05)


def test_a_product_far_outside_the_range_is_refused_and_says_what_to_do() -> None:
    bundle = memory_bundle(6)
    narrow = replace(bundle, table=replace(bundle.table, scale=bundle.table.scale / 3))
    with pytest.raises(InputError, match="run edge-calibrate"):
        add(narrow, "new", np.repeat(np.eye(1, DIMENSION, dtype=np.float32), 3, axis=0))


def test_prototypes_are_those_that_calibration_would_make() -> None:
    embeddings = shots(50, 8, 0.5)
    done = add(memory_bundle(6), "new", embeddings)
    wanted, _ = prototypes_of(embeddings, np.zeros(8, np.int32), 2)
    value = done.entry.prototypes * np.float32(done.bundle.table.scale)
    np.testing.assert_allclose(value, wanted, atol=done.bundle.table.scale / 2 + 1e-6)
    assert Path("00.jpg") in product_photos(embeddings).paths
