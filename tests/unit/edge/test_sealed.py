"""Sealed folders: whole or not at all, and a changed byte anywhere is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.errors import BundleError, InputError
from edge.sealed import MANIFEST, open_sealed, write_sealed


def seal(path: Path, text: str = "one") -> Path:
    with write_sealed(path, "bundle", 1, {"answer": 42}) as folder:
        (folder / "a.txt").write_text(text)
        (folder / "b.bin").write_bytes(bytes(range(256)))
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    sealed = open_sealed(seal(tmp_path / "x"), "bundle", 1)
    assert sealed.content == {"answer": 42}
    assert sealed.file("a.txt").read_text() == "one"
    assert sealed.id == open_sealed(seal(tmp_path / "y"), "bundle", 1).id, "equal content, equal id"
    assert sealed.id != open_sealed(seal(tmp_path / "z", "two"), "bundle", 1).id


def test_every_changed_byte_is_refused_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = seal(tmp_path / "x")
    for name in ("a.txt", "b.bin", MANIFEST):
        whole = (path / name).read_bytes()
        for position in range(0, len(whole), max(len(whole) // 40, 1)):
            changed = bytearray(whole)
            changed[position] ^= 1
            (path / name).write_bytes(changed)
            with pytest.raises(BundleError, match=name):
                open_sealed(path, "bundle", 1)
        for damaged in (whole[:-1], whole + b" ", b""):
            (path / name).write_bytes(damaged)
            with pytest.raises(BundleError, match=name):
                open_sealed(path, "bundle", 1)
        (path / name).unlink()
        with pytest.raises(BundleError, match=name):
            open_sealed(path, "bundle", 1)
        (path / name).write_bytes(whole)
    open_sealed(path, "bundle", 1)


def test_another_kind_or_schema_is_refused(tmp_path: Path) -> None:
    path = seal(tmp_path / "x")
    with pytest.raises(BundleError, match="kind bundle schema 1, expected kind build"):
        open_sealed(path, "build", 1)
    with pytest.raises(BundleError, match="schema 2"):
        open_sealed(path, "bundle", 2)


def test_a_failure_leaves_the_old_folder_and_no_litter(tmp_path: Path) -> None:
    path = seal(tmp_path / "x")
    before = open_sealed(path, "bundle", 1).id
    with pytest.raises(RuntimeError), write_sealed(path, "bundle", 1, {}) as folder:
        (folder / "a.txt").write_text("half")
        raise RuntimeError("power")
    assert open_sealed(path, "bundle", 1).id == before
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_sealed_folder_is_replaced_and_a_foreign_one_is_not(tmp_path: Path) -> None:
    path = seal(tmp_path / "x")
    seal(path, "two")
    assert open_sealed(path, "bundle", 1).file("a.txt").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter1.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists and is not a bundle"):
        seal(foreign)
    assert (foreign / "chapter1.txt").read_text() == "years of work"


def test_a_manifest_cannot_point_outside(tmp_path: Path) -> None:
    path = seal(tmp_path / "x")
    manifest = json.loads((path / MANIFEST).read_bytes())
    manifest["files"]["../secret"] = manifest["files"].pop("a.txt")
    (path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=MANIFEST):
        open_sealed(path, "bundle", 1)
