"""One file, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import InputError, PublishError
from edge.writing import whole_file


def test_the_file_appears_at_the_end_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with whole_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_content_and_no_litter(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(error), whole_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with whole_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("place", ["folder", "missing/out.jsonl", "file/out.jsonl", "loop"])
def test_a_wrong_place_is_the_persons_mistake(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="choose another"), whole_file(tmp_path / place):
        pass


def test_a_full_disk_is_the_machines_failure_and_the_old_file_stands(small_disk: Path) -> None:
    path = small_disk / "out.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(PublishError, match="No space left"), whole_file(path) as file:
        for _ in range(40):
            file.write(bytes(64 * 1024))
    assert path.read_bytes() == b"old"
    assert [p.name for p in small_disk.iterdir()] == ["out.jsonl"]
