"""The daemon as a process: a clip goes in, numbered decisions come out, and nothing about it is silent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest
import samples
import zmq

from edge import messages

EACH = 6  # frames per product
QUIET_MS = 3_000  # of nothing, after which nothing is on its way any more, on a busy machine either


def command(name: str, *arguments: object) -> list[str]:
    code = f"import sys; from edge.cli.{name} import main; sys.exit(main())"
    return [sys.executable, "-c", code, *(str(argument) for argument in arguments)]


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(name, *arguments), capture_output=True, text=True, timeout=60, check=False)


def write_clip(path: Path, products: Sequence[int], rate: float = 15) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (96, 96))
    assert writer.isOpened()
    for number in products:
        for _ in range(EACH):
            writer.write(samples.product(number))
    writer.release()
    return path


@pytest.fixture
def config(tmp_path: Path, endpoint: str) -> Path:
    """One camera over a clip of the products 0, 1, 2 and the stranger 50."""
    samples.write_sample_bundle(tmp_path / "bundle")
    write_clip(tmp_path / "clip.avi", [0, 1, 2, 50])
    path = tmp_path / "cart.yaml"
    path.write_text(
        f"device_id: cart-7\nbundle: {tmp_path}/bundle\ncameras:\n"
        f"  - {{id: basket, source: {tmp_path}/clip.avi}}\npublish: {{decisions: '{endpoint}'}}\n"
    )
    return path


def received(socket: zmq.Socket, count: int) -> list[messages.DecisionMessage]:
    """Return the first `count` decisions, passing over heartbeats."""
    decisions: list[messages.DecisionMessage] = []
    while len(decisions) < count:
        topic, payload = socket.recv_multipart()
        message = messages.decode(payload)
        if isinstance(message, messages.DecisionMessage):
            assert topic == f"decision.{message.camera_id}".encode()
            decisions.append(message)
    return decisions


def test_a_clip_becomes_numbered_decisions(config: Path, subscriber: zmq.Socket) -> None:
    with subprocess.Popen(command("daemon", "--config", config, "--await-subscribers", 1)) as daemon:
        decisions = received(subscriber, 4 * EACH)
        assert daemon.wait(20) == 0
    assert [d.frame for d in decisions] == list(range(4 * EACH)), "nothing is dropped from a file"
    for number in range(3):
        own = decisions[number * EACH : (number + 1) * EACH]
        assert {d.sku for d in own} == {f"sku-{number:03d}"}
        assert [d.route for d in own] == ["verify"] * 2 + ["accept"] * (EACH - 2), "the third look settles it"
        assert {d.reasons for d in own[:2]} == {("few_looks",)}
        assert [(d.track, d.looks) for d in own] == [(number, look + 1) for look in range(EACH)]
    assert {d.route for d in decisions[3 * EACH :]} == {"unknown"}
    assert len({(d.device_id, d.epoch, d.bundle_id) for d in decisions}) == 1
    sequence = [d.seq for d in decisions]
    assert sequence == sorted(set(sequence))
    assert all(d.latency_ms > 0 for d in decisions)


def test_a_recording_replays_to_the_same_decisions_and_a_change_is_found(config: Path, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    done = run("daemon", "--config", config, "--record", recording)
    assert done.returncode == 0, done.stderr
    same = run("replay", recording)
    assert same.returncode == 0, same.stdout + same.stderr
    assert f"{4 * EACH} decisions compared, 0 differ" in same.stdout
    lines = (recording / "decisions.jsonl").read_text().splitlines()
    lines[3] = json.dumps({**json.loads(lines[3]), "sku": "sku-005"})
    (recording / "decisions.jsonl").write_text("\n".join(lines) + "\n")
    other = run("replay", recording)
    assert other.returncode == 3
    assert "frame 3: accept sku-005, replayed accept sku-000" in other.stdout


def test_a_missing_decision_in_a_complete_recording_is_found(config: Path, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    assert run("daemon", "--config", config, "--record", recording).returncode == 0
    lines = (recording / "decisions.jsonl").read_text().splitlines()
    (recording / "decisions.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    done = run("replay", recording)
    assert done.returncode == 3
    assert "no counterpart" in done.stdout


def test_a_recording_cut_short_by_a_power_cut_still_replays(config: Path, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    assert run("daemon", "--config", config, "--record", recording).returncode == 0
    (recording / "end.json").unlink()
    for name in ("decisions.jsonl", "frames.jsonl"):
        with (recording / name).open("rb+") as file:
            file.truncate(os.path.getsize(recording / name) - 20)
    assert run("replay", recording).returncode == 0


def test_a_full_disk_ends_the_recording_and_not_the_deciding(
    config: Path, small_disk: Path, subscriber: zmq.Socket
) -> None:
    (small_disk / "ballast").write_bytes(bytes(970 * 1024))
    recording = small_disk / "recording"
    arguments = ("--config", config, "--record", recording, "--await-subscribers", 1)
    with subprocess.Popen(command("daemon", *arguments), stderr=subprocess.PIPE, text=True) as daemon:
        assert len(received(subscriber, 4 * EACH)) == 4 * EACH
        _, errors = daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    assert "recording ends here" in errors
    whole = tmp_copy(recording, config.parent)
    assert run("replay", whole).returncode == 0, "what was recorded before is whole"


def tmp_copy(recording: Path, folder: Path) -> Path:
    return Path(shutil.copytree(recording, folder / "copied"))


def test_sigterm_ends_with_0_and_a_last_heartbeat(config: Path, subscriber: zmq.Socket) -> None:
    config.write_text(config.read_text().replace("clip.avi}", "clip.avi, loop: true}"))
    with subprocess.Popen(command("daemon", "--config", config, "--await-subscribers", 1)) as daemon:
        received(subscriber, 1)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(10) == 0
    last = None
    while subscriber.poll(QUIET_MS):
        last = messages.decode(subscriber.recv_multipart()[1])
    assert isinstance(last, messages.HealthMessage)
    assert last.decisions > 0
    assert last.cameras[0].frames == last.decisions


def test_sigterm_ends_a_daemon_that_waits_for_subscribers(config: Path) -> None:
    arguments = command("daemon", "--config", config, "--await-subscribers", 1)
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr is not None
        assert "running: device cart-7" in daemon.stderr.readline()
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=10)
    assert daemon.returncode == 0


def test_several_cameras_and_a_picture_folder(config: Path, tmp_path: Path, subscriber: zmq.Socket) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        cv2.imwrite(str(folder / f"{number}.png"), samples.product(number))
    text = config.read_text().replace("publish:", f"  - {{id: shelf, source: {folder}}}\npublish:")
    config.write_text(text.replace("publish: {", "publish: {format: msgpack, "))
    with subprocess.Popen(command("daemon", "--config", config, "--await-subscribers", 1)) as daemon:
        decisions = received(subscriber, 4 * EACH + 5)
        assert daemon.wait(20) == 0
    by_shelf = [d for d in decisions if d.camera_id == "shelf"]
    assert [d.sku for d in by_shelf] == [f"sku-{n:03d}" for n in range(5)]
    assert {d.camera_id for d in decisions} == {"basket", "shelf"}


def test_a_camera_that_is_not_there_is_retried_while_the_others_go_on(config: Path, subscriber: zmq.Socket) -> None:
    config.write_text(config.read_text().replace("publish:", "  - {id: gone, source: /dev/video97}\npublish:"))
    arguments = command("daemon", "--config", config, "--await-subscribers", 1)
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as daemon:
        assert {d.camera_id for d in received(subscriber, 4 * EACH)} == {"basket"}
        while True:
            message = messages.decode(subscriber.recv_multipart()[1])
            if isinstance(message, messages.HealthMessage) and message.cameras[1].reopened > 0:
                break
        daemon.send_signal(signal.SIGTERM)
        _, errors = daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    assert "camera gone" in errors
    assert "opened again in" in errors


def test_check_validates_and_exits(config: Path) -> None:
    done = run("daemon", "--config", config, "--check")
    assert done.returncode == 0
    assert "6 products" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("device_id: cart-7", "device_id: cart-7\nextra: 1", 2, "cart.yaml:2: extra: unknown key"),
        ("/bundle\n", "/nothing\n", 2, "expected the folder of a bundle"),
        ("clip.avi", "missing.avi", 1, "missing.avi"),
        ("clip.avi", "cart.yaml", 2, ""),
    ],
)
def test_bad_input_is_one_line(config: Path, old: str, new: str, code: int, said: str) -> None:
    config.write_text(config.read_text().replace(old, new))
    done = run("daemon", "--config", config)
    errors = [line for line in done.stderr.splitlines() if line.startswith("edge-daemon: error:")]
    assert len(errors) == 1, done.stderr
    assert said in errors[0]
    assert done.returncode in {code, 1}
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_one_line(config: Path, endpoint: str) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        config.write_text(config.read_text().replace(endpoint, f"tcp://127.0.0.1:{port}"))
        done = run("daemon", "--config", config)
    assert done.returncode == 1
    assert "free the port or change publish.decisions" in done.stderr


def test_a_damaged_bundle_is_refused_by_file_name(config: Path, tmp_path: Path) -> None:
    raw = bytearray((tmp_path / "bundle" / "table.npz").read_bytes())
    raw[300] ^= 1
    (tmp_path / "bundle" / "table.npz").write_bytes(raw)
    done = run("daemon", "--config", config)
    assert done.returncode == 2
    assert "table.npz" in done.stderr


def test_classify_writes_one_line_per_picture_and_counts_unreadable_ones(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), samples.product(1))
    cv2.imwrite(str(folder / "deep" / "b.jpg"), samples.product(60))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no")
    out = tmp_path / "decisions.jsonl"
    done = run("classify", "--bundle", tmp_path / "bundle", "--images", folder, folder / "a.png", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "broken.jpg" in done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["image"] for line in lines] == [f"{folder}/a.png", f"{folder}/deep/b.jpg", f"{folder}/a.png"]
    assert [line["route"] for line in lines] == ["accept", "unknown", "accept"]
    assert lines[0]["sku"] == "sku-001"
    assert len(lines[0]["candidates"]) == 5
    assert {"confidence", "ood_score", "reasons"} <= set(lines[0])


@pytest.mark.parametrize("given", ["missing", "empty"])
def test_classify_without_pictures_is_one_line(config: Path, tmp_path: Path, given: str) -> None:
    (tmp_path / "empty").mkdir()
    done = run("classify", "--bundle", tmp_path / "bundle", "--images", tmp_path / given, "--out", tmp_path / "o.jsonl")
    assert done.returncode == 2
    assert given in done.stderr
    assert not (tmp_path / "o.jsonl").exists()
