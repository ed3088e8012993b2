"""`edge-calibrate enrol | retire | reinstate | remove` on sealed bundles, with a real engine and real pictures."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import samples

from calibration.change.record import recorded, write_changed
from calibration.change.status import removed, retired
from calibration.cli import calibrate
from edge.assembly import engine_of
from edge.bundle import Bundle, Change, read_bundle
from edge.config import EngineConfig
from edge.errors import BundleError
from edge.pipeline import Pipeline
from edge.types import Decision, Reason, Route

DATE = ["--date", "2026-11-24"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.write_sample_bundle(tmp_path_factory.mktemp("made") / "bundle", 6)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return folders of photos by the number of the product."""
    folder = tmp_path_factory.mktemp("photos")
    for number in (20, 21):
        save(folder / str(number), [shot(number, index) for index in range(4)])
    return folder


def shot(number: int, index: int) -> np.ndarray:
    rng = np.random.default_rng([number, index])
    noisy = samples.product(number) * rng.uniform(0.9, 1.0) + rng.normal(0, 10, (96, 96, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def save(folder: Path, images: Sequence[np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{index:02d}.png"), image)
    return folder


def change(command: str, sku: str, bundle: Path, out: Path, *more: object) -> int:
    return calibrate([command, sku, "--bundle", str(bundle), "--out", str(out), *DATE, *map(str, more)])


def enrol(sku: str, bundle: Path, out: Path, images: Path, *more: object) -> int:
    return change("enrol", sku, bundle, out, "--images", images, "--name", f"The {sku}", "--threads", 1, *more)


def decide(path: Path, images: Sequence[np.ndarray]) -> list[Decision]:
    found = read_bundle(path, "onnxruntime")
    with engine_of(found, EngineConfig()) as engine:  # the golden crops are checked in here
        return Pipeline(found, engine).decide(images)


def digest(folder: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()


def test_a_product_is_enrolled_recognised_retired_reinstated_and_removed(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b"
    assert enrol("milk", bundle, out, photos / "20", "--category", "dairy", "--barcode", "400") == 0
    said = capsys.readouterr().out
    assert read_bundle(out).id in said
    assert "strictest cut points" in said
    picture = shot(20, 99)
    decision = decide(out, [picture])[0]
    assert (decision.route, decision.sku) == (Route.ACCEPT, "milk")
    info = read_bundle(out).classes[0]
    assert (info.sku, info.name, info.category, info.barcode, info.status) == (
        "milk",
        "The milk",
        "dairy",
        "400",
        "new",
    )

    assert change("retire", "milk", out, out, "--successor", "sku-003") == 0
    decision = decide(out, [picture])[0]
    assert (decision.route, decision.reasons) == (Route.REVIEW, (Reason.TOMBSTONE,))
    assert "sku-003" in decision.verify_set

    assert change("reinstate", "milk", out, out) == 0
    assert decide(out, [picture])[0].route is Route.ACCEPT

    assert change("remove", "milk", out, out) == 0
    before, after = read_bundle(bundle), read_bundle(out)
    for name in ("table.npz", "rules.npz", "classes.json", "golden.npz", "engine.onnx"):
        assert (out / name).read_bytes() == (bundle / name).read_bytes()
    images = [picture, samples.grey(), *(samples.product(number) for number in range(6))]
    assert decide(out, images) == decide(bundle, images)
    assert after.id != before.id
    assert [entry.change for entry in after.info.changes] == ["enrol", "retire", "reinstate", "remove"]
    assert after.info.promise["changes"] == {"enrolled": [], "retired": [], "reinstated": [], "removed": []}
    assert {path.name for path in tmp_path.iterdir()} == {"b"}


def test_equal_changes_give_an_equal_bundle_in_any_order(bundle: Path, photos: Path, tmp_path: Path) -> None:
    for name, order in (("one", (20, 21)), ("two", (21, 20))):
        shutil.copytree(bundle, tmp_path / name)
        for number in order:
            assert enrol(f"new-{number}", tmp_path / name, tmp_path / name, photos / str(number)) == 0
    for file in ("table.npz", "rules.npz", "classes.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert enrol("new-20", bundle, tmp_path / "a", photos / "20") == 0
    assert enrol("new-20", bundle, tmp_path / "b", photos / "20") == 0
    assert read_bundle(tmp_path / "a").id == read_bundle(tmp_path / "b").id
    assert read_bundle(tmp_path / "a").info.parent == read_bundle(bundle).id


def test_unreadable_photos_are_named_and_copies_count_once(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(photos / "20", tmp_path / "photos")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "empty.jpg").touch()
    (folder / "note.txt").write_text("front and back")
    shutil.copy(folder / "00.png", folder / "again.png")
    assert enrol("milk", bundle, tmp_path / "b", folder) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "broken.jpg" in said
    assert "empty.jpg" in said
    assert "1 reference photos are copies" in said
    assert "note.txt: 1 that are no photos, ignored" in said
    assert read_bundle(tmp_path / "b").info.changes[0].photos == 4


def test_one_photo_is_never_accepted(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enrol("milk", bundle, tmp_path / "b", save(tmp_path / "photos", [shot(20, 0)])) == 0
    assert "never" in capsys.readouterr().out
    decision = decide(tmp_path / "b", [shot(20, 0)])[0]
    assert (decision.sku, decision.route) == ("milk", Route.VERIFY)


@pytest.mark.parametrize(
    "case",
    [
        ("milk", ["--images", "{tmp}/nowhere"], "No such file", 2),
        ("milk", ["--images", "{tmp}/empty"], "0 photos", 2),
        ("milk", ["--images", "{tmp}/blind"], "none of 2 photos could be read", 2),
        ("sku-001", [], "is in the bundle already (Product 1)", 2),
        ("a/b", [], "cannot be a folder name", 2),
        ("milk", ["--name", " "], "--name is ' '", 2),
        ("milk", ["--barcode", "4\n0"], "--barcode is", 2),
        ("milk", ["--name", "\udcff"], "--name is", 2),
        ("milk", ["--force", "sku-9"], "--force sku-9: not a product", 2),
        ("milk", ["--images", "{tmp}/same"], "--force sku-003", 3),
    ],
)
def test_what_cannot_be_enrolled_is_refused_on_one_line(
    bundle: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: tuple[str, list[str], str, int],
) -> None:
    sku, more, said, code = case
    (tmp_path / "empty").mkdir()
    (tmp_path / "blind").mkdir()
    for name in ("1.jpg", "2.png"):
        (tmp_path / "blind" / name).write_bytes(f"no picture {name}".encode())
    save(tmp_path / "same", [samples.product(3), samples.product(3, 80, 80)])
    assert enrol(sku, bundle, tmp_path / "b", photos / "20", *(one.format(tmp=tmp_path) for one in more)) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert said in error[-1]
    assert len([line for line in error if "error:" in line]) == 1
    assert not (tmp_path / "b").exists()


def test_forced_look_alikes_are_verified(bundle: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "same", [shot(3, 0), shot(3, 1)])
    assert enrol("milk", bundle, tmp_path / "b", folder, "--force", "sku-003") == 0
    decision = decide(tmp_path / "b", [samples.product(3)])[0]
    assert decision.route is not Route.ACCEPT
    assert {"milk", "sku-003"} <= set(decision.verify_set)
    assert change("remove", "milk", tmp_path / "b", tmp_path / "b") == 0
    assert decide(tmp_path / "b", [samples.product(3)])[0].route is Route.ACCEPT


@pytest.mark.parametrize(
    "case",
    [
        ("retire", "sku-9", [], "no product 'sku-9' among its 6"),
        ("retire", "sku-001", ["--successor", "sku-9"], "no product 'sku-9'"),
        ("remove", "sku-9", [], "no product"),
        ("reinstate", "sku-001", [], "is active"),
    ],
)
def test_what_is_not_there_is_refused_and_the_bundle_stays(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: tuple[str, str, list[str], str],
) -> None:
    command, sku, more, said = case
    shutil.copytree(bundle, tmp_path / "b")
    assert change(command, sku, tmp_path / "b", tmp_path / "b", *more) == 2
    assert said in capsys.readouterr().err
    assert digest(tmp_path / "b") == digest(bundle)
    assert {path.name for path in tmp_path.iterdir()} == {"b"}


def test_a_retired_successor_is_said(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert change("retire", "sku-001", bundle, tmp_path / "b", "--successor", "sku-002") == 0
    assert change("retire", "sku-002", tmp_path / "b", tmp_path / "b") == 0
    assert "sku-001: names it as successor" in " ".join(capsys.readouterr().out.split())
    assert change("remove", "sku-002", tmp_path / "b", tmp_path / "b") == 0
    assert "sku-001: its successor is gone" in " ".join(capsys.readouterr().out.split())


def test_a_foreign_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert change("remove", "sku-001", bundle, tmp_path / "mine") == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"


def test_two_who_change_one_bundle_do_not_lose_a_change(bundle: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(bundle, tmp_path / "b"))
    mine = read_bundle(path)
    assert change("remove", "sku-001", path, path) == 0
    with pytest.raises(BundleError, match="changed by another run meanwhile"):
        write_changed(path, mine, with_record(mine, removed(mine, "sku-002")))
    assert [entry.sku for entry in read_bundle(path).info.changes] == ["sku-001"]


def with_record(bundle: Bundle, changed: Bundle) -> Bundle:
    return recorded(bundle, changed, Change(change="remove", sku="sku-002", date=DATE[1]))


def test_reports_stay_those_of_the_calibration_and_say_so(bundle: Path, tmp_path: Path) -> None:
    old = read_bundle(bundle)
    shutil.copytree(bundle, tmp_path / "old")
    page = "<!doctype html><body><h1>Bundle b</h1><p>figures</p></body>"
    (tmp_path / "old" / "report.html").write_text(page)
    (tmp_path / "old" / "report.json").write_text('{"findings": {"top1": 0.5}}')
    source = type(old)(**{**{name: getattr(old, name) for name in old.__dataclass_fields__}, "path": tmp_path / "old"})
    odd = "sku-003"
    first = recorded(source, retired(source, odd, ""), Change(change="retire", sku=odd, date=DATE[1]))
    write_changed(tmp_path / "b", source, first)
    values = json.loads((tmp_path / "b" / "report.json").read_bytes())
    assert values["findings"] == {"top1": 0.5}
    assert values["changes"] == [{"change": "retire", "sku": odd, "date": DATE[1]}]
    assert change("remove", "sku-001", tmp_path / "b", tmp_path / "b") == 0
    text = (tmp_path / "b" / "report.html").read_text()
    assert text.count("id='changes'") == 1
    assert "retired: sku-003; removed: sku-001" in text
    assert text.startswith("<!doctype html><body><h1>Bundle b</h1><p id=")
    assert text.endswith("<p>figures</p></body>")


def test_many_new_products_call_for_a_calibration(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enrol("milk", bundle, tmp_path / "b", photos / "20") == 0
    assert "time to calibrate" in capsys.readouterr().out  # one of seven


@pytest.mark.parametrize("command", ["enrol", "retire", "reinstate", "remove"])
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        calibrate([command, "--help"])
    assert caught.value.code == 0
    assert f"example:\n  edge-calibrate {command} sku-" in capsys.readouterr().out


def test_bad_dates_and_missing_options_end_with_2(bundle: Path, tmp_path: Path) -> None:
    for arguments in (["--date", "yesterday"], ["--date", "2026-02-30"], ["--what"]):
        with pytest.raises(SystemExit) as caught:
            change("remove", "sku-001", bundle, tmp_path / "b", *arguments)
        assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        calibrate(["remove", "sku-001"])
    assert caught.value.code == 2
