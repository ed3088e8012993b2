"""A daemon in trouble does less, says so, and accepts at the stricter cut points alone; and it comes back."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import samples
import zmq
from mjpeg_camera import mjpeg_camera

from edge import messages
from edge.bundle import read_bundle
from edge.capture import open_camera
from edge.config import CameraConfig, DegradeConfig
from edge.daemon import Daemon, stream_of
from edge.degrade.assembly import marks_of
from edge.degrade.ladder import Axis, Ladder
from edge.degrade.watch import Watch
from edge.engines import EngineSpec, open_engine
from edge.health import Health
from edge.life.shedding import Shedding
from edge.locate import locator_from_config
from edge.outgoing import Outgoing, Sender
from edge.pipeline import Pipeline
from edge.publish.memory import MemoryPublisher
from edge.replay.record import read_frame_lines
from tests.integration.test_cameras import heard, running
from tests.integration.test_daemon import run

CRITICAL = "degrade: {memory: [1.3, 1.2, 1.1]}\n"  # no machine has more available than it has


def product(number: int) -> np.ndarray:
    """A product that lies still, seen by a sensor with noise: between the two sets of cut points."""
    mixed = 0.7 * samples.product(1) + 0.3 * samples.product(2)
    noise = np.random.default_rng(number).integers(-9, 10, mixed.shape)
    return np.clip(mixed + noise, 0, 255).astype(np.uint8)


def write_bundle(path: Path) -> Path:
    rules = samples.rules(6)
    cuts = replace(rules.cuts, strict_confidence=np.full(6, 0.9999, np.float32))
    return samples.write_sample_bundle(path, changed_rules=replace(rules, cuts=cuts))


def write_config(tmp_path: Path, endpoint: str, more: str, *cameras: str) -> Path:
    write_bundle(tmp_path / "bundle")
    path = tmp_path / "cart.yaml"
    lines = "".join(f"  - {{{camera}}}\n" for camera in cameras)
    head = f"device_id: cart-7\nbundle: {tmp_path}/bundle\ncameras:\n{lines}publish: {{decisions: '{endpoint}'}}\n"
    path.write_text(head + more)
    return path


def test_a_device_out_of_memory_closes_its_less_important_camera_and_accepts_less(
    tmp_path: Path, endpoint: str, subscriber: zmq.Socket
) -> None:
    recording = tmp_path / "recording"
    events, strict, beat = [], [], None
    with mjpeg_camera(product) as url:
        cameras = (f"id: basket, source: '{url}', priority: 5", "id: shelf, source: 'synthetic: 64x48'")
        with running(write_config(tmp_path, endpoint, CRITICAL, *cameras), "--record", recording):
            for message in heard(subscriber):
                if isinstance(message, messages.EventMessage):
                    events.append(message)
                elif isinstance(message, messages.HealthMessage):
                    beat = message
                elif message.degraded:
                    strict.append(message)
                if len(strict) >= 8 and beat is not None and beat.cameras[1].state == "shed":
                    break
    assert [event.event for event in events] == ["ladder_moved"]
    assert "step 4, shed_camera (memory" in events[0].summary
    assert beat is not None
    assert beat.ladder is not None
    assert (beat.ladder.step, beat.ladder.name) == (4, "shed_camera")
    assert beat.cameras[0].drops["thinned"] > 0
    assert {message.camera_id for message in strict[-4:]} == {"basket"}
    lines = [line for line in read_frame_lines(recording) if line.strict]
    assert {line.still_every for line in lines} == {8}
    done = run("replay", recording)
    assert done.stdout.endswith(" decisions compared, 0 differ\n"), done.stderr


class Sized:
    """A camera whose pictures are as large as `size` says."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def picture(self, number: int) -> np.ndarray:
        image = cv2.resize(product(number), self.size[::-1])
        image[:96, :96] = product(number)  # noise that never repeats
        return image


