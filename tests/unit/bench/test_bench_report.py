from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bench.machine import machine
from edge.bench.report import Figure, at_least, at_most, check_writable, gate, show, write
from edge.errors import GateError, InputError


def test_a_bar_is_reached_at_its_very_value() -> None:
    assert at_most("p99", 2.0, "ms", 2.0).passed is True
    assert at_most("p99", 2.001, "ms", 2.0).passed is False
    assert at_least("ratio", 0.9, "", 0.9).passed is True
    assert at_least("ratio", 0.899, "", 0.9).passed is False


def test_a_figure_that_is_no_number_passes_nothing() -> None:
    nan = float("nan")
    assert (at_most("x", nan, "", 1.0).passed, at_least("x", nan, "", 1.0).passed) == (False, False)


def test_the_gate_names_what_was_missed() -> None:
    gate([Figure("speed", 9.0, "/s"), at_most("p99", 1.0, "ms", 2.0)])
    with pytest.raises(GateError, match=r"1 of 2 bars missed: ratio is 0\.50  \(bar >= 0\.9\)"):
        gate([Figure("speed", 9.0, "/s"), at_most("p99", 1.0, "ms", 2.0), at_least("ratio", 0.5, "", 0.9)])


def test_the_table_shows_every_figure_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [Figure("speed", 12_345.6, "/s"), at_most("p99", 1.5, "ms", 2.0), at_least("ratio", 0.0123, "", 0.9)]
    show("edge-bench", figures, replace(machine(), load_before=0.0))
    _, head, *rows, where = (row.split() for row in capsys.readouterr().out.splitlines())
    assert head == ["what", "figure", "unit", "bar"]
    assert rows == [
        ["speed", "12,346", "/s"],
        ["p99", "1.50", "ms", "<=", "2", "ms", "pass"],
        ["ratio", "0.0123", ">=", "0.9", "FAIL"],
    ]
    assert "cores," in where


def test_a_busy_machine_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    show("edge-bench", [], replace(machine(), load_before=0.6, cores=2))
    show("edge-bench", [], replace(machine(), load_before=0.5, cores=2))
    assert capsys.readouterr().out.count("the machine was busy") == 1


def test_the_file_holds_machine_and_figures(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    write(out, "lookup", {"subject": "x"}, [at_most("p99", 1.5, "ms", 2.0), Figure("q", float("nan"), "")], machine())
    content = json.loads(out.read_text())
    assert (content["command"], content["subject"]) == ("lookup", "x")
    assert content["figures"][0] == {"name": "p99", "value": 1.5, "unit": "ms", "bar": "<= 2 ms", "passed": True}
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["packages"]["numpy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json"]


def test_a_file_that_cannot_be_written_is_refused_before_the_measurement(tmp_path: Path) -> None:
    check_writable(None)
    check_writable(tmp_path / "bench.json")
    for bad in (tmp_path, tmp_path / "nowhere" / "bench.json"):
        with pytest.raises(InputError, match="--out"):
            check_writable(bad)
