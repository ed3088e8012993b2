"""`edge-forecast` and `edge-plan` from pictures to pages, with a network of three nodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from calibration_worlds import picture, save, write_catalogue, write_tiny_build

from calibration.cli import calibrate
from calibration.growth import forecast, forecast_cli, plan_cli
from calibration.space.head_graph import cut_head
from edge.build_folder import read_build
from edge.bundle import read_bundle
from edge.engine_row import split_rows
from edge.engines import EngineSpec, open_engine
from edge.errors import BundleError

OPTIONS = ["--threads", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with build, shop, bundle and the cache that the calibration filled."""
    folder = tmp_path_factory.mktemp("made")
    build = write_tiny_build(folder / "build")
    shop = write_catalogue(folder / "shop", products=12)
    limits = ["--accept-error", "0.3", "--near-unknown", "0.9", "--dimension", "16", "--prototypes", "2"]
    places = ["--build", str(build), "--catalogue", str(shop), "--out", str(folder / "bundle")]
    assert calibrate([*places, *limits, *OPTIONS, "--cache", str(folder / "cache")]) == 0
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "FRACTIONS", ((0.5, 2),))
    monkeypatch.setattr(forecast, "WHOLES", 1)
    monkeypatch.setattr(forecast, "RICH_PHOTOS", 500)


def arguments(made: Path, out: Path, *more: str) -> list[str]:
    places = ["--bundle", str(made / "bundle"), "--catalogue", str(made / "shop"), "--out", str(out)]
    return [*places, *OPTIONS, *more]


def test_the_graph_cut_back_gives_the_features_of_the_build(made: Path, tmp_path: Path) -> None:
    build, bundle = read_build(made / "build"), read_bundle(made / "bundle")
    head = cut_head(bundle.graph, tmp_path / "cut.onnx")
    crops = bundle.golden.crops
    with (
        open_engine("onnxruntime", build.graph, EngineSpec()) as whole,
        open_engine("onnxruntime", tmp_path / "cut.onnx", EngineSpec()) as cut,
    ):
        features = cut.embed(crops)
        np.testing.assert_array_equal(features, whole.embed(crops))
    raw = (features - head.mean) @ head.projection
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, split_rows(bundle.golden.rows)[0], atol=1e-5)


def test_a_graph_without_a_head_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected the graph of a bundle"):
        cut_head(read_build(made / "build").graph, tmp_path / "cut.onnx")
    (tmp_path / "noise").write_bytes(b"noise")
    with pytest.raises(BundleError, match="not an ONNX graph"):
        cut_head(tmp_path / "noise", tmp_path / "cut.onnx")


def test_forecast_from_the_cache_of_a_calibration(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = Path(__file__).parents[3] / "configs" / "devices" / "orin-nano-4gb.yaml"
    monkeypatch.setattr("edge.ports.Engine.embed", _no_embedding)
    more = ["--cache", str(made / "cache"), "--device", str(device)]
    assert forecast_cli.main(arguments(made, tmp_path / "out", *more)) == 0
    values = json.loads((tmp_path / "out" / "forecast.json").read_text())
    assert [one["products"] for one in values["ahead"]] == [18, 24]
    assert values["now"]["measured_on"] == "test"
    assert values["room"]["full_at"] > 1000
    for one in values["ahead"]:
        assert one["shares"]["accept"]["low"] <= one["shares"]["accept"]["value"] <= one["shares"]["accept"]["high"]
    page = (tmp_path / "out" / "forecast.html").read_text()
    assert "full at" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "forecast.html" in capsys.readouterr().out


def test_plan_finds_the_look_alike(made: Path, tmp_path: Path) -> None:
    new = write_new(tmp_path / "new", {"new-0": 5, "new-1": 700})
    assert plan_cli.main(arguments(made, tmp_path / "out", "--new", str(new))) == 0
    values = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert values["endangered"][0]["product"]["sku"] == "sku-0005"
    assert values["endangered"][0]["rival"]["sku"] == "new-0"
    assert len(values["endangered"]) == 12
    assert {one["product"]["sku"] for one in values["newcomers"] if one["needs"]} == {"new-0", "new-1"}
    page = (tmp_path / "out" / "plan.html").read_text()
    assert page.count("data:image/jpeg") >= 2
    assert str(tmp_path) not in page


@pytest.mark.parametrize(
    ("spoil", "words"),
    [("enrolled", "are in"), ("bundle", "lacks 1 of the bundle's 12 products"), ("leak", "the same picture")],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str, words: str
) -> None:
    new = write_new(tmp_path / "new", {"sku-0003" if spoil == "enrolled" else "new-0": 5})
    shop = made / "shop"
    if spoil == "leak":
        source = next((shop / "validation" / "sku-0001").iterdir())
        (new / "reference" / "new-0" / "copy.png").write_bytes(source.read_bytes())
    if spoil == "bundle":
        shop = write_catalogue(tmp_path / "shop", products=11)
    places = ["--bundle", str(made / "bundle"), "--catalogue", str(shop), "--new", str(new)]
    assert plan_cli.main([*places, *OPTIONS, "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message
    assert not (tmp_path / "out").exists()


def test_the_graph_on_disk_is_untouched(made: Path, tmp_path: Path) -> None:
    before = read_bundle(made / "bundle").id
    cut_head(made / "bundle" / "engine.onnx", tmp_path / "cut.onnx")
    assert read_bundle(made / "bundle").id == before
    assert [output.name for output in onnx.load(tmp_path / "cut.onnx").graph.output] == ["features"]


def write_new(folder: Path, patterns: dict[str, int]) -> Path:
    for number, (sku, pattern) in enumerate(patterns.items()):
        for shot in range(3):
            save(folder / "reference" / sku / f"{shot}.png", picture(pattern, 9000 + 10 * number + shot))
    rows = ["sku,name,category,barcode,status", *(f"{sku},New,food,,new" for sku in patterns)]
    (folder / "skus.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def _no_embedding(*_: object) -> None:
    raise AssertionError("a photo was embedded although the cache holds it")
