"""Key files: what is written is read again, by ZeroMQ's own reader too, and everything else is one clear error."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq.auth
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import InputError
from edge.keys.pair import check_name, fingerprint, key_text, make_pair, read_pair, read_public, write_new


def test_what_was_made_is_read_and_the_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)  # the worst one
    try:
        pair = make_pair("cart-1", tmp_path)
    finally:
        os.umask(old)
    assert read_pair(tmp_path / "cart-1.secret") == pair
    assert read_public(tmp_path / "cart-1.pub") == pair.public
    assert stat.S_IMODE((tmp_path / "cart-1.secret").stat().st_mode) == 0o600
    assert pair.secret.decode() not in (tmp_path / "cart-1.pub").read_text()
    assert "secret" not in repr(pair)
    assert make_pair("cart-2", tmp_path).public != pair.public


def test_zeromqs_own_reader_reads_the_files(tmp_path: Path) -> None:
    pair = make_pair("cart-1", tmp_path)
    assert zmq.auth.load_certificate(tmp_path / "cart-1.secret") == (pair.public, pair.secret)
    assert zmq.auth.load_certificate(tmp_path / "cart-1.pub") == (pair.public, None)


def test_files_of_zeromqs_own_writer_are_read(tmp_path: Path) -> None:
    public, secret = map(Path, zmq.auth.create_certificates(tmp_path, "till", {"place": "door"}))
    secret.chmod(0o600)
    assert read_pair(secret).public == read_public(public)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    pair = make_pair("cart-1", tmp_path)
    with pytest.raises(InputError, match="never written over"):
        make_pair("cart-1", tmp_path)
    (tmp_path / "cart-1.secret").unlink()
    with pytest.raises(InputError, match="never written over"):
        make_pair("cart-1", tmp_path)
    assert read_public(tmp_path / "cart-1.pub") == pair.public
    assert not (tmp_path / "cart-1.secret").exists()


def test_a_link_in_the_place_of_a_key_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "cart-1.secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is there already"):
        make_pair("cart-1", tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o601])
def test_a_secret_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    make_pair("cart-1", tmp_path)
    (tmp_path / "cart-1.secret").chmod(mode)
    with pytest.raises(InputError, match=rf"cart-1\.secret: mode {mode:04o}.*run chmod 600"):
        read_pair(tmp_path / "cart-1.secret")


def test_halves_of_two_pairs_are_refused(tmp_path: Path) -> None:
    one, two = make_pair("one", tmp_path), make_pair("two", tmp_path)
    write_new(tmp_path / "mixed.secret", key_text(one.public, two.secret), 0o600)
    with pytest.raises(InputError, match="do not belong together"):
        read_pair(tmp_path / "mixed.secret")


def test_a_public_key_is_no_secret_and_a_secret_is_not_handed_round(tmp_path: Path) -> None:
    make_pair("cart-1", tmp_path)
    (tmp_path / "cart-1.pub").chmod(0o600)
    with pytest.raises(InputError, match="holds a public key alone"):
        read_pair(tmp_path / "cart-1.pub")
    with pytest.raises(InputError, match="is a secret key, which nobody else may have"):
        read_public(tmp_path / "cart-1.secret")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "curve\n",
        "public-key = x\n",
        'curve\n    public-key = "short"\n',
        'curve\n    public-key = "' + "#" * 40 + '"\n',  # more than 32 bytes can say
        'curve\n    public-key = "' + "a" * 40 + '"\n    public-key = "' + "a" * 40 + '"\n',
        'curve\n    public-key = "' + "ä" * 40 + '"\n',
        "x" * 5_000,
    ],
)
def test_a_file_that_holds_no_key_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.pub").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.pub") as caught:
        read_public(tmp_path / "a.pub")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_an_error_and_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pub")
    for name, words in (("none.pub", "no such file"), ("pipe.pub", "is no key file"), (".", "is no key file")):
        with pytest.raises(InputError, match=words):
            read_public(tmp_path / name)
    with pytest.raises(InputError, match="is no key file"):
        read_public(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a b", "-x", "ä", "x" * 65])
def test_a_name_that_no_file_should_have_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected letters"):
        check_name(name)


def test_a_full_disk_leaves_no_half_key(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes((1 << 20) - 8192))
    with pytest.raises(Exception, match="cannot be written"):
        for number in range(10):
            make_pair(f"cart-{number}", small_disk)
    for path in small_disk.glob("*.secret"):
        read_pair(path)
        assert path.with_suffix(".pub").exists()


def test_a_fingerprint_tells_keys_apart(tmp_path: Path) -> None:
    one, two = fingerprint(make_pair("one", tmp_path).public), fingerprint(make_pair("two", tmp_path).public)
    assert one != two
    assert [len(group) for group in one.split("-")] == [4] * 8


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 200), new=st.binary(max_size=5))
def test_a_mutated_key_is_the_key_another_key_or_an_error(tmp_path: Path, position: int, new: bytes) -> None:
    if not (tmp_path / "cart-1.secret").exists():
        make_pair("cart-1", tmp_path)
    good = (tmp_path / "cart-1.secret").read_bytes()
    (tmp_path / "mutated.secret").write_bytes(good[:position] + new + good[position + 1 :])
    (tmp_path / "mutated.secret").chmod(0o600)
    try:
        pair = read_pair(tmp_path / "mutated.secret")
    except InputError as error:
        assert "\n" not in str(error)
    else:  # of a pair both halves would have to change together
        assert pair.secret == read_pair(tmp_path / "cart-1.secret").secret