def test_a_camera_whose_frames_have_no_room_waits_until_a_less_important_one_is_closed(
    tmp_path: Path, endpoint: str, subscriber: zmq.Socket
) -> None:
    """Of 270 MiB the daemon takes about 195, and 110 with one camera; 64 slots of the large pictures want 94."""
    growing, resting, seen = Sized((96, 96)), Sized((480, 640)), list[str]()
    large = 832
    limits = "degrade: {memory_limit_mib: 270, own_memory: [0.8, 0.92, 0.93], calm_s: 600}\n"
    with mjpeg_camera(growing.picture) as basket, mjpeg_camera(resting.picture) as shelf:
        cameras = (
            f"id: basket, source: '{basket}', priority: 5, ring_slots: 64",
            f"id: shelf, source: '{shelf}', ring_slots: 64",
        )
        with running(write_config(tmp_path, endpoint, limits, *cameras)):
            for message in heard(subscriber):
                if isinstance(message, messages.EventMessage):
                    seen.append(message.summary)
                elif isinstance(message, messages.HealthMessage):
                    if all(camera.frames for camera in message.cameras):
                        growing.size = (600, large)
                elif message.region.width == large:
                    seen.append("large")
                    break
            beat = next(m for m in heard(subscriber) if isinstance(m, messages.HealthMessage))
    assert [text.split(" (")[0] for text in seen] == ["the device does less: step 4, shed_camera", "large"]
    assert "(own_memory " in seen[0]
    assert [camera.state for camera in beat.cameras] == ["running", "shed"]
    assert beat.cameras[0].drops["no_slot"] > 0, "what came meanwhile is counted"
    assert beat.cameras[0].failures == {}


def test_marks_in_the_wrong_order_are_refused_by_name(tmp_path: Path, endpoint: str) -> None:
    config = write_config(tmp_path, endpoint, "degrade: {disk_mib: [1, 2, 3]}\n", "id: a, source: 'synthetic: 64x48'")
    done = run("daemon", "--config", config, "--check")
    assert done.returncode == 2
    assert "degrade.disk_mib: [1.0, 2.0, 3.0], expected three falling numbers" in done.stderr


class Thermometer:
    """Reads what the test says."""

    def __init__(self) -> None:
        self.celsius = 50.0

    def read(self) -> dict[Axis, float]:
        return {Axis.TEMPERATURE: self.celsius}

    def taking(self, mib: float) -> dict[Axis, float]:  # noqa: ARG002  # nothing of it is memory
        return {}


def test_a_device_that_cools_down_opens_its_camera_again_and_accepts_as_before(tmp_path: Path) -> None:
    bundle = read_bundle(write_bundle(tmp_path / "bundle"))
    thermometer, publisher, stop = Thermometer(), MemoryPublisher(), threading.Event()
    health = Health(started_ns=time.monotonic_ns())
    with mjpeg_camera(product) as basket, mjpeg_camera(product) as shelf, ExitStack() as stack:
        configs = [CameraConfig(id=name, source=url) for name, url in (("basket", basket), ("shelf", shelf))]
        sources = [stack.enter_context(open_camera(config)) for config in configs]
        streams = [
            stream_of(config, source, (locator_from_config(config.locate, None), ExitStack()), 0)
            for source, config in zip(sources, configs, strict=True)
        ]
        engine = stack.enter_context(open_engine("onnxruntime", bundle.graph, EngineSpec(max_batch=4)))
        watch = stack.enter_context(Watch(thermometer, Ladder(marks_of(DegradeConfig()), 0.5), time.monotonic_ns))
        origin = messages.Origin("cart-7", "epoch", bundle.id)
        outgoing = Outgoing(bundle, origin, health, Sender(publisher, "json"), None)
        daemon = Daemon(
            streams, Pipeline(bundle, engine), outgoing, time.monotonic_ns, [Shedding(watch, health, outgoing)]
        )
        thread = threading.Thread(target=daemon.run, args=(stop,))
        thread.start()
        try:
            states = []
            for celsius, wanted in ((50.0, "running"), (99.0, "shed"), (50.0, "running")):
                thermometer.celsius = celsius
                give_up = time.monotonic() + 60
                while sources[1].state != wanted or (celsius < 90) != (not health.is_strict):
                    assert time.monotonic() < give_up, f"{sources[1].state}, expected {wanted}"
                    time.sleep(0.01)
                states.append(sources[1].state)
            shown = len(publisher.messages)
            while not any(t == "decision.shelf" and b'"degraded":false' in p for t, p in publisher.messages[shown:]):
                assert time.monotonic() < give_up
                time.sleep(0.01)
        finally:
            stop.set()
            thread.join(30)
    assert not thread.is_alive()
    sent = [messages.decode(payload) for _, payload in publisher.messages]
    decisions = [m for m in sent if isinstance(m, messages.DecisionMessage)]
    by_mode = {mode: {d.route for d in decisions if d.degraded is mode} for mode in (False, True)}
    assert "accept" in by_mode[False]
    assert "accept" not in by_mode[True], "between the two sets of cut points: only a sound device accepts it"
    back = [d for d in decisions if d.camera_id == "shelf" and not d.degraded][-1]
    assert back.seq > max(d.seq for d in decisions if d.degraded)
    moved = [m.summary for m in sent if isinstance(m, messages.EventMessage)]
    assert moved[0].startswith("the device does less: step 4, shed_camera (temperature 99)")
    assert moved[-1] == "the device does more again: step 0, whole"
