from __future__ import annotations

from pathlib import Path

import pytest

from calibration.photos.catalogue import Photo
from calibration.photos.fingerprint import fingerprint
from edge.errors import CatalogueError


def photo(folder: Path, role: str, label: str, name: str, data: bytes) -> Photo:
    path = folder / role / label / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Photo(path, role, label)


def quiet(done: int) -> None:
    assert done == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [("reference", "validation"), ("reference", "test"), ("validation", "test"), ("validation", "unknown")],
)
def test_a_photo_with_two_roles_is_refused(tmp_path: Path, first: str, second: str) -> None:
    photos = [photo(tmp_path, first, "a", "1.jpg", b"same"), photo(tmp_path, second, "b", "2.jpg", b"same")]
    with pytest.raises(CatalogueError, match=rf"2\.jpg: the same picture as .*1\.jpg \(1 such {second} photos\)"):
        fingerprint(photos, 2, quiet)


def test_copies_count_once_and_disputed_photos_are_left_out(tmp_path: Path) -> None:
    photos = [
        photo(tmp_path, "reference", "a", "1.jpg", b"pack"),
        photo(tmp_path, "reference", "b", "1.jpg", b"pack"),  # one picture for two sizes stays with both
        photo(tmp_path, "validation", "a", "1.jpg", b"one"),
        photo(tmp_path, "validation", "a", "2.jpg", b"one"),  # a copy
        photo(tmp_path, "validation", "a", "3.jpg", b"two"),
        photo(tmp_path, "validation", "b", "3.jpg", b"two"),  # one of the two labels is wrong
    ]
    found = fingerprint(photos, 2, quiet)
    assert [(p.role, p.label, p.path.name) for p in found.photos] == [
        ("reference", "a", "1.jpg"),
        ("reference", "b", "1.jpg"),
        ("validation", "a", "1.jpg"),
    ]
    assert len(found.digests) == 3
    assert len(found.warnings) == 2


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    photos = [photo(tmp_path, "reference", "a", "1.jpg", b"x"), photo(tmp_path, "reference", "a", "2.jpg", b"")]
    gone = Photo(tmp_path / "gone.jpg", "reference", "a")
    found = fingerprint([*photos, gone], 2, quiet)
    assert found.unreadable == (photos[1].path, gone.path)
