"""Which photos are labelled, and by what: folders, catalogues, copies and damaged files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from labelled_photos import write_products

from builder.labelled import find_labelled, read_labelled, tier_of
from calibration.photos.material import tier_of as tier_of_calibration
from edge.build_folder import InputSpec
from edge.errors import InputError

SPEC = InputSpec(height_px=16, width_px=16, resize="stretch")


def test_a_folder_is_a_product(tmp_path: Path) -> None:
    found = find_labelled(write_products(tmp_path / "photos", 3, 4), 100, 0)
    assert found is not None
    assert found.skus == ("p000", "p001", "p002")
    assert [path.parent.name for path in found.paths] == [found.skus[label] for label in found.labels]
    crops = np.concatenate(list(read_labelled(found, SPEC)))
    assert crops.shape == (12, 16, 16, 3)


def test_of_a_catalogue_all_photos_count_and_reference_photos_set_the_tier(tmp_path: Path) -> None:
    for seed, (role, photos) in enumerate((("reference", 3), ("validation", 6), ("test", 2))):
        write_products(tmp_path / "catalogue" / role, 2, photos, seed=seed)
    write_products(tmp_path / "catalogue" / "unknown", 1, 4, seed=9)
    found = find_labelled(tmp_path / "catalogue", 100, 0)
    assert found is not None
    assert (len(found.paths), found.tiers) == (22, ("tail", "tail"))


@pytest.mark.parametrize("photos", range(1, 15))
def test_tiers_are_those_of_calibration(photos: int) -> None:
    assert tier_of_calibration(photos).endswith(tier_of(photos))


def test_copies_damaged_files_and_lone_photos_do_not_count(tmp_path: Path) -> None:
    folder = write_products(tmp_path / "photos", 3, 3)
    shutil.copy(folder / "p000" / "0.png", folder / "p001" / "copy.png")
    (folder / "p001" / "damaged.png").write_bytes(b"no picture")
    (folder / "lone").mkdir()
    (folder / "p002" / "0.png").rename(folder / "lone" / "0.png")
    found = find_labelled(folder, 100, 0)
    assert found is not None
    assert found.skus == ("p000", "p001", "p002")
    assert (len(found.paths), found.left_out) == (8, 3)


def test_where_photos_are_too_many_products_are_drawn_with_all_their_photos(tmp_path: Path) -> None:
    folder = write_products(tmp_path / "photos", 10, 4)
    found = find_labelled(folder, 17, 0)
    assert found is not None
    assert np.bincount(found.labels).tolist() == [4, 4, 4, 4]
    other = find_labelled(folder, 17, 1)
    assert other is not None
    assert other.skus != found.skus


def test_photos_without_folders_have_no_labels(tmp_path: Path) -> None:
    folder = write_products(tmp_path / "photos", 1, 4)
    assert find_labelled(folder, 100, 0) is None
    assert find_labelled(folder / "p000", 100, 0) is None
    with pytest.raises(InputError, match="not a folder"):
        find_labelled(tmp_path / "absent", 100, 0)


def test_a_photo_that_goes_away_meanwhile_is_named(tmp_path: Path) -> None:
    found = find_labelled(write_products(tmp_path / "photos", 2, 3), 100, 0)
    assert found is not None
    found.paths[3].unlink()
    with pytest.raises(InputError, match=r"p001/0\.png: can no longer be read"):
        list(read_labelled(found, SPEC))
