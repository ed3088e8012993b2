"""Photos under the wrong name, in a space whose head was fitted with the wrong names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calibration_worlds import World, fit_head, material, sku

from calibration.photos.material import Material
from calibration.photos.photoset import Photoset, joined
from calibration.readiness.folders import wrong_folders
from calibration.readiness.labels import check_labels
from calibration.readiness.strays import stray_photos
from calibration.readiness.verdict import Verdict
from calibration.space.head import embed
from edge.types import Embeddings


def renamed(photos: Photoset, names: dict[int, int]) -> Photoset:
    """Return the photos with the labels of some classes replaced, as if their folders bore other names."""
    return replace(photos, labels=np.array([names.get(c, c) for c in photos.labels.tolist()], np.int32))


def moved(photos: Photoset, position: int, label: int) -> Photoset:
    labels = photos.labels.copy()
    labels[position] = label
    return replace(photos, labels=labels)


def space(world: World, found: Material) -> Embeddings:
    """Return embeddings of all photos by a head that was taught with the labels as they are."""
    taught = joined([found.reference, found.fit])
    rows = world.rows()
    head = fit_head(rows, taught.rows, taught.labels, 24)
    return embed(head, rows, np.arange(world.drawn))


def made(**changes: dict[int, int]) -> tuple[Material, Embeddings]:
    """Return a world of 40 products whose roles were renamed as given."""
    world = World(40, seed=4, noise=0.8)
    plain = material(world)
    found = replace(plain, **{role: renamed(getattr(plain, role), names) for role, names in changes.items()})
    return found, space(world, found)


SWAP = {3: 17, 17: 3}


def test_right_names_raise_no_suspicion() -> None:
    found, embeddings = made()
    check = check_labels(found, embeddings, Path())
    assert check.verdict is Verdict.PASS
    assert check.figure == 0.0
    assert check.details["folders"] == []
    assert check.details["suspects"] <= 2  # of 560 photos: an odd one may stand out


def test_two_swapped_folders_are_named() -> None:
    found, embeddings = made(fit=SWAP, certify=SWAP)
    check = check_labels(found, embeddings, Path())
    assert check.verdict is Verdict.FAIL
    assert check.figure == 2
    assert [(f["kind"], f["first"], f["second"]) for f in check.details["folders"]] == [("swapped", sku(3), sku(17))]
    assert sku(3) in check.found
    assert sku(17) in check.found
    assert not {stray["sku"] for stray in check.details["photos"]} & {sku(3), sku(17)}


def test_siblings_swapped() -> None:
    swap = {6: 7, 7: 6}  # of one family
    found, embeddings = made(fit=swap, certify=swap)
    check = check_labels(found, embeddings, Path())
    assert [(f["kind"], f["first"], f["second"]) for f in check.details["folders"]] == [("swapped", sku(6), sku(7))]


def test_swapped_reference_folders_contradict_validation_and_test() -> None:
    found, embeddings = made(reference=SWAP)
    details = check_labels(found, embeddings, Path()).details
    assert [finding["roles"] for finding in details["folders"]] == [["validation", "test"]]


def test_a_ring_of_three_is_misplaced() -> None:
    ring = {2: 12, 12: 30, 30: 2}
    found, embeddings = made(fit=ring, certify=ring)
    validation = joined([found.fit, found.certify])
    findings = wrong_folders(embeddings, found.reference, validation, "validation")
    assert {(f.kind, f.first, f.second) for f in findings} == {
        ("misplaced", 12, 2),
        ("misplaced", 30, 12),
        ("misplaced", 2, 30),
    }


@pytest.mark.parametrize("products", [8, 12, 24])
def test_swaps_in_small_shops(products: int) -> None:
    found = 0
    for seed in range(5):
        world = World(products, seed=seed, noise=0.6)
        plain = material(world)
        first, second = sorted(np.random.default_rng(seed).choice(products, 2, replace=False).tolist())
        swap = {first: second, second: first}
        spoilt = replace(plain, fit=renamed(plain.fit, swap), certify=renamed(plain.certify, swap))
        folders = check_labels(spoilt, space(world, spoilt), Path()).details["folders"]
        found += (sku(first), sku(second)) in {(f["first"], f["second"]) for f in folders}
    assert found >= 4


def test_few_products_without_a_finding_are_no_pass() -> None:
    world = World(4, seed=1)
    found = material(world)
    check = check_labels(found, space(world, found), Path())
    assert check.verdict is Verdict.NOT_TESTABLE
    assert "8 products" in check.needs


def test_order_of_photos_and_names_of_classes_change_nothing() -> None:
    found, embeddings = made(fit=SWAP, certify=SWAP)
    turned = np.random.default_rng(0).permutation(len(found.certify))
    again = replace(found, certify=found.certify.take(turned))
    first, second = (check_labels(one, embeddings, Path()).details["folders"] for one in (found, again))
    assert [(f["first"], f["second"]) for f in first] == [(f["first"], f["second"]) for f in second]


@pytest.mark.parametrize("role", ["reference", "certify"])
def test_a_single_photo_in_the_wrong_folder_is_pointed_at(role: str) -> None:
    world = World(40, seed=4, noise=0.8)
    plain = material(world)
    photos = getattr(plain, role)
    position = int(np.flatnonzero(photos.labels == 8)[0])
    found = replace(plain, **{role: moved(photos, position, 25)})
    check = check_labels(found, space(world, found), Path())
    stray = check.details["photos"][0]
    assert (stray["sku"], stray["looks_like"]) == (sku(25), sku(8))
    assert stray["path"] == photos.paths[position].name
    assert check.verdict is Verdict.PASS  # a single photo is for a person to look at


def test_a_blurred_photo_far_from_everything_is_no_stray() -> None:
    rng = np.random.default_rng(2)
    centres = np.eye(12, 20)
    labels = np.repeat(np.arange(12), 8).astype(np.int32)
    rows = centres[labels] + 0.05 * rng.standard_normal((96, 20))
    rows[5] = np.eye(20)[19]
    rows[13] = centres[7] + 0.05 * rng.standard_normal(20)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    photos = replace(World(12).photos([8] * 12), labels=labels)
    found = stray_photos(rows, photos, 12)
    assert [(stray.photo, stray.own, stray.other) for stray in found] == [(13, 1, 7)]


def test_too_little_to_compare() -> None:
    found, embeddings = made()
    empty = found.test.take(np.zeros(0, np.intp))
    bare = replace(found, fit=empty, certify=empty, test=empty)
    check = check_labels(bare, embeddings, Path())
    assert check.verdict is Verdict.NOT_TESTABLE
    alone = world_of_one()
    assert check_labels(*alone, Path()).verdict is Verdict.NOT_TESTABLE


def world_of_one() -> tuple[Material, Embeddings]:
    world = World(1, seed=1)
    found = material(world)
    rows = world.rows().array
    return found, rows


def test_photos_that_are_all_alike_raise_nothing() -> None:
    found, embeddings = made()
    same = np.tile(embeddings[:1], (len(embeddings), 1))
    check = check_labels(found, same, Path())
    assert check.verdict is Verdict.PASS
    assert check.details["suspects"] == 0
