"""The list of who may come in follows its folder, and lets nobody in where it cannot be read."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from key_parts import allow, pairs
from zmq.utils import z85

from edge.errors import InputError
from edge.keys import allowed as allowed_module
from edge.keys.allowed import LOOK_NS, AllowList
from edge.keys.pair import KeyPair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "list").mkdir()
    return tmp_path / "list"


def name_of(listed: AllowList, pair: KeyPair, now_ns: int = 0) -> str | None:
    return listed.name_of(z85.decode(pair.public), now_ns)


def test_who_comes_and_goes_is_seen_at_once(tmp_path: Path, folder: Path) -> None:
    one, two = pairs(tmp_path, "one", "two")
    allow(one, folder)
    listed = AllowList(folder)
    assert (name_of(listed, one), name_of(listed, two), len(listed)) == ("one", None, 1)
    allow(two, folder)
    (folder / "one.pub").unlink()
    assert (name_of(listed, one, LOOK_NS), name_of(listed, two, LOOK_NS)) == (None, "two")


def test_a_file_written_in_place_is_seen_after_a_second(tmp_path: Path, folder: Path) -> None:
    one, two = pairs(tmp_path, "one", "two")
    allow(one, folder)
    listed = AllowList(folder)
    (folder / "one.pub").write_bytes((tmp_path / "keys" / "two.pub").read_bytes() + b"\n")  # the folder stays as it was
    assert name_of(listed, one, LOOK_NS) is None
    assert name_of(listed, two, LOOK_NS) == "one"


def test_between_looks_nothing_but_the_folder_is_asked(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pairs(tmp_path, "one", "two")
    allow(one, folder)
    listed = AllowList(folder)
    assert name_of(listed, one, LOOK_NS) == "one"
    looked: list[int] = []
    monkeypatch.setattr(AllowList, "_look", lambda _: looked.append(1) or [])
    for _ in range(1_000):
        assert name_of(listed, two, LOOK_NS + 1) is None
    assert looked == []


def test_a_damaged_file_is_an_error_at_the_start_and_lets_nobody_in_later(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pairs(tmp_path, "one", "two")
    allow(one, folder)
    listed = AllowList(folder)
    (folder / "two.pub").write_text("curve\n")
    with pytest.raises(InputError, match=r"two\.pub: holds no public key"):
        AllowList(folder)
    with caplog.at_level(logging.ERROR):
        for now_ns in (LOOK_NS, 2 * LOOK_NS, 3 * LOOK_NS):
            assert (name_of(listed, one, now_ns), name_of(listed, two, now_ns)) == ("one", None)
    assert caplog.text.count("it lets nobody in") == 1


def test_without_its_folder_it_lets_nobody_in(tmp_path: Path, folder: Path) -> None:
    (one,) = pairs(tmp_path, "one")
    allow(one, folder)
    listed = AllowList(folder)
    folder.rename(tmp_path / "away")
    for _ in range(3):
        with pytest.raises(InputError, match="No such file"):
            name_of(listed, one)
    (tmp_path / "away").rename(folder)
    assert name_of(listed, one, LOOK_NS) == "one"


def test_a_folder_that_everybody_may_write_to_is_refused(tmp_path: Path, folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(InputError, match="run chmod o-w"):
        AllowList(folder)


def test_a_file_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        AllowList(tmp_path / "file")


def test_too_many_keys_let_nobody_in(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowed_module, "MAX_KEYS", 3)
    made = pairs(tmp_path, "a", "b", "c", "d")
    for pair in made[:3]:
        allow(pair, folder)
    listed = AllowList(folder)
    allow(made[3], folder)
    with pytest.raises(InputError, match="more than 3 keys"):
        name_of(listed, made[0], LOOK_NS)
    assert name_of(listed, made[0], LOOK_NS + 1) is None
