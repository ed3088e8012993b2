"""What a careless user does to the commands on the device: one clear error, and nothing that stood there is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import samples


def run(name: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from edge.cli.{name} import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd, env=environment)


def refused(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert len(errors) == 1, done.stderr
    assert words in errors[0]
    assert "internal error" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A bundle, two pictures, a folder of pictures as a camera, and a configuration with relative paths."""
    samples.write_sample_bundle(tmp_path / "bundle")
    (tmp_path / "photos").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), samples.product(number))
    write_config(tmp_path, "photos", "{kind: full_frame}")
    return tmp_path


def write_config(folder: Path, source: str, locate: str) -> None:
    camera = f"  - {{id: basket, source: '{source}', locate: {locate}}}\n"
    end = "publish: {decisions: 'ipc://decisions'}\n"
    (folder / "cart.yaml").write_text(f"device_id: cart-7\nbundle: bundle\ncameras:\n{camera}{end}")


def test_out_that_is_one_of_the_pictures_is_refused(shop: Path) -> None:
    before = (shop / "photos" / "1.png").read_bytes()
    done = run("classify", "--bundle", "bundle", "--images", "photos", "--out", "photos/../photos/1.png", cwd=shop)
    refused(done, 2, "is one of the pictures")
    assert (shop / "photos" / "1.png").read_bytes() == before


def test_pictures_none_of_which_can_be_read_leave_the_old_decisions(shop: Path) -> None:
    (shop / "text.png").write_text("no picture")
    os.mkfifo(shop / "pipe.png")
    (shop / "out.jsonl").write_text("old\n")
    done = run("classify", "--bundle", "bundle", "--images", "text.png", "--out", "out.jsonl", cwd=shop)
    refused(done, 2, "none of 1 pictures could be read")
    assert (shop / "out.jsonl").read_text() == "old\n"
    assert not list(shop.glob(".*.tmp"))


def test_a_device_is_written_to_and_not_replaced(shop: Path) -> None:
    done = run("classify", "--bundle", "bundle", "--images", "photos/0.png", "--out", "/dev/stdout", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["image"] == "photos/0.png"
    assert Path("/dev/stdout").is_symlink()


def test_names_that_are_not_utf_8_are_decided_on(shop: Path) -> None:
    shutil.copy(shop / "photos" / "2.png", os.fsencode(shop / "photos") + b"/\xff \xc3\xa4.png")
    done = run("classify", "--bundle", "bundle", "--images", "photos", "--out", "out.jsonl", cwd=shop)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (shop / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["image"] for line in lines][-1] == "photos/\\xff ä.png"
    assert lines[-1]["sku"] == "sku-002"


@pytest.mark.parametrize("threads", ["0", "-1", "65", "1e3", "9" * 20])
def test_threads_that_no_machine_has_are_refused(shop: Path, threads: str) -> None:
    refused(run("classify", "--bundle", "b", "--images", "i", "--out", "o", "--threads", threads), 2, "--threads")


def test_record_into_a_folder_that_holds_something_is_refused(shop: Path) -> None:
    before = sorted((shop / "bundle").iterdir())
    refused(run("daemon", "--config", "cart.yaml", "--record", "bundle", cwd=shop), 2, "bundle: is not empty")
    assert sorted((shop / "bundle").iterdir()) == before
    refused(run("daemon", "--config", "cart.yaml", "--record", "cart.yaml", cwd=shop), 2, "cart.yaml")


@pytest.mark.parametrize("name", ["missing.onnx", "cart.yaml", "bundle/engine.onnx"])
def test_check_opens_the_detector_too(shop: Path, name: str) -> None:
    write_config(shop, "photos", f"{{kind: detector, model: {name}}}")
    refused(run("daemon", "--config", "cart.yaml", "--check", cwd=shop), 2, name)


def test_check_understands_the_source_too(shop: Path) -> None:
    write_config(shop, "ftp://camera/1", "{kind: full_frame}")
    refused(run("daemon", "--config", "cart.yaml", "--check", cwd=shop), 2, "cart.yaml:4: cameras[0].source")


def test_a_pipe_among_the_pictures_of_a_camera_is_skipped(shop: Path) -> None:
    os.mkfifo(shop / "photos" / "1a.png")
    (shop / "photos" / "1b.png").mkdir()
    done = run("daemon", "--config", "cart.yaml", "--record", "run", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert "2 unreadable pictures were skipped" in done.stderr
    assert (shop / "run" / "decisions.jsonl").read_text().count("\n") == 3


@pytest.fixture
def recording(shop: Path) -> Path:
    assert run("daemon", "--config", "cart.yaml", "--record", "run", cwd=shop).returncode == 0
    return shop / "run"


def test_lost_frames_are_not_taken_for_agreement(recording: Path) -> None:
    lines = (recording / "frames.jsonl").read_text().splitlines(keepends=True)
    (recording / "frames.jsonl").write_text("".join(lines[:1]))
    refused(run("replay", recording), 2, "1 frames, recorded were 3")


def test_a_frame_of_a_camera_that_nobody_named_is_refused(recording: Path) -> None:
    path = recording / "frames.jsonl"
    path.write_text(path.read_text().replace('"basket"', '"other"'))
    refused(run("replay", recording), 2, "which session.json does not name")


@pytest.mark.parametrize(("key", "value"), [("threads", 0), ("threads", 10**6), ("bundle", "a\0b"), ("schema", 9)])
def test_a_session_that_cannot_be_is_refused(recording: Path, key: str, value: object) -> None:
    session = json.loads((recording / "session.json").read_text())
    (recording / "session.json").write_text(json.dumps({**session, key: value}))
    done = run("replay", recording)
    assert done.returncode == 2
    assert "internal error" not in done.stderr
