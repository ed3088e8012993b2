"""`edge-readiness` from a bundle and pictures to the page, with a network of three nodes."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from calibration_worlds import sku, write_catalogue, write_tiny_build
from readiness_worlds import detector, with_report

from calibration.cli import calibrate
from calibration.readiness import cli
from calibration.readiness.footprint import Footprint, measure
from calibration.readiness.headroom import find_device
from edge.bundle import read_bundle
from edge.errors import EngineError

PRODUCTS = 32
CHECKS = ["samples", "distance", "change", "memory", "unknown", "spread", "confidence", "labels"]
QUICK = Footprint(80.0, 1.0, 10.0, 5.0, 100.0)


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "measure", lambda _: QUICK)  # one test runs the real one


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_build(tmp_path_factory.mktemp("made") / "build")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalogue(tmp_path_factory.mktemp("shop") / "shop", products=PRODUCTS, photos=(3, 5, 3))


@pytest.fixture(scope="module")
def bundle(build: Path, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated(build, shop, tmp_path_factory.mktemp("out") / "bundle")


def calibrated(build: Path, shop: Path, out: Path) -> Path:
    options = ["--threads", "1", "--prototypes", "2", "--accept-error", "0.3"]
    assert calibrate(["--build", str(build), "--catalogue", str(shop), "--out", str(out), *options]) == 0
    return out


def run(bundle: Path, shop: Path, out: Path, *more: str) -> int:
    return cli.main(["--bundle", str(bundle), "--catalogue", str(shop), "--out", str(out), "--threads", "1", *more])


def read(out: Path) -> dict[str, dict[str, object]]:
    return {check["key"]: check for check in json.loads((out / "readiness.json").read_bytes())["checks"]}


def test_eight_checks_json_and_a_page_that_needs_nothing(bundle: Path, shop: Path, tmp_path: Path) -> None:
    assert run(bundle, shop, tmp_path / "out") == 0
    checks = read(tmp_path / "out")
    assert list(checks) == CHECKS
    assert {key for key, check in checks.items() if check["verdict"] == "not testable"} == {
        "change",
        "unknown",
        "confidence",
    }
    assert all(check["needs"] for check in checks.values() if check["verdict"] == "not testable")
    values = json.loads((tmp_path / "out" / "readiness.json").read_bytes())
    assert [step["products"] for step in values["degradation"]] == [8, 16, 24, 32]
    assert [curve["tier"] for curve in values["risk_coverage"]] == ["all products", "tail"]
    text = (tmp_path / "out" / "readiness.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.pictures >= 2
    for forbidden in ("http:", "https:", "href=", "<script", "url(", "@import", str(tmp_path)):
        assert forbidden not in text
    for wanted in ("Nothing refused", "not testable", "500 photos", "Product, 0", "What to do"):
        assert wanted in text


class Page(HTMLParser):
    """Checks that every element that is opened is closed, in order, and that pictures are inside the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures += 1
            assert (dict(attrs)["src"] or "").startswith("data:image/jpeg;base64,")
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_check_that_fails_ends_with_3_and_the_report_is_there(bundle: Path, shop: Path, tmp_path: Path) -> None:
    history = tmp_path / "changes.csv"
    history.write_text("month,added,changed,removed\n2026-01,5,0,0\n2026-02,5,0,0\n2026-03,0,0,0\n")
    page = tmp_path / "page.html"
    assert run(bundle, shop, page, "--history", str(history)) == 3
    assert "Not ready: 1 of 8 checks refused" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_bytes())["failed"] == ["change"]
    assert run(bundle, shop, page, "--history", str(history), "--unknown-loop", "<b>the team</b>") == 0
    assert "&lt;b&gt;the team" in page.read_text()
    assert "<b>the team" not in page.read_text()


def test_the_detector_of_the_bundle_is_judged(bundle: Path, shop: Path, tmp_path: Path) -> None:
    good = with_report(bundle, tmp_path / "good", detector=detector())
    assert run(good, shop, tmp_path / "out") == 0
    assert read(tmp_path / "out")["unknown"]["verdict"] == "pass"
    poor = with_report(bundle, tmp_path / "poor", detector=detector(brands=0.4))
    assert run(poor, shop, tmp_path / "out") == 3
    odd = with_report(bundle, tmp_path / "odd", detector="energy")
    assert run(odd, shop, tmp_path / "out") == 2


