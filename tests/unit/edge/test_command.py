"""How every command ends: the exit code, one line, and nothing half done."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from edge.command import Parser, run, whole_number
from edge.errors import CatalogueError, ConfigError, EngineError, GateError, ShelfedgeError


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("a"), 2), (CatalogueError("b"), 2), (GateError("c"), 3), (EngineError("d"), 1), (ValueError("e"), 1)],
)
def test_every_failure_is_one_line_with_its_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(_: Sequence[str]) -> int:
        raise error

    assert run("edge-x", main, []) == code
    said = capsys.readouterr().err
    assert said.startswith("edge-x: error: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_a_message_of_several_lines_is_told_on_one(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: Sequence[str]) -> int:
        raise ShelfedgeError("first\n  second")

    assert run("edge-x", main, []) == 1
    assert capsys.readouterr().err == "edge-x: error: first second\n"


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: Sequence[str]) -> int:
        raise KeyboardInterrupt

    assert run("edge-x", main, []) == 130
    assert capsys.readouterr().err == "edge-x: error: interrupted\n"


def test_bad_arguments_are_2_and_help_shows_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser("edge-x", "Do it.", "edge-x --n 3")
    parser.add_argument("--n", type=whole_number(1, 5))
    with pytest.raises(SystemExit) as bad:
        parser.parse_args(["--n", "6"])
    assert bad.value.code == 2
    assert "expected a whole number from 1 to 5" in capsys.readouterr().err
    with pytest.raises(SystemExit) as shown:
        parser.parse_args(["--help"])
    assert shown.value.code == 0
    assert "example:\n  edge-x --n 3" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "1.5", "0x3", "nan", "1" * 30, "-1", "٣"])
def test_what_is_no_whole_number_in_range_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        whole_number(0, 10)(text)


def test_sigterm_unwinds_and_ends_with_143() -> None:
    code = """
import sys, time
from edge.command import run
def main(argv):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("unwound", flush=True)
sys.exit(run("edge-x", main, []))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out, errors) == (143, "unwound\n", "edge-x: error: terminated\n")


def test_a_reader_that_went_away_is_no_error() -> None:
    code = """
import sys
from edge.command import run
def main(argv):
    for number in range(200_000):
        print(number)
    return 0
sys.exit(run("edge-x", main, []))
"""
    read, write = os.pipe()
    with subprocess.Popen([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True) as process:
        os.close(write)
        os.read(read, 10)
        os.close(read)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
