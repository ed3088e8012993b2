from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from builder.photos import in_batches, list_photos, read_photos
from edge.build_folder import InputSpec
from edge.errors import InputError
from edge.preprocess import fit

SPEC = InputSpec(height_px=16, width_px=24, resize="stretch")


def _folder(path: Path, **counts: int) -> Path:
    """One sub-folder per name; every photo is plain, its grey level telling its place."""
    level = 0
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(path / name / f"{number:02}.png"), np.full((20, 20, 3), level % 256, np.uint8))
            level += 1
    return path


def test_every_folder_gives_in_turn(tmp_path: Path) -> None:
    paths = list_photos(_folder(tmp_path, big=20, small=2, tiny=1), seed=0)
    assert len(paths) == 23
    assert sorted(path.parent.name for path in paths[:3]) == ["big", "small", "tiny"]
    assert sorted(path.parent.name for path in paths[3:5]) == ["big", "small"]


def test_the_seed_decides_and_nothing_else(tmp_path: Path) -> None:
    folder = _folder(tmp_path, a=10, b=10)
    assert list_photos(folder, seed=1) == list_photos(folder, seed=1)
    assert list_photos(folder, seed=1) != list_photos(folder, seed=2)


def test_other_files_are_not_photos(tmp_path: Path) -> None:
    folder = _folder(tmp_path, a=3)
    (folder / "a" / "notes.txt").write_text("no photo")
    (folder / "a" / "folder.png").mkdir()
    assert len(list_photos(folder, seed=0)) == 3


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_folder_without_photos_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="not a folder" if name == "absent" else "no photos"):
        list_photos(tmp_path / name, seed=0)


def test_photos_are_fitted_as_on_the_device(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    for number in range(8):
        cv2.imwrite(str(tmp_path / "a" / f"{number}.png"), image)
    photos = read_photos(tmp_path, list_photos(tmp_path, 0), SPEC, 8, lambda: None)
    np.testing.assert_array_equal(photos.ranges[0], fit(image, SPEC))


@pytest.mark.parametrize(
    ("present", "asked", "ranges", "held_out", "are_same"),
    [
        (60, 24, 24, 12, False),
        (30, 24, 20, 10, False),
        (24, 192, 16, 8, False),
        (12, 192, 12, 12, True),
        (60, 8, 8, 8, True),
    ],
)
def test_photos_are_held_out_where_there_are_enough(
    tmp_path: Path, present: int, asked: int, ranges: int, held_out: int, are_same: bool
) -> None:
    folder = _folder(tmp_path, a=present)
    seen: list[int] = []
    photos = read_photos(folder, list_photos(folder, 0), SPEC, asked, lambda: seen.append(1))
    assert (len(photos.ranges), len(photos.held_out), photos.are_same) == (ranges, held_out, are_same)
    shared = {int(crop[0, 0, 0]) for crop in photos.ranges} & {int(crop[0, 0, 0]) for crop in photos.held_out}
    assert bool(shared) == are_same
    assert len(seen) == (ranges if are_same and asked > present else ranges + held_out)


def test_unreadable_photos_are_named_and_others_take_their_place(tmp_path: Path) -> None:
    folder = _folder(tmp_path, a=12)
    for name, content in (("bad.jpg", b"\xff\xd8 cut short"), ("empty.png", b"")):
        (folder / "a" / name).write_bytes(content)
    photos = read_photos(folder, list_photos(folder, 0), SPEC, 192, lambda: None)
    assert len(photos.ranges) == 12
    assert {path.name for path in photos.unreadable} == {"bad.jpg", "empty.png"}


def test_fewer_than_eight_readable_photos_are_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path, a=7)
    (folder / "a" / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="7 readable photos of 8, expected at least 8"):
        read_photos(folder, list_photos(folder, 0), SPEC, 192, lambda: None)


def test_batches_hold_every_crop_once() -> None:
    crops = np.arange(19, dtype=np.uint8).reshape(19, 1, 1, 1).repeat(3, axis=3)
    batches = list(in_batches(crops))
    assert [len(batch) for batch in batches] == [2] * 9 + [1]
    np.testing.assert_array_equal(np.concatenate(batches), crops)
