"""The measuring parts on a real bundle and engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import samples

from edge.bench.decide import decide
from edge.bench.paced import Pace, Parts, run_paced
from edge.bench.search import search
from edge.bench.source import MAX_FRAMES, measurable, refuse_live, sample_frames
from edge.bench.throughput import Round, bare_loop, crops_from_images
from edge.bundle import Bundle
from edge.capture.stills import write_still
from edge.config import CameraConfig, DaemonConfig, MetricsConfig, PublishConfig
from edge.engines import EngineSpec, open_engine
from edge.engines.fake import FakeEngine
from edge.errors import CaptureError, ConfigError, InputError
from edge.locate.full_frame import FullFrameLocator
from edge.ports import Engine, Locator
from edge.types import Crops, Embeddings, Frame, Region

SPIN_NS = 5_000_000
NUMKONG_PADDING = 136  # bytes a row at most: to 64, 64 more beside a power of two, sums (AVX-512 VNNI; AVX2: none)
PUBLISH = PublishConfig(decisions="ipc://unused")


class Nowhere(Locator):
    def _locate(self, frame: Frame) -> tuple[Region, ...]:  # noqa: ARG002  # it looks nowhere
        return ()


class Halves(Locator):
    def _locate(self, frame: Frame) -> tuple[Region, ...]:
        height, width = frame.image.shape[:2]
        return (Region(0, 0, width // 2, height, "left"), Region(width // 2, 0, width // 2, height, "right"))


class BusyEngine(Engine):
    """Takes SPIN_NS of processor time for every crop: nothing is saved where frames share a run."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self.input_height_px, self.input_width_px = inner.input_height_px, inner.input_width_px
        self.dimension, self.max_batch = inner.dimension, inner.max_batch

    def _embed(self, crops: Crops) -> Embeddings:
        end_ns = time.perf_counter_ns() + SPIN_NS * len(crops)
        while time.perf_counter_ns() < end_ns:
            pass
        return self._inner.embed(crops)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return samples.sample_bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture
def engine(bundle: Bundle) -> Iterator[Engine]:
    with open_engine("onnxruntime", bundle.graph, EngineSpec(threads=1, max_batch=bundle.info.max_batch)) as engine:
        yield engine


def images() -> list[np.ndarray]:
    return [samples.product(number) for number in range(3)]


def test_every_frame_is_timed_and_the_engine_is_part_of_its_latency(bundle: Bundle, engine: Engine) -> None:
    found = run_paced(Parts(bundle, engine, FullFrameLocator(), PUBLISH), images(), Pace(25, 1_000_000))
    assert [frame.number for frame in found.frames] == list(range(25))
    assert all(0 < frame.engine_ms < frame.latency_ms for frame in found.frames)
    assert all(after.due_ns - before.due_ns == 1_000_000 for before, after in pairwise(found.frames))


def test_the_schedule_does_not_wait_for_the_engine(bundle: Bundle, engine: Engine) -> None:
    parts = Parts(bundle, BusyEngine(engine), FullFrameLocator(), PUBLISH)
    found = run_paced(parts, images(), Pace(20, 1_000_000))
    # The last of 20 frames was due 19 ms after the first and could not be done before 20 batches of 5 ms.
    assert found.latencies_ms[-1] >= 20 * 5 - 19
    assert min(found.engine_ms) >= 5


def test_without_an_interval_a_frame_is_due_when_it_is_taken(bundle: Bundle, engine: Engine) -> None:
    parts = Parts(bundle, BusyEngine(engine), FullFrameLocator(), PUBLISH)
    found = run_paced(parts, images(), Pace(20, 0))
    assert min(found.latencies_ms) >= 5
    assert 0 < found.frames_per_s < 200


def test_a_frame_with_several_regions_is_one_latency(bundle: Bundle, engine: Engine) -> None:
    assert len(run_paced(Parts(bundle, engine, Halves(), PUBLISH), images(), Pace(5, 0)).frames) == 5


def test_a_frame_with_more_regions_than_a_batch_has_the_time_of_all_its_batches(bundle: Bundle, engine: Engine) -> None:
    class Columns(Locator):
        def _locate(self, frame: Frame) -> tuple[Region, ...]:  # noqa: ARG002  # the same everywhere
            return tuple(Region(9 * n, 0, 9, 96, str(n)) for n in range(2 * bundle.info.max_batch + 1))

    found = run_paced(Parts(bundle, BusyEngine(engine), Columns(), PUBLISH), images(), Pace(4, 0))
    assert len(found.frames) == 4
    assert min(found.engine_ms) >= 3 * 5


def test_no_decision_at_all_is_refused(bundle: Bundle, engine: Engine) -> None:
    with pytest.raises(InputError, match="no decision on 4 frames"):
        run_paced(Parts(bundle, engine, Nowhere(), PUBLISH), images(), Pace(4, 0))


