"""The command and the catalogue folder: complete, foreign, interrupted, and the same for any number of workers."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import psutil
import pytest

from calibration.render.cli import main
from calibration.render.folder import photos_of
from calibration.render.identity import catalogue, hidden_siblings

_SMALL = ["catalogue", "--skus", "9", "--seed", "5", "--photos", "flat:1,1,1", "--unknown", "5", "--size", "96"]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("render") / "shop"
    assert main([*_SMALL, "--workers", "1", "--out", str(folder)]) == 0
    return folder


def test_the_folder_has_what_it_should(shop: Path) -> None:
    rows = list(csv.DictReader((shop / "skus.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["sku"] for row in rows] == [sku.sku for sku in catalogue(5, 9)]
    header = "sku,name,category,barcode,status,brand,line,flavour,size,family,container,weight"
    assert (shop / "skus.csv").read_bytes().startswith(header.encode() + b"\n")
    for split in ("reference", "validation", "test"):
        assert sorted(path.name for path in (shop / split).iterdir()) == [row["sku"] for row in rows]
    manifest = json.loads((shop / "render.json").read_text())
    photos = [path for path in _files(shop) if path.endswith(".jpg")]
    assert manifest["counts"] == {"skus": 9, "photos": len(photos), "unknown": 15}
    assert len(photos) == 9 * 3 + 15


def test_every_photo_is_a_readable_jpeg_of_the_size_asked_for(shop: Path) -> None:
    for path in sorted(shop.rglob("*.jpg")):
        picture = cv2.imread(str(path))
        assert picture is not None, path
        assert max(picture.shape[:2]) == 96


def test_unknown_products_are_not_in_the_catalogue(shop: Path) -> None:
    names = {row["name"] for row in csv.DictReader((shop / "skus.csv").read_text().splitlines())}
    assert not names & {sku.name for sku in hidden_siblings(5, 9)}
    rows = list(csv.DictReader((shop / "unknown" / "truth.csv").read_text().splitlines()))
    assert {row["path"] for row in rows} == {path for path in _files(shop) if path.startswith("unknown/")} - {
        "unknown/truth.csv"
    }
    enrolled = {sku.sku for sku in catalogue(5, 9)}
    assert {row["kind"] for row in rows} == {"sibling", "new_brand", "far"}
    assert all((row["sibling_of"] in enrolled) == (row["kind"] == "sibling") for row in rows)


def test_the_number_of_workers_changes_no_byte(shop: Path, tmp_path: Path) -> None:
    assert main([*_SMALL, "--workers", "2", "--out", str(tmp_path / "two")]) == 0
    assert _files(tmp_path / "two") == _files(shop)


def test_a_complete_folder_is_reused(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(shop.rglob("*"))}
    assert main([*_SMALL, "--workers", "1", "--out", str(shop)]) == 0
    assert "is complete already" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in sorted(shop.rglob("*"))}


def test_other_arguments_do_not_overwrite(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*_SMALL, "--skus", "8", "--out", str(shop)]) == 2
    assert "holds a finished render with skus 9, not 8" in capsys.readouterr().err


def test_a_foreign_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert main([*_SMALL, "--out", str(tmp_path)]) == 2
    assert "is not empty and holds no render.json" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_interrupted_render_is_told_apart_and_taken_up_again(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "cut"
    assert main([*_SMALL, "--workers", "1", "--out", str(out)]) == 0
    # What a power cut leaves: the mark of an unfinished render, half a photo, photos missing.
    manifest = json.loads((out / "render.json").read_text())
    del manifest["counts"]
    (out / "render.json").unlink()
    (out / "render.part.json").write_text(json.dumps(manifest))
    photo = out / "test" / "sku-000003" / "00.jpg"
    photo.write_bytes(photo.read_bytes()[:100])
    (out / "test" / "sku-000004" / "00.jpg").unlink()
    assert main([*_SMALL, "--skus", "8", "--workers", "1", "--out", str(out)]) == 2
    assert main([*_SMALL, "--workers", "1", "--out", str(out)]) == 0
    assert _files(out) == _files(shop)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"renderer": 1}', '{"renderer": 1, "command": "clip", "arguments": 3}']
)
def test_a_damaged_manifest_is_one_clear_error(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "render.json").write_text(text)
    assert main([*_SMALL, "--out", str(tmp_path)]) == 2
    assert "remove the folder or choose another --out" in capsys.readouterr().err


def test_a_file_in_the_place_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f").write_text("")
    assert main([*_SMALL, "--out", str(tmp_path / "f")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert main([*_SMALL, "--out", str(tmp_path / "f" / "deeper")]) == 1
    assert "cannot make the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["catalogue"],
        ["catalogue", "--skus", "-1"],
        ["catalogue", "--skus", "0"],
        ["catalogue", "--skus", "1e3"],
        ["catalogue", "--skus", "²"],
        ["catalogue", "--seed", "-1"],
        ["catalogue", "--reference", "5,3"],
        ["catalogue", "--reference", "1,2,3"],
        ["catalogue", "--photos", "flat:1,2"],
        ["catalogue", "--photos", "round:1,2,3"],
        ["catalogue", "--size", "5000"],
        ["catalogue", "--workers", "0"],
        ["catalogue", "--workers", "100000"],
        ["shelf", "--scenes", "0"],
        ["cart", "--products", "-4"],
        ["clip", "--products", "2001"],
        ["clip", "--frames", "0"],
    ],
)
def test_bad_arguments_end_with_exit_code_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [] if arguments == ["catalogue"] or not arguments else ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as end:
        main([*arguments, *out])
    assert end.value.code == 2
    assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_many_products_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["catalogue", "--skus", "50001", "--out", str(tmp_path / "out")])
    assert end.value.code == 2
    assert "1 to 50000 can be made" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["catalogue", "shelf", "cart", "clip"])
def test_help_of_every_sub_command_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"example:\n  edge-render {name} " in capsys.readouterr().out


def test_a_clip_into_a_folder_and_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = ["clip", "--skus", "4", "--products", "1", "--unknown", "0", "--frames", "18"]
    assert main([*clip, "--out", str(tmp_path / "demo")]) == 0
    assert sorted(_files(tmp_path / "demo")) == ["clip.avi", "render.json", "truth.json"]
    assert main([*clip, "--out", str(tmp_path / "one.mp4")]) == 0
    assert (tmp_path / "one.truth.json").is_file()
    assert main([*clip, "--out", str(tmp_path / "one.mp4")]) == 0
    assert "one.mp4 is complete already" in capsys.readouterr().out
    assert main([*clip, "--products", "2", "--out", str(tmp_path / "one.mp4")]) == 2
    (tmp_path / "holiday.avi").write_bytes(b"mine")
    assert main([*clip, "--out", str(tmp_path / "holiday.avi")]) == 2
    assert (tmp_path / "holiday.avi").read_bytes() == b"mine"


def test_carts_and_shelves_from_the_command(tmp_path: Path) -> None:
    for name in ("cart", "shelf"):
        out = tmp_path / name
        assert main([name, "--skus", "3", "--scenes", "1", "--out", str(out)]) == 0
        assert set(_files(out)) == {f"{name}-000.jpg", "render.json", "truth.json"}
        assert main([name, "--skus", "3", "--scenes", "1", "--out", str(out)]) == 0


def test_photos_follow_the_rank() -> None:
    shop = sorted(catalogue(1, 400), key=lambda sku: sku.rank)
    counts = [photos_of(sku, (3, 20)) for sku in shop]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] >= 19
    assert counts[-1] == 3
    assert 3 < sum(counts) / len(counts) < 10
    assert {photos_of(sku, (4, 4)) for sku in shop} == {4}


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """A shell starts background jobs with SIGINT ignored, and whatever they start inherits it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_ends_the_workers_too(
    tmp_path: Path, heeds_interrupts: None, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "shop"
    command = [sys.executable, "-m", "calibration.render.cli", "catalogue", "--skus", "500", "--workers", "2"]
    process = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True, start_new_session=True)
    _wait_until(lambda: len(list(out.glob("reference/*/*.jpg"))) > 1)
    workers = psutil.Process(process.pid).children(recursive=True)
    # Ctrl-C in a terminal reaches every process of the group; the others only the one that was asked for.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    try:
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    if code > 0:
        assert errors.strip() == f"edge-render: error: {'interrupted' if number == signal.SIGINT else 'terminated'}"
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def _wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def test_a_clip_that_is_given_up_leaves_no_parts(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = ["clip", "--skus", "4", "--frames", "60", "--out"]
    for name in ("folder", "one.avi"):
        assert main([*clip, str(small_disk / name)]) == 1
        assert "free space" in capsys.readouterr().err
    assert [str(path.relative_to(small_disk)) for path in sorted(small_disk.rglob("*")) if path.is_file()] == [
        "folder/render.part.json"
    ]
