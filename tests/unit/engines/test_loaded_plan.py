"""How a batch goes through a plan: as a graph that is captured once, or plainly; on doubles of CUDA and TensorRT.

Nothing here ran on a GPU.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest
from test_trt_engine import CROPS, Device
from vendor.fake_cuda import Cuda
from vendor.fake_tensorrt import VERSIONS

from edge.engines import loaded_plan, open_engine, open_reference
from edge.errors import EngineError


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(tmp_path, "10.3", monkeypatch)


def expected(device: Device) -> np.ndarray:
    with open_reference("tensorrt", device.graph, device.spec) as reference:
        return reference.embed(CROPS)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_size_of_batch_is_captured_once_and_launched_from_then_on(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8.5 has one context a profile, so it runs as before."""
    device, counts = Device(tmp_path, version, monkeypatch), {}
    rows = expected(device)
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        for count in (1, 3, 1, 4, 3, 3, 1):
            np.testing.assert_array_equal(engine.embed(CROPS[:count]), rows[:count])
            np.testing.assert_array_equal(engine.embed(CROPS[::-1][:count]), rows[::-1][:count])
        counts = dict(device.cuda.counts)
    captured = 0 if version == "8.5" else 3
    assert counts.get("cuStreamBeginCapture_v2", 0) == counts.get("cuGraphInstantiateWithFlags", 0) == captured
    assert counts.get("cuGraphLaunch", 0) == (0 if version == "8.5" else 14 - 3)
    assert device.cuda.driver.leaked == 0


@pytest.mark.parametrize("function", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
def test_where_capture_fails_the_plain_path_goes_on(
    device: Device, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rows = expected(device)
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        np.testing.assert_array_equal(engine.embed(CROPS[:2]), rows[:2])
        device.cuda.driver.faults = frozenset({function})
        for count in (1, 4, 1, 2):
            np.testing.assert_array_equal(engine.embed(CROPS[:count]), rows[:count])
        assert device.cuda.counts[function] == 2  # one that worked, one that did not: it is not tried again
        assert device.cuda.counts["cuGraphLaunch"] == 1  # what was captured before stays
    assert device.cuda.driver.leaked == 0
    assert len([line for line in caplog.messages if f"runs without CUDA graphs ({function} failed" in line]) == 1


def test_a_driver_without_capture_is_not_asked(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_plan, "driver_with_graphs", lambda: None)
    rows = expected(device)
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        for count in (1, 4, 1):
            np.testing.assert_array_equal(engine.embed(CROPS[:count]), rows[:count])
        assert device.cuda.counts["execution contexts"] == 1
        assert device.cuda.counts["cuStreamBeginCapture_v2"] == 0


def test_a_launch_that_fails_is_an_engine_error(device: Device) -> None:
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        engine.embed(CROPS[:1])
        device.cuda.driver.faults = frozenset({"cuGraphLaunch"})
        with pytest.raises(EngineError, match="cuGraphLaunch failed with CUDA error 900"):
            engine.embed(CROPS[:1])


def test_graphs_are_launched_from_any_thread(device: Device) -> None:
    rows, seen = expected(device), []
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        engine.embed(CROPS)
        worker = threading.Thread(target=lambda: seen.append(engine.embed(CROPS)))
        worker.start()
        worker.join(timeout=30)
        np.testing.assert_array_equal(seen[0], rows)
        assert device.cuda.counts["cuGraphLaunch"] == 1


def test_the_double_refuses_what_a_captured_stream_does() -> None:
    """The double can fail: what allocates or waits while its thread captures spoils the capture."""
    cuda = Cuda()
    cuda.Device(0).retain_primary_context().push()
    cuda.capturing[1] = threading.get_ident()
    for forbidden in (lambda: cuda.mem_alloc(4), lambda: cuda.pagelocked_empty((1,), np.uint8)):
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            forbidden()
    assert cuda.driver.is_invalidated