def test_the_bare_loop_embeds_the_same_crops_in_the_batches_of_the_engine() -> None:
    class Counting(FakeEngine):
        sizes: list[int] = []  # noqa: RUF012  # one instance

        def _embed(self, crops: Crops) -> Embeddings:
            self.sizes.append(len(crops))
            return super()._embed(crops)

    with Counting(side_px=32, max_batch=4) as engine:
        assert bare_loop(engine, np.zeros((4, 32, 32, 3), np.uint8), [1, 9, 4]) > 0
        assert engine.sizes == [1, 4, 4, 1, 4]
        assert bare_loop(engine, np.zeros((4, 32, 32, 3), np.uint8), [3]) == 0  # one frame has no duration


def test_crops_are_those_of_the_regions_and_whole_frames_where_there_are_none(bundle: Bundle) -> None:
    halves, whole = (crops_from_images(images(), locator, bundle) for locator in (Halves(), Nowhere()))
    assert halves.shape == whole.shape == (bundle.info.max_batch, samples.SIDE_PX, samples.SIDE_PX, 3)
    assert halves.flags.c_contiguous
    assert not np.array_equal(halves[0], whole[0])


def test_the_ratio_is_of_one_round() -> None:
    assert Round(daemon_per_s=45.0, bare_per_s=50.0, first_decision_s=1.0, frames=9, decisions=9).ratio == 0.9


def assert_searched(found_mib: float, dots: str, rows: int, dimension: int, rest_mib: float = 0.005) -> None:
    """NumPy holds float32; NumKong int8 rows, which it pads by as much as the processor's kernels like."""
    least = rows * dimension * (4 if dots == "numpy" else 1) / 2**20
    padding = 0 if dots == "numpy" else rows * NUMKONG_PADDING / 2**20
    assert least <= found_mib <= least + padding + rest_mib


def test_search_times_every_query_and_accounts_for_the_table() -> None:
    found = search(skus=50, prototypes=3, dimension=1024, queries=12)
    assert found.queries_ms.shape == (12,)
    assert (found.queries_ms > 0).all()
    assert found.stored_mib == 150 * 1024 / 2**20
    assert_searched(found.searched_mib, found.dots, rows=150, dimension=1024)


def test_decide_sends_crops_every_way_and_accounts_for_all_that_is_held() -> None:
    found = decide(skus=200, prototypes=4, dimension=64, decisions=400)
    assert found.took_ms.shape == found.processor_ms.shape == (400,)
    assert 0 < np.median(found.processor_ms) <= 1.1 * np.median(found.took_ms)
    assert {"accept", "verify", "unknown"} <= set(found.routes)
    table_mib = 200 * 4 * 64 / 2**20
    assert found.held_mib["table as stored"] == pytest.approx(table_mib, rel=0.1)
    assert_searched(
        found.held_mib["table as searched, and the rest"], found.dots, rows=800, dimension=64, rest_mib=0.03
    )
    assert found.held_mib["golden crops"] == pytest.approx(8 * 224 * 224 * 3 / 2**20, rel=0.01)


def config(*sources: str) -> DaemonConfig:
    cameras = tuple(CameraConfig(id=f"c{n}", source=source, realtime=True) for n, source in enumerate(sources))
    metrics = MetricsConfig(listen="127.0.0.1:9108")
    return DaemonConfig(device_id="d", bundle="b", cameras=cameras, publish=PUBLISH, metrics=metrics)


def test_files_are_made_endless_and_unpaced_and_live_cameras_stay_as_they_are() -> None:
    before = config("clip.avi", "/dev/video0")
    after = measurable(before, "ipc://elsewhere")
    assert (after.cameras[0].loop, after.cameras[0].realtime) == (True, False)
    assert after.cameras[1] == before.cameras[1]
    assert after.publish.decisions == "ipc://elsewhere"
    assert after.metrics == MetricsConfig(listen="127.0.0.1:0")
    assert measurable(msgspec.structs.replace(before, metrics=None), "ipc://elsewhere").metrics is None


def test_a_live_camera_is_refused_by_name() -> None:
    refuse_live(config("clip.avi", "photos/"), Path("cart.yaml"))
    with pytest.raises(ConfigError, match=r"cart\.yaml: camera c1: its source is live"):
        refuse_live(config("clip.avi", "rtsp://camera/1"), Path("cart.yaml"))


def test_the_first_frames_of_a_folder_are_held(tmp_path: Path) -> None:
    for number in range(MAX_FRAMES + 2):
        write_still(tmp_path / f"{number:03d}.png", np.full((8, 9, 3), number, np.uint8))
    held = sample_frames(CameraConfig(id="c", source=str(tmp_path)))
    assert [int(image[0, 0, 0]) for image in held] == list(range(MAX_FRAMES))
    assert not held[0].flags.writeable


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no picture in this folder"):
        sample_frames(CameraConfig(id="c", source=str(tmp_path)))