def test_swapped_folders_are_shown(build: Path, shop: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "shop"
    shutil.copytree(shop, spoilt)
    first, second = (spoilt / "validation" / sku(n) for n in (4, 21))
    first.rename(tmp_path / "kept")
    second.rename(first)
    (tmp_path / "kept").rename(second)
    made = calibrated(build, spoilt, tmp_path / "bundle")
    assert run(made, spoilt, tmp_path / "out") == 3
    labels = read(tmp_path / "out")["labels"]
    assert labels["verdict"] == "fail"
    assert sku(4) in str(labels["found"])
    assert sku(21) in str(labels["found"])
    assert "Photos under the wrong name" in (tmp_path / "out" / "readiness.html").read_text()


def test_equal_inputs_give_an_equal_report_with_and_without_a_cache(bundle: Path, shop: Path, tmp_path: Path) -> None:
    for out in ("a", "b", "c"):
        cache = [] if out == "a" else ["--cache", str(tmp_path / "cache")]
        assert run(bundle, shop, tmp_path / out, *cache) == 0
    texts = {(tmp_path / out / "readiness.json").read_bytes() for out in ("a", "b", "c")}
    assert len(texts) == 1


def test_products_that_the_bundle_does_not_know_are_named(bundle: Path, shop: Path, tmp_path: Path) -> None:
    more = tmp_path / "shop"
    shutil.copytree(shop, more)
    text = (more / "skus.csv").read_text()
    (more / "skus.csv").write_text(text.replace(sku(3), "a-stranger"))
    for role in ("reference", "validation", "test"):
        (more / role / sku(3)).rename(more / role / "a-stranger")
    assert run(bundle, more, tmp_path / "out") == 0
    notes = json.loads((tmp_path / "out" / "readiness.json").read_bytes())["notes"]
    assert notes["not in the bundle"]["first"] == ["a-stranger"]
    assert notes["in the bundle, without photos here"]["first"] == [sku(3)]


def test_without_test_photos_the_certifying_half_is_measured(build: Path, tmp_path: Path) -> None:
    shop = write_catalogue(tmp_path / "shop", products=4, photos=(2, 4, 0))
    made = calibrated(build, shop, tmp_path / "bundle")
    assert run(made, shop, tmp_path / "out") == 0
    values = json.loads((tmp_path / "out" / "readiness.json").read_bytes())
    assert values["measured_on"].startswith("validation")
    assert values["measured_photos"] == 8


def test_one_product_and_no_validation(build: Path, tmp_path: Path) -> None:
    shop = write_catalogue(tmp_path / "shop", products=1, photos=(2, 0, 0))
    made = calibrated(build, shop, tmp_path / "bundle")
    assert run(made, shop, tmp_path / "out") == 0
    verdicts = {check["verdict"] for key, check in read(tmp_path / "out").items() if key != "memory"}
    assert verdicts == {"not testable"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--history", "none.csv"], "none.csv"),
        (["--device", "none.yaml"], "none.yaml"),
        (["--bundle", "none"], "manifest.json"),
        (["--catalogue", "none"], "skus.csv"),
        (["--out", "report.json"], "ends in .html"),
        (["--out", "no/such/page.html"], "no such folder"),
    ],
)
def test_bad_input_is_one_line(
    bundle: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert run(bundle, shop, tmp_path / "out", options[0], str(tmp_path / options[1])) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert said in error[-1]
    assert len([line for line in error if "error:" in line]) == 1
    assert not list(tmp_path.glob("**/*.html"))


def test_the_seal_of_the_bundle_is_not_broken(bundle: Path, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (bundle, bundle / "page.html", bundle / "report.html"):
        assert run(bundle, shop, out) == 2
        assert "seal" in capsys.readouterr().err
    read_bundle(bundle)


def test_a_catalogue_of_another_shop(
    bundle: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "shop"
    shutil.copytree(shop, other)
    (other / "skus.csv").write_text((other / "skus.csv").read_text().replace("sku-", "other-"))
    for role in ("reference", "validation", "test"):
        for folder in (other / role).iterdir():
            folder.rename(folder.with_name(folder.name.replace("sku-", "other-")))
    assert run(bundle, other, tmp_path / "out") == 2
    assert "shares no product" in capsys.readouterr().err


def test_help_shows_the_history(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert "month,added,changed,removed" in said
    assert "2026-01,14,6,9" in said


def test_a_real_process_is_measured(bundle: Path, tmp_path: Path) -> None:
    found = measure(bundle)
    assert found.peak_mib >= found.libraries_mib > 20
    with pytest.raises(EngineError, match="memory failed"):
        measure(tmp_path)


def test_a_process_that_cannot_be_measured_costs_one_check(
    bundle: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Path) -> Footprint:
        raise EngineError("no room for another process")

    monkeypatch.setattr(cli, "measure", fail)
    assert run(bundle, shop, tmp_path / "out") == 0
    assert read(tmp_path / "out")["memory"]["verdict"] == "not testable"
    assert "no room for another process" in capsys.readouterr().err


def test_the_smallest_device_is_the_default() -> None:
    assert find_device(None).module == "Jetson Orin Nano 4GB"
    assert find_device(Path("orin-nx-8gb")).module == "Jetson Orin NX 8GB"
