"""The lookup on a GPU, as the daemon opens it, on doubles of CUDA and TensorRT; ONNX Runtime computes.

Nothing here ran on a GPU.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import samples
from vendor.fake_cuda import Cuda
from vendor.fake_tensorrt import ORIN, VERSIONS, TensorRt, put

from builder import compile as command
from builder.cli import build
from edge import lookup
from edge.assembly import load
from edge.bundle import Bundle, read_bundle
from edge.config import EngineConfig
from edge.engines.plan import choose_lookup, plan_beside, read_plan
from edge.engines.trt_lookup import TensorRtLookup
from edge.errors import EngineError
from edge.parameters import PrototypeTable
from edge.pipeline import Pipeline

PICTURES = [samples.product(number) for number in range(6)] + [samples.grey(), samples.product(77)]


class Device:
    """A bundle that was compiled on a device with one version of TensorRT."""

    def __init__(self, folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        monkeypatch.setattr(command, "find_gpu", lambda: ORIN)
        self.install(version)
        path = samples.write_sample_bundle(folder / "bundle", engine="tensorrt")
        assert build(["--compile-only", str(path)]) == 0
        self.bundle = read_bundle(path)

    def install(self, version: str, *faults: str) -> None:
        self.cuda = Cuda()
        put(self._patch, TensorRt(version, self.cuda, frozenset(faults)), self.cuda)

    @property
    def plan(self) -> Path:
        return plan_beside(self.bundle.path)

    def searching(self, config: EngineConfig) -> str:
        """Return what looks up; decisions are those of the host, and everything is given back."""
        loaded = load(self.bundle, config)
        try:
            host = Pipeline(self.bundle, loaded.engine).decide(PICTURES)
            assert loaded.pipeline.decide(PICTURES) == host
            return loaded.pipeline._index.nearest.name
        finally:
            loaded.held.close()
            assert not self.cuda.memory
            assert self.cuda.driver.leaked == 0


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(tmp_path, "10.3", monkeypatch)


def table(sizes: list[int], dimension: int = samples.DIMENSION) -> PrototypeTable:
    owners = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    rows = np.random.default_rng(len(sizes)).integers(-127, 128, (len(owners), dimension))
    return PrototypeTable(rows.astype(np.int8), 0.005, owners)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_gives_the_hosts_bits_with_the_names_of_every_version(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(tmp_path, version, monkeypatch)
    held, rows = device.bundle.table, np.random.default_rng(0).normal(size=(11, samples.DIMENSION)).astype(np.float32)
    rows[3], rows[7, 1] = 0, np.nan
    exact = lookup.similarities(lookup.index_from_table(held), rows)
    with TensorRtLookup(read_plan(device.plan), held) as found:
        for count in (11, 1, 3, 0):  # more than a batch, too
            index = lookup.index_from_table(held, found)
            np.testing.assert_array_equal(lookup.similarities(index, rows[:count]), exact[:count])


def test_the_host_looks_up_until_the_plan_or_the_configuration_says_otherwise(device: Device) -> None:
    assert device.searching(EngineConfig()) in {"numkong", "numpy"}
    assert device.searching(EngineConfig(lookup="engine")) == "tensorrt"
    choose_lookup(read_plan(device.plan), "engine")
    assert device.searching(EngineConfig()) == "tensorrt"
    assert device.searching(EngineConfig(lookup="host")) in {"numkong", "numpy"}


def test_the_table_lies_on_the_gpu_once_and_no_query_allocates(device: Device) -> None:
    queries, before = np.zeros((4, samples.DIMENSION), np.int16), Counter(device.cuda.counts)
    with TensorRtLookup(read_plan(device.plan), device.bundle.table) as found:
        assert (device.cuda.counts - before)["device memory"] == 4  # planes, what is found, the table, activations
        for count in (1, 4):
            found(queries[:count])
        ready = Counter(device.cuda.counts)
        for count in (1, 4, 4, 1):
            found(queries[:count])
        assert device.cuda.counts - ready == {"cuGraphLaunch": 4}
    assert not device.cuda.memory


def test_enrolled_products_need_no_compiling_while_there_is_room(device: Device) -> None:
    for sizes in ([1] * 64, [1] * 3):
        held, rows = table(sizes), np.random.default_rng(1).normal(size=(3, samples.DIMENSION)).astype(np.float32)
        with TensorRtLookup(read_plan(device.plan), held) as found:
            assert lookup.agrees(held, found, rows)


@pytest.mark.parametrize(("sizes", "dimension"), [([1] * 65, 48), ([1, 2], 48), ([1, 1], 49)])
def test_a_table_that_does_not_fit_is_refused_with_what_it_needs(
    device: Device, sizes: list[int], dimension: int
) -> None:
    needed = rf"\({max(sizes)}, {len(sizes)}, {dimension}\)"
    with pytest.raises(EngineError, match=rf"room for \(1, 64, 48\) .*the table has {needed}; compile it again"):
        TensorRtLookup(read_plan(device.plan), table(sizes, dimension)).__enter__()
    assert not device.cuda.memory


def test_a_lookup_that_adds_up_otherwise_is_done_without_and_said(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.install("10.3", "sums")
    with caplog.at_level(logging.WARNING):
        assert device.searching(EngineConfig(lookup="engine")) in {"numkong", "numpy"}
    (line,) = caplog.messages
    assert "looking up on the host: " in line
    assert "finds other similarities than the CPU" in line


def test_a_plan_without_a_lookup_leaves_it_to_the_host_and_says_so(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    choose_lookup(replace(read_plan(device.plan), lookup=None), "engine")
    with caplog.at_level(logging.WARNING):
        assert device.searching(EngineConfig()) in {"numkong", "numpy"}
    assert "holds no lookup; compile it again" in caplog.text


def test_an_engine_that_is_stood_in_for_is_looked_up_on_the_host(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.install("11.4")  # the plan is of 10.3
    with caplog.at_level(logging.WARNING):
        found = device.searching(EngineConfig(lookup="engine", fallback="onnxruntime"))
    assert found in {"numkong", "numpy"}
    assert not caplog.messages


def test_a_lookup_that_fails_is_an_engine_error(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = np.zeros((1, samples.DIMENSION), np.int16)

    def broken(*_: object) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    with TensorRtLookup(read_plan(device.plan), device.bundle.table) as found:
        monkeypatch.setattr(device.cuda, "memcpy_htod_async", broken)
        with pytest.raises(EngineError, match=r"bundle\.plan: lookup failed: an illegal memory access"):
            found(queries)


def test_a_choice_leaves_everything_else_of_a_plan_as_it_was(device: Device) -> None:
    before = read_plan(device.plan)
    choose_lookup(before, "engine")
    after = read_plan(device.plan)
    assert after.info.lookup == "engine"
    choose_lookup(after, "host")
    assert read_plan(device.plan).info == before.info
    assert bundle_files(device.bundle, device.plan) == {"engine.plan", "lookup.plan", "manifest.json"}


def bundle_files(bundle: Bundle, plan: Path) -> set[str]:
    assert plan.parent == bundle.path.parent
    return {entry.name for entry in plan.iterdir()}
