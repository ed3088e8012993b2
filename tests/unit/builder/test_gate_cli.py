"""edge-build on labelled photos: what INT8 costs is measured before anything is sealed, mended where it can be."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from labelled_photos import write_products
from small_nets import hostile, mobile, with_outliers

from builder.cli import build

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
    assert "INT8 recognises fewer photos than float with 2 of 6 layers in float: all " in said
    assert "lost most: p0" in said
    assert not (tmp_path / "build").exists()
    assert _run(place, "hostile", tmp_path / "build", *more, "--labelled-photos", "0") == 0
    assert "nothing was recognised" in capsys.readouterr().err
