"""The daemon with cameras that are frozen, busy or refuse: nothing old is decided on, and nobody starves the others."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import samples
import zmq
from mjpeg_camera import mjpeg_camera, noisy

from edge import messages
from edge.replay.record import read_frame_lines
from tests.integration.test_daemon import command, run

LIVE = 12  # pictures before the sensor stops


class Sensor:
    """A camera on a resting product; `stuck` from picture LIVE on until it is set free."""

    def __init__(self) -> None:
        self.free = False

    def picture(self, number: int) -> np.ndarray:
        seen = number if self.free else min(number, LIVE)
        noise = np.random.default_rng(seen).integers(-9, 10, (96, 96, 3))
        return np.clip(samples.product(1) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def cart(tmp_path: Path, endpoint: str) -> Callable[..., Path]:
    """Write the configuration of a daemon with the given cameras, one line of YAML each."""
    samples.write_sample_bundle(tmp_path / "bundle")

    def write(*cameras: str) -> Path:
        path = tmp_path / "cart.yaml"
        lines = "".join(f"  - {{{camera}}}\n" for camera in cameras)
        path.write_text(
            f"device_id: cart-7\nbundle: {tmp_path}/bundle\ncameras:\n{lines}publish: {{decisions: '{endpoint}'}}\n"
        )
        return path

    return write


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A daemon that is stopped at the end of the test and must end in order."""
    whole = command("daemon", "--config", *arguments, "--await-subscribers", 1)
    with subprocess.Popen(whole, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            yield daemon
        finally:
            daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0


def heard(subscriber: zmq.Socket) -> Iterator[messages.Message]:
    while True:
        yield messages.decode(subscriber.recv_multipart()[1])


def test_no_decision_is_made_from_a_frozen_camera_and_it_comes_back(
    cart: Callable[..., Path], subscriber: zmq.Socket
) -> None:
    sensor = Sensor()
    frozen: list[messages.DecisionMessage] = []
    others = Counter[str]()
    with mjpeg_camera(sensor.picture) as url:
        config = cart(f"id: basket, source: '{url}', frozen_after_ms: 300", "id: busy, source: 'synthetic: 64x48'")
        with running(config) as daemon:
            for message in heard(subscriber):
                if isinstance(message, messages.HealthMessage):
                    basket = message.cameras[0]
                    if basket.failures.get("frozen", 0) >= 2:
                        break
                    others["beats"] += 1
                elif message.camera_id == "basket":
                    frozen.append(message)
                else:
                    others["decisions"] += 1
            assert others["decisions"] > 100, "the other camera goes on"
            assert 3 <= len(frozen) <= LIVE + 1
            assert (basket.drops["repeated"] > 5, basket.reopened >= 1) == (True, True)
            assert basket.dropped == sum(basket.drops.values())
            assert basket.frames == len(frozen)
            sensor.free = True
            again = [next(m for m in heard(subscriber) if _is_about(m, "basket")) for _ in range(3)]
            daemon.send_signal(signal.SIGTERM)
            assert daemon.stderr is not None
            told = daemon.stderr.read()
    assert "camera basket: frozen: no new picture for" in told
    assert frozen[-1].route == "accept"
    assert {message.track for message in again} == {frozen[-1].track}, "the same thing is not charged for twice"
    assert [message.looks for message in again] == [1, 2, 3], "looks from before do not count"
    assert [message.route for message in again] == ["verify", "verify", "accept"]


def test_a_recording_with_a_reopening_in_it_replays_to_the_same_decisions(
    cart: Callable[..., Path], subscriber: zmq.Socket, tmp_path: Path
) -> None:
    sensor = Sensor()
    recording = tmp_path / "recording"
    with mjpeg_camera(sensor.picture) as url:
        config = cart(f"id: basket, source: '{url}', frozen_after_ms: 300")
        with running(config, "--record", recording):
            for message in heard(subscriber):
                if isinstance(message, messages.HealthMessage) and message.cameras[0].failures:
                    sensor.free = True
                if sensor.free and _is_about(message, "basket") and message.looks == 4:
                    break
    assert {line.opening for line in read_frame_lines(recording)} > {0}
    done = run("replay", recording)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 differ" in done.stdout


def _is_about(message: messages.Message, camera_id: str) -> bool:
    return isinstance(message, messages.DecisionMessage) and message.camera_id == camera_id


def test_a_busy_camera_with_many_regions_takes_no_frame_from_the_others(
    cart: Callable[..., Path], subscriber: zmq.Socket
) -> None:
    """More regions than the engine takes. The cameras have a clock, and frames while ours gives them: one that turns in
    circles for want of one is put aside by the kernel on a busy machine, and has no frame when its turn comes.
    """
    squares = [f"{{id: s{n}, polygon: [[0, {2 * n}], [90, {2 * n}], [90, {2 * n + 40}]]}}" for n in range(64)]
    with mjpeg_camera(lambda n: noisy(n, (192, 96))) as busy, mjpeg_camera(lambda n: noisy(n, (96, 96))) as calm:
        config = cart(
            f"id: busy, source: '{busy}', locate: {{kind: slots, slots: [{', '.join(squares)}]}}",
            f"id: calm, source: '{calm}'",
        )
        with running(config):
            decisions = (message for message in heard(subscriber) if isinstance(message, messages.DecisionMessage))
            first = next(decisions).camera_id
            other = next(message.camera_id for message in decisions if message.camera_id != first)  # opens later
            frames = {(message.camera_id, message.frame) for message, _ in zip(decisions, range(6000), strict=False)}
    shares = Counter(camera for camera, _ in frames)
    assert set(shares) == {first, other}
    assert min(shares.values()) > 0.3 * shares.total(), shares


def test_no_word_of_a_camera_s_credentials_gets_out(
    cart: Callable[..., Path], subscriber: zmq.Socket, tmp_path: Path
) -> None:
    config = cart("id: basket, source: 'rtsp://me:hush@127.0.0.1:9/x?key=hush'")
    payloads = []
    with running(config, "--record", tmp_path / "recording") as daemon:
        while True:
            payload = subscriber.recv_multipart()[1]
            payloads.append(payload)
            message = messages.decode(payload)
            if isinstance(message, messages.HealthMessage) and message.cameras[0].failures:
                break
        daemon.send_signal(signal.SIGTERM)
        assert daemon.stderr is not None
        told = daemon.stderr.read()
    assert "rtsp://***@127.0.0.1:9" in told
    assert set(message.cameras[0].failures) == {"not_found"}
    written = [path.read_bytes() for path in (tmp_path / "recording").rglob("*") if path.is_file()]
    assert not [text for text in (told.encode(), *payloads, *written) if b"hush" in text]
