"""Augmented copies: like a camera's photos, the same every time, and never in the way of measuring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from calibration_worlds import SPEC, World, material, write_catalogue
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.photos.augment import CROWDED, augmented, copy_digest, plain_copies
from calibration.photos.catalogue import read_catalogue
from calibration.photos.embed import embed_copies, embed_photos
from calibration.photos.feature_store import FeatureStore
from calibration.photos.fingerprint import fingerprint
from calibration.photos.material import copies_wanted, material_from_embedded, material_with_copies
from calibration.photos.photoset import Photoset
from edge.engines.fake import FakeEngine, Faults

NAMES = (*plain_copies(4), CROWDED)


def quiet(done: int) -> None:
    assert done >= 0


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(NAMES))
def test_a_copy_has_its_photos_shape_and_depends_on_it_alone(height: int, width: int, name: str) -> None:
    image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    digest = bytes(range(32))
    copy = augmented(image, digest, name)
    assert copy.shape == image.shape
    assert copy.dtype == np.uint8
    np.testing.assert_array_equal(copy, augmented(image, digest, name))


def test_copies_differ_and_still_show_the_product() -> None:
    ramp = np.linspace(0, 255, 96).astype(np.uint8)
    image = np.stack([np.tile(ramp, (128, 1)), np.full((128, 96), 90, np.uint8), np.tile(ramp[::-1], (128, 1))], axis=2)
    copies = [augmented(image, bytes(32), name).astype(float) for name in plain_copies(12)]
    assert len({copy.tobytes() for copy in copies}) == 12
    blue_left = [copy[:, 60:, 0].mean() > copy[:, :36, 0].mean() for copy in copies]  # never mirrored
    assert all(blue_left)


def test_neighbours_cover_the_sides_and_leave_the_middle() -> None:
    image = np.full((128, 96, 3), (40, 120, 220), np.uint8)
    image[:20] = 255 - image[:20]
    changed = []
    for seed in range(12):
        digest = bytes([seed] * 32)
        copy = augmented(image, digest, CROWDED).astype(float)
        middle, own = copy[48:80, 36:60].mean((0, 1)), copy[48:80, 36:60].std((0, 1))
        away = np.abs(copy - middle).max(axis=2) > 60 + 3 * own.max()
        assert not away[54:74, 40:56].any()
        changed.append(away[24:].mean())  # the band above is in the photo itself
    assert np.mean(np.array(changed) > 0.02) > 0.5


def test_names_differ() -> None:
    names = {copy_digest(bytes([photo] * 32), name) for photo in range(4) for name in NAMES}
    assert len(names) == 4 * len(NAMES)


def test_only_teaching_photos_have_copies_and_a_cache_keeps_them(tmp_path: Path) -> None:
    catalogue = read_catalogue(write_catalogue(tmp_path / "shop", products=3))
    photos = fingerprint(catalogue.photos, 2, quiet)
    engine = FakeEngine(side_px=32, max_batch=4)
    with engine, FeatureStore(tmp_path / "cache", tmp_path, "b", engine.dimension) as store:
        found = material_from_embedded(catalogue, embed_photos(engine, SPEC, store, photos, 2, quiet), 0)
        copies = embed_copies(engine, SPEC, store, found.teaching, plain_copies(2), 2, quiet)
        calls = engine.calls
        np.testing.assert_array_equal(
            copies, embed_copies(engine, SPEC, store, found.teaching, plain_copies(2), 2, quiet)[: len(copies)]
        )
        assert engine.calls == calls
        with_copies = replace(found, copies=copies).with_copies(found.teaching)
        assert len(with_copies) == 3 * len(found.teaching)
        assert with_copies.labels.tolist() == found.teaching.labels.tolist() * 3
        assert len(set(with_copies.rows.tolist())) == len(with_copies)
        for photo in (*found.certify.rows, *found.test.rows):
            assert copies[photo].tolist() == [photo, photo]


def test_a_copy_without_features_is_replaced_by_its_photo(tmp_path: Path) -> None:
    catalogue = read_catalogue(write_catalogue(tmp_path / "shop", products=2))
    photos = fingerprint(catalogue.photos, 2, quiet)
    good, bad = (
        FakeEngine(side_px=32, max_batch=100),
        FakeEngine(side_px=32, max_batch=100, faults=Faults(nan_rows=(0,))),
    )
    with good, bad, FeatureStore(None, tmp_path, "b", good.dimension) as store:
        found = material_from_embedded(catalogue, embed_photos(good, SPEC, store, photos, 2, quiet), 0)
        copies = embed_copies(bad, SPEC, store, found.teaching, plain_copies(1), 2, quiet)
    first = found.teaching.rows[0]
    assert copies[first].tolist() == [first]
    assert copies[found.teaching.rows[1]].tolist() != [found.teaching.rows[1]]


def test_without_copies_a_photoset_is_itself() -> None:
    given_material = material(World(6))
    assert given_material.with_copies(given_material.fit) is given_material.fit


def test_crowded_copies_are_of_photos_that_fit_and_stand_behind_the_others(tmp_path: Path) -> None:
    catalogue = read_catalogue(write_catalogue(tmp_path / "shop", products=3))
    photos = fingerprint(catalogue.photos, 2, quiet)
    engine = FakeEngine(side_px=32, max_batch=4)
    with engine, FeatureStore(None, tmp_path, "b", engine.dimension) as store:
        plain = material_from_embedded(catalogue, embed_photos(engine, SPEC, store, photos, 2, quiet), 0)
        told: list[int] = []

        def embed(some: Photoset, names: Sequence[str]) -> NDArray[np.int64]:
            return embed_copies(engine, SPEC, store, some, names, 2, told.append)

        found = material_with_copies(plain, 2, embed)
        assert sum(told) == copies_wanted(plain, 2) == 2 * len(plain.teaching) + len(plain.fit)
        assert len(found.with_copies(found.fit)) == 3 * len(found.fit)
        assert len(found.with_crowded(found.fit)) == 4 * len(found.fit)
        assert len(found.with_crowded(found.reference)) == 3 * len(found.reference)
        none = material_with_copies(plain, 0, embed)
        assert none.with_crowded(none.fit) is none.fit
        assert copies_wanted(plain, 0) == 0
