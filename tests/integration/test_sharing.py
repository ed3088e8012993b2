"""The same frames give the same decisions, to the last bit, whatever shares their runs of the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import samples

from edge import messages
from edge.batching import Arrivals, Coming
from edge.bundle import Bundle
from edge.capture.memory import MemorySource, frames_from_images
from edge.config import CameraConfig
from edge.daemon import Daemon, stream_of
from edge.degrade.ladder import Measures
from edge.engines import EngineSpec, open_engine
from edge.errors import EngineError
from edge.health import Health
from edge.outgoing import Outgoing, Sender
from edge.pipeline import Pipeline
from edge.ports import Engine, Locator
from edge.publish.memory import MemoryPublisher
from edge.types import Crops, Embeddings, Frame, Image, Region

FRAMES = 36
NAMES = ("basket", "shelf", "till")
OWN = {"decision_id", "seq", "latency_ms"}  # of one run


class Patches(Locator):
    """One to three regions a frame, so that runs are filled unevenly."""

    def _locate(self, frame: Frame) -> tuple[Region, ...]:
        count = 1 + frame.number % 3
        return tuple(Region(24 * (n % 4), 48 * (n // 4), 24, 48, str(n)) for n in range(count))


class Crowded(Locator):
    """A frame of many things."""

    def _locate(self, frame: Frame) -> tuple[Region, ...]:  # noqa: ARG002  # the same in every frame
        return tuple(Region(n, n, 40, 40, str(n)) for n in range(24))


class Steady(Engine):
    """Takes as long for four crops as for one; `sizes` are those of its runs."""

    def __init__(self, inner: Engine, took_ms: float) -> None:
        self._inner = inner
        self._took_s = took_ms / 1_000
        self.sizes: list[int] = []
        self.input_height_px, self.input_width_px = inner.input_height_px, inner.input_width_px
        self.dimension, self.max_batch = inner.dimension, inner.max_batch

    def _embed(self, crops: Crops) -> Embeddings:
        self.sizes.append(len(crops))
        time.sleep(self._took_s)
        return self._inner.embed(crops)


class LiveSource(MemorySource):
    is_live = True


class Noted(LiveSource):
    """Keeps, for all of its kind, whose frames were taken."""

    taken: ClassVar[list[str]] = []

    def _read(self, timeout_ms: int) -> Frame | None:
        frame = super()._read(timeout_ms)
        self.taken.append(self.camera_id)
        return frame


class Ticking(LiveSource):
    """A frame every 50 ms, as the loop sees it."""

    _read_ns = 0

    def deadline_ns(self) -> int | None:
        return self._read_ns + 50_000_000 if super().ready() else None

    def ready(self) -> bool:
        return super().ready() and time.monotonic_ns() >= self._read_ns + 50_000_000

    def _read(self, timeout_ms: int) -> Frame | None:
        self._read_ns = time.monotonic_ns()
        frame = super()._read(timeout_ms)
        return frame and replace(frame, captured_ns=self._read_ns)


def images(seed: int) -> list[Image]:
    """Products under noise, so that no two looks have the same score."""
    rng = np.random.default_rng(seed)
    noisy = []
    for number in range(FRAMES):
        product = samples.product(number % 6).astype(np.int16)
        noisy.append(np.clip(product + rng.integers(-60, 61, product.shape), 0, 255).astype(np.uint8))
    return noisy


def decided(
    bundle: Bundle,
    names: Sequence[str],
    source: type[MemorySource] = MemorySource,
    batch: int = 0,
    took_ms: float = 15.0,
    crowded: str = "",
) -> tuple[dict[str, list[dict[str, Any]]], list[int]]:
    """Decide on the frames of these cameras; return decisions of each, without what is of one run, and run sizes."""
    publisher, health = MemoryPublisher(), Health(started_ns=time.monotonic_ns())
    with ExitStack() as stack:
        spec = EngineSpec(max_batch=bundle.info.max_batch)
        engine = Steady(stack.enter_context(open_engine("onnxruntime", bundle.graph, spec)), took_ms)
        streams = []
        for name in names:
            start_ns = time.monotonic_ns()
            frames = frames_from_images(name, images(NAMES.index(name)), start_ns=start_ns)
            camera = stack.enter_context(source(name, frames))
            config = CameraConfig(id=name, source="synthetic: 96x96")
            locator = Crowded() if name == crowded else Patches()
            streams.append(stream_of(config, camera, (locator, ExitStack()), 0))
        outgoing = Outgoing(bundle, messages.Origin("cart-7", "e", bundle.id), health, Sender(publisher, "json"), None)
        daemon = Daemon(streams, Pipeline(bundle, engine), outgoing, time.monotonic_ns)
        daemon.measures = Measures(batch=batch)
        daemon.run(threading.Event())
    sent = [messages.decode(payload) for _, payload in publisher.messages]
    looks = [message for message in sent if isinstance(message, messages.DecisionMessage)]
    assert [look.seq for look in looks] == sorted(look.seq for look in looks)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for look in looks:
        told = {name: getattr(look, name) for name in look.__struct_fields__ if name not in OWN}
        found[look.camera_id].append({k: v for k, v in told.items() if not k.startswith("captured")})
    return found, engine.sizes


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return samples.sample_bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def alone(bundle: Bundle) -> dict[str, list[dict[str, Any]]]:
    """Each camera by itself, a crop a run."""
    found = {}
    for name in NAMES:
        own, sizes = decided(bundle, [name], batch=1)
        assert set(sizes) == {1}
        found.update(own)
    return found


@pytest.mark.parametrize("source", [MemorySource, LiveSource])
def test_frames_of_three_cameras_share_runs_and_are_decided_as_each_alone(
    bundle: Bundle, alone: dict[str, list[dict[str, Any]]], source: type[MemorySource]
) -> None:
    together, sizes = decided(bundle, NAMES, source)
    assert together == alone
    assert len({look["confidence"] for looks in alone.values() for look in looks}) > FRAMES
    looks = sum(len(looks) for looks in alone.values())
    runs_apart = len(NAMES) * sum(-(-(1 + n % 3) // bundle.info.max_batch) for n in range(FRAMES))
    assert sum(sizes) == looks
    assert len(sizes) < 0.8 * runs_apart, "runs were shared"


def test_frames_of_one_file_share_runs_too(bundle: Bundle, alone: dict[str, list[dict[str, Any]]]) -> None:
    found, sizes = decided(bundle, ["basket"])
    assert found["basket"] == alone["basket"]
    assert sum(sizes) == len(alone["basket"])
    assert len(sizes) < sum(-(-(1 + n % 3) // bundle.info.max_batch) for n in range(FRAMES))


@pytest.mark.parametrize("window_ms", [0, 7, 60])
def test_crops_that_wait_for_another_camera_are_decided_alike_whether_it_comes_or_not(
    bundle: Bundle, alone: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, window_ms: int
) -> None:
    asked = []

    def window_ns(_times: object, have: int, limit: int, coming: list[Coming], budget_ns: float) -> int:
        asked.append((have, limit, len(coming), budget_ns))
        return window_ms * 1_000_000

    monkeypatch.setattr("edge.daemon.window_ns", window_ns)
    monkeypatch.setattr(Arrivals, "next", lambda *_: Coming(1e6, 2.0))  # whoever gives frames is expected soon
    together, sizes = decided(bundle, NAMES, Ticking, took_ms=0.1)  # free most of the time
    assert together == alone
    assert sum(sizes) == sum(len(looks) for looks in alone.values())
    assert all(0 < have <= limit == bundle.info.max_batch and budget_ns < 1e9 for have, limit, _, budget_ns in asked)
    assert max(cameras for _, _, cameras, _ in asked) == 2, "the others, not itself"


@pytest.mark.parametrize("crowded", NAMES)
def test_of_cameras_that_have_a_frame_each_is_taken_in_turn_however_much_is_in_it(bundle: Bundle, crowded: str) -> None:
    Noted.taken.clear()
    decided(bundle, NAMES, Noted, took_ms=1.0, crowded=crowded)
    turns = [Noted.taken[start : start + len(NAMES)] for start in range(0, len(Noted.taken), len(NAMES))]
    assert len(turns) == FRAMES
    assert {frozenset(turn) for turn in turns} == {frozenset(NAMES)}


def test_decisions_of_a_camera_come_in_the_order_of_its_frames(
    bundle: Bundle, alone: dict[str, list[dict[str, Any]]]
) -> None:
    together, _ = decided(bundle, NAMES)
    for looks in together.values():
        assert [look["frame"] for look in looks] == sorted(look["frame"] for look in looks)


def test_an_engine_that_fails_in_a_shared_run_ends_the_daemon(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Steady, crops: Crops) -> Embeddings:
        if len(self.sizes) > 20:
            raise RuntimeError("told to fail")
        self.sizes.append(len(crops))
        return self._inner.embed(crops)

    monkeypatch.setattr(Steady, "_embed", broken)
    with pytest.raises(EngineError, match="told to fail"):
        decided(bundle, NAMES)
