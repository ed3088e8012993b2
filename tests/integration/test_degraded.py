"""A daemon with a bundle for TensorRT and no compiled engine: it does not start, or says what decides instead."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import pytest
import samples
import zmq
from test_daemon import command, run, write_clip

from edge import messages


@pytest.fixture
def config(tmp_path: Path, endpoint: str) -> Path:
    samples.write_sample_bundle(tmp_path / "bundle", engine="tensorrt")
    write_clip(tmp_path / "clip.avi", [0, 1])
    path = tmp_path / "cart.yaml"
    path.write_text(
        f"device_id: cart-7\nbundle: {tmp_path}/bundle\ncameras:\n  - {{id: basket, source: {tmp_path}/clip.avi}}\n"
        f"publish: {{decisions: '{endpoint}'}}\n"
    )
    return path


def with_fallback(config: Path) -> Path:
    config.write_text(config.read_text() + "engine: {fallback: onnxruntime}\n")
    return config


@pytest.mark.parametrize("more", [(), ("--check",)], ids=["run", "check"])
def test_without_a_fallback_it_does_not_start(config: Path, more: tuple[str, ...]) -> None:
    done = run("daemon", "--config", config, *more)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("edge-daemon: error:")]
    assert len(errors) == 1
    assert f"bundle.plan: no such plan; run edge-build --compile-only {config.parent}/bundle" in errors[0]


def test_with_a_fallback_every_message_says_that_it_is_degraded(config: Path, subscriber: zmq.Socket) -> None:
    decided, beats = [], []
    with subprocess.Popen(
        command("daemon", "--config", with_fallback(config), "--await-subscribers", "1"),
        stderr=subprocess.PIPE,
        text=True,
    ) as daemon:
        while not beats or len(decided) < 12:
            message = messages.decode(subscriber.recv_multipart()[1])
            (decided if isinstance(message, messages.DecisionMessage) else beats).append(message)
        errors = daemon.communicate(timeout=30)[1]
    assert daemon.returncode == 0
    assert all(message.degraded for message in decided)
    assert all("no such plan" in beat.degraded for beat in beats)
    assert {message.sku for message in decided} == {"sku-000", "sku-001"}
    assert "degraded, the engine's reference on the CPU decides: " in errors


def test_a_person_at_a_desk_gets_the_reference_and_a_warning(config: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), samples.product(3))
    done = run("classify", "--bundle", tmp_path / "bundle", "--images", tmp_path / "a.png", "--out", tmp_path / "o")
    assert done.returncode == 0
    assert done.stderr.startswith("edge-classify: warning: the engine's reference on the CPU decides: ")
    assert json.loads((tmp_path / "o").read_text())["sku"] == "sku-003"


def test_a_bundle_that_does_not_fit_what_is_free_is_refused_at_once(config: Path, tmp_path: Path) -> None:
    samples.write_sample_bundle(tmp_path / "bundle", network_mib=1e7)
    done = run("daemon", "--config", config)
    assert done.returncode == 3
    assert "needs about 100000" in done.stderr
    assert "MiB are free here; stop other processes" in done.stderr
