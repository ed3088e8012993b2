"""Sealed folders: whole or not at all, and a changed byte anywhere is refused by name."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from pathlib import Path

import pytest

from edge.errors import BundleError, InputError
from edge.sealed import MANIFEST, _canonical, _identity, open_sealed, write_sealed


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


def test_a_link_to_the_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("v1")
    seal(tmp_path / "current")
    seal(tmp_path / "current", "two")
    assert (tmp_path / "current").is_symlink()
    assert open_sealed(tmp_path / "v1", "bundle", 1).file("a.txt").read_text() == "two"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["current", "v1"]


def test_what_a_person_put_beside_the_files_is_not_lost(tmp_path: Path) -> None:
    path = seal(tmp_path / "x")
    (path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt beside the bundle"):
        seal(path, "two")
    assert (path / "notes.txt").read_text() == "mine"


def test_what_a_killed_writer_left_is_swept_and_what_another_is_writing_is_not(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    dead, busy = tmp_path / f".x.{gone.pid}.tmp", tmp_path / ".x.1.tmp"
    for folder in (dead, busy, tmp_path / ".xx.1.tmp", tmp_path / ".x.notes.tmp"):
        folder.mkdir()
        (folder / "half").write_text("")
    held = os.open(busy, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        seal(tmp_path / "x")
    finally:
        os.close(held)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".x.1.tmp", ".x.notes.tmp", ".xx.1.tmp", "x"]


@pytest.mark.parametrize("name", ["x" * 300, "file/x", "loop"])
def test_a_place_that_cannot_be_is_the_persons_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError):
        seal(tmp_path / name)


@pytest.mark.parametrize("entry", ["no size", "a list", "a NUL", "no name"])
def test_a_manifest_that_is_sealed_and_senseless_is_refused(tmp_path: Path, entry: str) -> None:
    path = seal(tmp_path / "x")
    manifest = json.loads((path / MANIFEST).read_bytes())
    del manifest["id"]
    files = manifest["files"]
    change = {
        "no size": lambda: files["a.txt"].pop("size"),
        "a list": lambda: files.update({"a.txt": []}),
        "a NUL": lambda: files.update({"a\0": files.pop("a.txt")}),
        "no name": lambda: files.update({"": files.pop("a.txt")}),
    }
    change[entry]()
    (path / MANIFEST).write_bytes(_canonical({**manifest, "id": _identity(manifest)}))
    with pytest.raises(BundleError, match="bad file entry"):
        open_sealed(path, "bundle", 1)
