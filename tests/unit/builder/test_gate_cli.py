"""edge-build on labelled photos: what INT8 costs is measured before anything is sealed, mended where it can be."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from labelled_photos import write_products
from small_nets import hostile, mobile, with_outliers

from builder.cli import build
from edge.build_folder import read_build

DEVICE = Path(__file__).resolve().parents[3] / "configs" / "devices" / "x86-dev.yaml"
SIDECAR = "{color: rgb, mean: [127, 127, 127], std: [128, 128, 128], layout: nchw, resize: stretch}\n"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks and photos of 12 products."""
    folder = tmp_path_factory.mktemp("gate")
    for name, net in (("hostile", hostile()), ("outliers", with_outliers(factor=3000.0)), ("mobile", mobile())):
        onnx.save(net, folder / f"{name}.onnx")
        (folder / f"{name}.yaml").write_text(SIDECAR)
    write_products(folder / "photos", products=12, photos=8)
    return folder


def _run(place: Path, model: str, out: Path, *more: str) -> int:
    given = {"--model": place / f"{model}.onnx", "--images": place / "photos", "--device": DEVICE, "--out": out}
    return build([*(str(part) for pair in given.items() for part in pair), "--photos", "32", *more])


def test_a_build_that_int8_breaks_is_refused_with_the_products_that_lost_most(
    place: Path, tmp_path: Path, capsys: Capture
) -> None:
    more = ["--taps", "c5_relu", "--min-cosine", "0"]
    assert _run(place, "hostile", tmp_path / "build", *more) == 3
    said = capsys.readouterr().err.replace("\n", " ")
    assert "INT8 recognises fewer photos than float with 3 of 6 layers in float: all " in said
    assert "lost most: p0" in said
    assert not (tmp_path / "build").exists()
    assert _run(place, "hostile", tmp_path / "build", *more, "--labelled-photos", "0") == 0
    assert "nothing was recognised" in capsys.readouterr().err


def test_layers_stay_in_float_until_the_gate_passes(place: Path, tmp_path: Path, capsys: Capture) -> None:
    """INT8 loses most of what this network recognises; two layers in float bring it back."""
    more = ["--taps", "head_relu", "--min-cosine", "0"]
    assert _run(place, "outliers", tmp_path / "build", *more) == 0
    said = capsys.readouterr()
    report = read_build(tmp_path / "build").info.report
    assert [layer["layer"] for layer in report["kept_in_float"]["layers"]] == ["node_small", "node_large"]
    assert report["kept_in_float"]["cosine_without"] < 0.7
    assert report["kept_in_float"]["cosine"] > 0.9
    found = report["accuracy"]
    assert found["lines"][0]["name"] == "all"
    assert found["lines"][0]["photos"] == 96
    assert found["lines"][0]["float32"] - found["lines"][0]["int8"] < 0.05
    assert "labelled photos recognised" in said.out
    assert "2 of 4 layers stay in float (node_small, node_large)" in said.err.replace("\n", " ")


def test_what_is_measured_stands_in_the_build(place: Path, tmp_path: Path, capsys: Capture) -> None:
    assert _run(place, "mobile", tmp_path / "build") == 0
    found = read_build(tmp_path / "build").info.report["accuracy"]
    assert [line["name"] for line in found["lines"]] == ["all", "mid", "worst tenth"]
    assert found["lines"][0]["verdict"] == "not testable"
    assert found["lines"][0]["needs"] > 96
    assert found["per_sku"]["sku"] == [f"p{i:03d}" for i in range(12)]
    assert found["per_sku"]["photos"] == [8] * 12
    said = capsys.readouterr()
    assert "too few labelled photos to tell what INT8 costs: all (needs " in said.err
    assert "not testable" in said.out


def test_labelled_photos_may_lie_elsewhere_and_must_be_labelled(place: Path, tmp_path: Path, capsys: Capture) -> None:
    write_products(tmp_path / "catalogue" / "reference", products=3, photos=3)
    write_products(tmp_path / "catalogue" / "test", products=3, photos=2, seed=1)
    assert _run(place, "mobile", tmp_path / "build", "--labelled", str(tmp_path / "catalogue")) == 0
    assert read_build(tmp_path / "build").info.report["accuracy"]["lines"][1]["name"] == "tail"
    before = read_build(tmp_path / "build").id
    capsys.readouterr()
    assert _run(place, "mobile", tmp_path / "build", "--labelled", str(tmp_path / "catalogue" / "test" / "p000")) == 2
    assert "no sub-folder per product" in capsys.readouterr().err
    assert read_build(tmp_path / "build").id == before


def test_another_input_size_is_built_where_the_network_takes_it(place: Path, tmp_path: Path, capsys: Capture) -> None:
    assert _run(place, "mobile", tmp_path / "build", "--size", "48", "--labelled-photos", "0") == 0
    found = read_build(tmp_path / "build").info.input
    assert (found.height_px, found.width_px) == (48, 48)
    capsys.readouterr()
