"""`edge-keys`, as a person uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.keys.cli import main
from edge.keys.pair import fingerprint, read_pair, read_public


def said(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    return out + err


def test_make_allow_list_show_remove(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys, into = str(tmp_path / "keys"), str(tmp_path / "keys" / "subscribers")
    assert main(["make", "till-3", "--dir", keys]) == 0
    print_of = fingerprint(read_pair(tmp_path / "keys" / "till-3.secret").public)
    assert print_of in said(capsys)
    assert main(["allow", f"{keys}/till-3.pub", "--in", into]) == 0
    assert read_public(Path(into) / "till-3.pub") == read_public(Path(keys) / "till-3.pub")
    assert main(["list", into]) == 0
    assert main(["show", f"{keys}/till-3.secret"]) == 0
    assert said(capsys).count(print_of) == 3
    assert main(["remove", "till-3", "--in", into]) == 0
    assert main(["list", into]) == 0
    assert print_of not in said(capsys)


def test_a_secret_is_never_let_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["make", "till-3", "--dir", str(tmp_path)])
    assert main(["allow", str(tmp_path / "till-3.secret"), "--in", str(tmp_path / "list")]) == 2
    assert "is a secret key, which nobody else may have" in said(capsys)
    assert not (tmp_path / "list").exists()


def test_two_keys_of_one_name_and_two_names_of_one_key_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = str(tmp_path / "list")
    for folder in ("a", "b"):
        main(["make", "till-3", "--dir", str(tmp_path / folder)])
    assert main(["allow", str(tmp_path / "a" / "till-3.pub"), "--in", into]) == 0
    assert main(["allow", str(tmp_path / "b" / "till-3.pub"), "--in", into]) == 2
    assert main(["allow", str(tmp_path / "a" / "till-3.pub"), "--in", into, "--name", "till-4"]) == 2
    text = said(capsys)
    assert "another key is let in as till-3" in text
    assert "this key is let in already, as till-3" in text
    assert main(["allow", str(tmp_path / "b" / "till-3.pub"), "--in", into, "--name", "till-4"]) == 0


def test_mistakes_end_in_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["make", "till-3", "--dir", str(tmp_path)])
    capsys.readouterr()
    for arguments, words in (
        (["make", "till-3", "--dir", str(tmp_path)], "never written over"),
        (["make", "a/b", "--dir", str(tmp_path)], "expected letters"),
        (["remove", "till-4", "--in", str(tmp_path)], "expected one of: till-3"),
        (["remove", "../till-3", "--in", str(tmp_path)], "expected letters"),
        (["list", str(tmp_path / "nowhere")], "no such folder"),
        (["show", str(tmp_path / "nowhere.pub")], "no such file"),
    ):
        assert main(arguments) == 2, arguments
        text = said(capsys)
        assert words in text
        assert text.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["break"], ["make"], ["allow", "x.pub"]])
def test_what_it_cannot_do_is_refused_with_a_hint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "--help" in said(capsys)
