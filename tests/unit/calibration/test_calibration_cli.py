"""`edge-calibrate` from pictures to a bundle, with a network of three nodes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from calibration_worlds import picture, save, sku, write_catalogue, write_tiny_build

from calibration.cli import calibrate
from edge.bundle import read_bundle
from edge.engines import EngineSpec, open_engine
from edge.errors import BundleError
from edge.pipeline import Pipeline

OPTIONS = ["--threads", "1", "--dimension", "16", "--prototypes", "2"]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_build(tmp_path_factory.mktemp("made") / "build")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalogue(tmp_path_factory.mktemp("shop"), products=10)


@pytest.fixture(scope="module")
def bundle(build: Path, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "bundle"
    assert run(build, shop, out, "--accept-error", "0.3", "--near-unknown", "0.9") == 0
    return out


def run(build: Path, shop: Path, out: Path, *more: str) -> int:
    return calibrate(["--build", str(build), "--catalogue", str(shop), "--out", str(out), *OPTIONS, *more])


def test_bundle_decides_about_pictures(bundle: Path) -> None:
    found = read_bundle(bundle, "onnxruntime")
    assert [c.sku for c in found.classes] == [sku(n) for n in range(10)]
    assert found.classes[0].name == "Product, 0"
    assert found.info.promise["accept_error"] == 0.3
    assert len(found.golden.crops) == 8
    with open_engine(found.info.engine, found.graph, EngineSpec()) as engine:
        np.testing.assert_allclose(engine.embed(found.golden.crops), found.golden.rows, atol=1e-5)
        decisions = Pipeline(found, engine).decide([picture(n, 5000 + n) for n in range(10)])
    assert [d.sku for d in decisions] == [sku(n) for n in range(10)]


@pytest.mark.parametrize("name", ["engine.onnx", "table.npz", "rules.npz", "classes.json", "golden.npz", "report.json"])
def test_one_flipped_byte_is_refused_by_name(bundle: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(bytes(data))
    with pytest.raises(BundleError, match=name):
        read_bundle(copy)


def test_order_of_rows_and_a_cache_change_nothing(build: Path, shop: Path, bundle: Path, tmp_path: Path) -> None:
    turned = tmp_path / "shop"
    shutil.copytree(shop, turned)
    header, *rows = (turned / "skus.csv").read_text().splitlines()
    (turned / "skus.csv").write_text("\n".join([header, *reversed(rows)]))
    options = ["--accept-error", "0.3", "--near-unknown", "0.9", "--cache", str(tmp_path / "cache")]
    for out in ("first", "bundle"):
        assert run(build, turned, tmp_path / out, *options) == 0
    assert read_bundle(tmp_path / "bundle").id == read_bundle(bundle).id


def test_every_photo_twice_changes_nothing(build: Path, shop: Path, bundle: Path, tmp_path: Path) -> None:
    """A copy says nothing new, under whatever name it lies: each picture counts once."""
    twice = tmp_path / "twice"
    shutil.copytree(shop, twice)
    for path in [path for path in twice.rglob("*") if path.suffix in (".jpg", ".png")]:
        shutil.copy(path, path.with_name(f"zz-{path.name}"))
    assert run(build, twice, tmp_path / "bundle", "--accept-error", "0.3", "--near-unknown", "0.9") == 0
    for name in ("engine.onnx", "table.npz", "rules.npz", "classes.json"):
        assert (tmp_path / "bundle" / name).read_bytes() == (bundle / name).read_bytes(), name


def test_report_is_complete_and_needs_nothing_else(bundle: Path) -> None:
    values = json.loads((bundle / "report.json").read_bytes())
    assert values["findings"]["measured_on"] == "test"
    assert {figure["detection"]["kind"] for figure in values["findings"]["unknown"]} == {"far", "siblings"}
    assert values["catalogue"]["products"] == 10
    text = (bundle / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    for forbidden in ("http:", "https:", "src=", "href=", "<script", "url(", "@import"):
        assert forbidden not in text
    for wanted in (
        "Forecast",
        "Certificate",
        "siblings",
        "not testable",
        "the nearest ",
        "twin pairs",
        "Sizes and limits",
    ):
        assert wanted.lower() in text.lower()


class Page(HTMLParser):
    """Checks that every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002  # the parser's own signature
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_terminal_ends_with_the_report(
    build: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(build, shop, tmp_path / "bundle", "--accept-error", "0.001") == 0
    said = capsys.readouterr()
    assert said.out.rstrip().endswith("report.html")
    assert "NOTHING" in said.out
    assert "2302" in said.out  # clean photos for 0.1 % at 90 %
    values = json.loads((tmp_path / "bundle" / "report.json").read_bytes())
    assert not values["promise"]["certified"]
    assert values["findings"]["outcome"]["shares"]["accept"] == 0
    assert "no product is ever accepted" in (tmp_path / "bundle" / "report.html").read_text()
    assert np.isinf(read_bundle(tmp_path / "bundle").rules.cuts.accept_confidence).all()


def test_names_from_the_catalogue_are_escaped_and_what_is_left_out_is_named(
    build: Path, shop: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "shop"
    shutil.copytree(shop, odd)
    with (odd / "skus.csv").open("a") as file:
        file.write("lost&found,<b>Lost</b>,food,,new\nblind,Blind,food,,new\n")
    (odd / "reference" / "blind").mkdir()
    (odd / "reference" / "blind" / "1.jpg").write_bytes(b"no picture")
    (odd / "reference" / "<i>").mkdir()
    assert run(build, odd, tmp_path / "bundle") == 0
    values = json.loads((tmp_path / "bundle" / "report.json").read_bytes())
    assert values["notes"]["left_out"]["first"] == ["blind", "lost&found"]
    assert values["notes"]["unreadable"]["first"] == ["reference/blind/1.jpg"]
    assert len(read_bundle(tmp_path / "bundle").classes) == 10
    text = (tmp_path / "bundle" / "report.html").read_text()
    assert "lost&amp;found" in text
    assert "<i>" not in text
    assert str(tmp_path) not in text


def leak(shop: Path) -> None:
    shutil.copy(shop / "reference" / sku(0) / "00.png", shop / "validation" / sku(0) / "99.png")


def bad_status(shop: Path) -> None:
    path = shop / "skus.csv"
    path.write_text(path.read_text().replace("active", "sold", 1))


def all_blind(shop: Path) -> None:
    for index, path in enumerate(sorted((shop / "reference").glob("*/*"))):
        path.write_bytes(b"no picture %d" % index)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(leak, "the same picture as"), (bad_status, "status 'sold'"), (all_blind, "no reference photo could be read")],
)
def test_bad_catalogue_ends_with_one_line(
    build: Path,
    shop: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    said: str,
) -> None:
    shutil.copytree(shop, tmp_path / "shop")
    spoil(tmp_path / "shop")
    assert run(build, tmp_path / "shop", tmp_path / "bundle") == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert said in error[-1]
    assert len([line for line in error if "error:" in line]) == 1
    assert not (tmp_path / "bundle").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"shop"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--accept-error", "0"], "--accept-error is 0.0"),
        (["--accept-error", "nan"], "--accept-error is nan"),
        (["--certainty", "1.5"], "--certainty is 1.5"),
        (["--prototypes", "0"], "--prototypes is 0"),
        (["--threads", "-1"], "--threads is -1"),
        (["--mix", "weight"], "no column `weight`"),
    ],
)
def test_bad_options(
    build: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert run(build, shop, tmp_path / "bundle", *options) == 2
    assert said in capsys.readouterr().err


def test_unknown_option_and_missing_folders(
    build: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(build, shop, tmp_path / "bundle", "--what")
    assert caught.value.code == 2
    assert run(tmp_path / "none", shop, tmp_path / "bundle") == 2
    assert "manifest.json" in capsys.readouterr().err
    assert run(build, tmp_path / "none", tmp_path / "bundle") == 2
    assert "skus.csv" in capsys.readouterr().err


def test_a_foreign_folder_is_refused_before_any_work(build: Path, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert run(build, shop, tmp_path / "mine") == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
    assert run(build, shop, build) == 2  # a build is sealed too, and is not a bundle


def test_an_old_bundle_survives_a_failure(build: Path, shop: Path, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    before = digest(tmp_path / "bundle")
    shutil.copytree(shop, tmp_path / "shop")
    leak(tmp_path / "shop")
    assert run(build, tmp_path / "shop", tmp_path / "bundle") == 2
    assert digest(tmp_path / "bundle") == before


def digest(folder: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()


def test_no_validation_and_one_product(build: Path, tmp_path: Path) -> None:
    for number, products, photos in ((0, 3, (2, 0, 0)), (1, 1, (1, 1, 1))):
        shop = write_catalogue(tmp_path / f"shop{number}", products=products, photos=photos)
        assert run(build, shop, tmp_path / f"bundle{number}") == 0
        found = read_bundle(tmp_path / f"bundle{number}")
        assert np.isinf(found.rules.cuts.accept_confidence).all()


def test_sales_mix_is_named(build: Path, tmp_path: Path) -> None:
    shop = write_catalogue(tmp_path / "shop", products=4, extra="weight=2.5")
    assert run(build, shop, tmp_path / "bundle") == 0
    assert "weight column" in read_bundle(tmp_path / "bundle").info.promise["mix"]
    assert run(build, shop, tmp_path / "bundle", "--mix", "uniform") == 0
    assert "uniform" in read_bundle(tmp_path / "bundle").info.promise["mix"]


def test_large_and_grey_pictures_are_taken(build: Path, tmp_path: Path) -> None:
    shop = write_catalogue(tmp_path / "shop", products=2)
    save(shop / "reference" / sku(0) / "large.jpg", cv2.resize(picture(0, 77), (1500, 900)))
    save(shop / "validation" / sku(1) / "grey.png", picture(1, 78)[:, :, 0])
    assert run(build, shop, tmp_path / "bundle") == 0
