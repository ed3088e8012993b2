from __future__ import annotations

import json
from pathlib import Path

import pytest
import samples

from edge.bench import cli
from edge.bench.cli import main
from edge.capture.stills import write_still


@pytest.fixture
def cart(tmp_path: Path) -> Path:
    samples.write_sample_bundle(tmp_path / "bundle")
    (tmp_path / "photos").mkdir()
    for number in range(6):
        write_still(tmp_path / "photos" / f"{number}.png", samples.product(number))
    return write_config(tmp_path, tmp_path / "photos")


def write_config(folder: Path, source: Path | str) -> Path:
    path = folder / "cart.yaml"
    path.write_text(
        f"""\
device_id: cart-0001
bundle: {folder / "bundle"}
cameras:
  - id: basket
    source: {source}
publish:
  decisions: tcp://127.0.0.1:5556
""",
        encoding="utf-8",
    )
    return path


def test_pipeline_measures_the_real_daemon(cart: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    assert main(["pipeline", "--config", str(cart), "--frames", "60", "--rounds", "2", "--out", str(out)]) == 0
    content = json.loads(out.read_text())
    figures = {figure["name"]: figure for figure in content["figures"]}
    assert [one["decisions"] for one in content["rounds"]] == [60, 60]
    assert figures["daemon"]["value"] > 0
    assert figures["latency p50"]["value"] > figures["engine p50"]["value"] > 0
    assert figures["engine p99 / p50"]["value"] >= 1
    assert figures["processes"]["value"] >= 2  # the daemon and its camera
    assert 10 < figures["PSS of all processes, peak"]["value"] < figures["RSS of all processes, peak"]["value"]
    barred = {name for name, figure in figures.items() if figure["passed"] is not None}
    assert barred == {
        "daemon / bare engine",
        "first decision after start",
        "latency p50 - engine p50",
        "latency p99 / p50",
        "PSS of all processes, peak",
    }
    assert "first decision after start" in capsys.readouterr().out


def test_a_missed_bar_fails_only_with_the_gate(
    cart: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "MAX_PSS_MIB", 1.0)
    monkeypatch.setattr(cli, "MAX_FIRST_DECISION_S", 1e6)  # however busy the machine is
    command = ["memory", "--config", str(cart), "--frames", "50"]
    assert main(command) == 0
    assert main([*command, "--gate"]) == 3
    out, err = capsys.readouterr()
    assert out.count("FAIL") == 2
    assert "1 of 2 bars missed: PSS of all processes, peak is" in err


def test_lookup_prints_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lookup.json"
    sizes = ["--skus", "20", "--prototypes", "2", "--dimension", "8", "--queries", "10"]
    assert main(["lookup", *sizes, "--out", str(out), "--gate"]) == 0
    assert "query p50" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["subject"] == f"20 products x 2 prototypes x 8 dimensions, {content['dots']}"
    assert content["dots"] in {"numpy", "numkong"}


def test_decide_holds_a_decision_to_its_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "MAX_DECISION_MS", 1e6)
    out = tmp_path / "decide.json"
    command = ["decide", "--skus", "90", "--prototypes", "2", "--dimension", "16", "--decisions", "200", "--gate"]
    assert main([*command, "--out", str(out)]) == 0
    content = json.loads(out.read_text())
    assert content["subject"].startswith("90 products x 2 prototypes x 16 dimensions, num")
    assert {figure["name"] for figure in content["figures"] if figure["bar"]} == {
        "decision p50",
        "memory beyond the engine",
    }
    assert sum(content["routes"].values()) == 250  # those of the warm-up too
    monkeypatch.setattr(cli, "MAX_BEYOND_ENGINE_MIB", 0.01)
    assert main(command) == 3
    assert "1 of 2 bars missed: memory beyond the engine is" in capsys.readouterr().err


def test_a_daemon_that_cannot_run_ends_with_its_last_words(
    cart: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, tmp_path / "nowhere")
    assert main(["memory", "--config", str(config), "--frames", "50"]) == 1
    err = capsys.readouterr().err
    assert "edge-daemon ended with exit code" in err
    assert "nowhere" in err


def test_a_stand_in_for_the_engine_is_not_measured(
    cart: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples.write_sample_bundle(tmp_path / "bundle", engine="tensorrt")
    cart.write_text(cart.read_text() + "engine: {fallback: onnxruntime}\n")
    assert main(["pipeline", "--config", str(cart), "--frames", "60", "--out", str(tmp_path / "bench.json")]) == 1
    assert "no such plan" in capsys.readouterr().err


def test_a_live_camera_has_no_throughput(cart: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, "/dev/video0")
    assert main(["pipeline", "--config", str(config)]) == 2
    assert "its source is live" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pipeline", "memory"])
def test_a_configuration_that_is_not_there_ends_with_2(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--config", str(tmp_path / "no.yaml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_output_that_cannot_be_written_ends_with_2_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lookup", "--out", str(tmp_path / "nowhere" / "x.json")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "--out" in err


def test_a_table_that_no_device_holds_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("lookup", "decide"):
        assert main([command, "--skus", "10000000", "--prototypes", "1", "--dimension", "256"]) == 2
        assert "a table of 2,560,000,000 values, expected at most" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["speed"],
        ["pipeline"],
        ["lookup", "--skus", "1"],
        ["lookup", "--queries", "-5"],
        ["decide", "--decisions", "9"],
        ["memory", "--config", "c.yaml", "--frames", "ten"],
        ["memory", "--config", "c.yaml", "--frames", "1"],
    ],
)
def test_bad_options_end_with_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("command", [[], ["pipeline"], ["memory"], ["lookup"], ["decide"]])
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert f"example:\n  {' '.join(['edge-bench', *command])}" in capsys.readouterr().out
