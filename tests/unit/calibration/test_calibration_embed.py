from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from calibration_worlds import SPEC, write_catalogue

from calibration.photos.catalogue import read_catalogue
from calibration.photos.embed import embed_photos, read_photo
from calibration.photos.feature_store import FeatureStore
from calibration.photos.fingerprint import fingerprint
from edge.engines.fake import FakeEngine, Faults
from edge.preprocess import fit


def quiet(done: int) -> None:
    assert done >= 0


def test_rows_are_those_of_the_engine_and_the_cache_saves_it_the_second_time(tmp_path: Path) -> None:
    catalogue = read_catalogue(write_catalogue(tmp_path / "shop", products=3))
    photos = fingerprint(catalogue.photos, 2, quiet)
    engine = FakeEngine(side_px=32, max_batch=4)
    with engine, FeatureStore(tmp_path / "cache", tmp_path, "b", engine.dimension) as store:
        found = embed_photos(engine, SPEC, store, photos, 2, quiet)
        assert found.photos == photos.photos
        image = cv2.imread(str(found.photos[5].path))
        expected = engine.embed(fit(image, SPEC)[None])
        np.testing.assert_allclose(store.read(found.rows[5:6]), expected, atol=1e-3)
        assert found.sides_px[5] == 48
        calls = engine.calls
        again = embed_photos(engine, SPEC, store, photos, 2, quiet)
        assert engine.calls == calls
        np.testing.assert_array_equal(again.rows, found.rows)


def test_unreadable_and_not_finite_photos_are_named(tmp_path: Path) -> None:
    catalogue = read_catalogue(write_catalogue(tmp_path / "shop", products=2))
    catalogue.photos[3].path.write_bytes(b"not a picture")
    photos = fingerprint(catalogue.photos, 2, quiet)
    engine = FakeEngine(side_px=32, max_batch=100, faults=Faults(nan_rows=(0,)))
    with engine, FeatureStore(None, tmp_path, "b", engine.dimension) as store:
        found = embed_photos(engine, SPEC, store, photos, 2, quiet)
    assert found.unreadable == (catalogue.photos[3].path,)
    assert found.not_finite == (catalogue.photos[0].path,)
    assert len(found.photos) == len(catalogue.photos) - 2


def test_odd_files_are_no_pictures(tmp_path: Path) -> None:
    assert read_photo(tmp_path / "missing.jpg") is None
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert read_photo(tmp_path / "empty.jpg") is None
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((5, 6), 9, np.uint8))
    image = read_photo(tmp_path / "grey.png")
    assert image is not None
    assert image.shape == (5, 6, 3)
