"""The TensorRT engine against bindings of seven versions by their real names; what computes is ONNX Runtime.

Nothing here ran on a GPU.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import samples
from onnx import TensorProto, helper
from vendor.fake_cuda import MIB, Cuda
from vendor.fake_tensorrt import ORIN, VERSIONS, TensorRt, put

from builder.trt_engine import Order, compile_graph
from edge.engines import EngineSpec, open_engine, open_reference
from edge.engines.cuda import Gpu
from edge.engines.plan import PLAN, PlanInfo, graph_sha256, plan_beside, write_plan
from edge.errors import BundleError, EngineError

ORDER = Order(max_batch=4, typical_batch=1, workspace_mib=64)
CROPS = np.stack([samples.product(n, samples.SIDE_PX, samples.SIDE_PX) for n in range(4)])


class Device:
    """A graph with its plan, on a device with one version of TensorRT."""

    def __init__(self, folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cuda = Cuda()
        self.trt = TensorRt(version, self.cuda)
        self._patch = monkeypatch
        self.install(self.trt, self.cuda)
        self.graph = samples.colour_graph(folder / "engine.onnx")
        self.spec = EngineSpec(max_batch=4, plan=plan_beside(folder / "bundle"))
        self.seal()

    def install(self, trt: TensorRt, cuda: Cuda, gpu: Callable[[], Gpu] = lambda: ORIN) -> None:
        put(self._patch, trt, cuda, gpu)

    def seal(self, plan: bytes | None = None, **changes: object) -> None:
        made = compile_graph(self.trt, self.graph.read_bytes(), ORDER, lambda *_: True).plan if plan is None else plan
        info = {
            "graph_sha256": graph_sha256(self.graph),
            "tensorrt": self.trt.__version__,
            "sm": 87,
            "gpu": "Orin",
            "max_batch": 4,
            "workspace_mib": 64,
            "seconds": 1.0,
        }
        PlanInfo(**{**info, **changes})  # type: ignore[arg-type]
        assert self.spec.plan is not None
        with write_plan(self.spec.plan, {**info, **changes}) as folder:
            (folder / PLAN).write_bytes(made)

    def refuses(self, match: str, kind: type[Exception] = EngineError) -> None:
        before = self.cuda.free_bytes
        with pytest.raises(kind, match=match):
            open_engine("tensorrt", self.graph, self.spec).__enter__()
        assert self.cuda.free_bytes == before
        assert self.cuda.counts["detached"] == self.cuda.counts["contexts"]


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(tmp_path, "10.3", monkeypatch)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_computes_what_the_reference_does_with_the_names_of_every_version(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(tmp_path, version, monkeypatch)
    with open_reference("tensorrt", device.graph, device.spec) as reference:
        expected = reference.embed(CROPS)
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        np.testing.assert_array_equal(engine.embed(CROPS), expected)
        np.testing.assert_array_equal(engine.embed(CROPS[2:3]), expected[2:3])
        np.testing.assert_array_equal(engine.embed(CROPS[:3]), expected[:3])


def test_names_that_a_version_lacks_are_missed() -> None:
    """The guard can fail: 8.5 has no `device_memory_size_v2`, 11.4 no INT8 flag."""
    with pytest.raises(AttributeError, match=r"ICudaEngine of TensorRT 8\.5 has no device_memory_size_v2"):
        _ = TensorRt("8.5", Cuda()).guard("ICudaEngine", object()).device_memory_size_v2
    assert not hasattr(TensorRt("11.4", Cuda()).BuilderFlag, "INT8")


def test_no_inference_allocates_and_closing_gives_everything_back(device: Device) -> None:
    before = device.cuda.free_bytes
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        taken = dict(device.cuda.counts)
        assert (taken["device memory"], taken["pinned memory"]) == (3, 2)  # two tensors, one of activations
        for count in (1, 4, 2, 3):  # every size of batch is made ready when it comes first
            engine.embed(CROPS[:count])
        ready = dict(device.cuda.counts)
        assert all(ready[name] == taken[name] for name in ("device memory", "pinned memory", "streams", "events"))
        for count in (1, 4, 2, 4, 1, 3) * 5:
            engine.embed(CROPS[:count])
        assert device.cuda.counts - Counter(ready) == {"cuGraphLaunch": 30}
        assert engine.device_memory_bytes == 3 * MIB + 4 * (CROPS[0].nbytes + engine.dimension * 4)  # type: ignore[attr-defined]
    assert device.cuda.free_bytes == before
    assert device.cuda.driver.leaked == 0
    assert device.cuda.counts["freed"] == device.cuda.counts["device memory"]
    assert device.cuda.counts["detached"] == device.cuda.counts["contexts"] == 1


def test_it_may_be_used_from_one_thread_after_another(device: Device) -> None:
    """The daemon embeds in its own thread and in the engine's: a context is current in one thread only."""
    rows = []
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        worker = threading.Thread(target=lambda: rows.append(engine.embed(CROPS)))
        worker.start()
        worker.join(timeout=30)
        np.testing.assert_array_equal(rows[0], engine.embed(CROPS))


def test_rows_do_not_change_when_the_engine_goes_on(device: Device) -> None:
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        first = engine.embed(CROPS[:1])
        kept = first.copy()
        engine.embed(CROPS[1:2])
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tensorrt": "8.6.2"}, r"made for TensorRT 8\.6\.2, here it is 10\.3\.0; run edge-build --compile-only"),
        ({"sm": 86}, "made for SM 86, here it is 87"),
        ({"graph_sha256": "ab" * 32}, "made for graph abababababab, here it is"),
        ({"sm": 72, "tensorrt": "8.5.2"}, r"made for TensorRT 8\.5\.2, .*; made for SM 72"),
    ],
    ids=["version", "GPU", "graph", "both"],
)
def test_a_plan_of_something_else_is_refused_with_the_difference(
    device: Device, changes: dict[str, object], said: str
) -> None:
    device.seal(**changes)
    device.refuses(said)


def test_a_plan_that_is_not_there_says_how_to_make_one(device: Device) -> None:
    device.spec = replace(device.spec, plan=device.graph.with_name("absent.plan"))
    device.refuses(r"absent\.plan: no such plan; run edge-build --compile-only")
    device.spec = replace(device.spec, plan=None)
    device.refuses("not compiled for this device yet; run edge-build --compile-only")


def test_a_damaged_plan_is_refused_by_file_name_before_a_gpu_is_asked(device: Device) -> None:
    assert device.spec.plan is not None
    file = device.spec.plan / PLAN
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    device.install(device.trt, device.cuda, lambda: pytest.fail("asked"))
    device.refuses(r"engine\.plan: changed since it was written", BundleError)


def test_without_a_gpu_tensorrt_is_not_touched(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Gpu:
        raise EngineError("no GPU: no CUDA driver")

    device.install(device.trt, device.cuda, none)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    device.refuses("no GPU: no CUDA driver")
    assert not device.cuda.counts


@pytest.mark.parametrize(
    ("module", "said"),
    [("tensorrt", "it comes with JetPack"), ("pycuda.driver", r"pip install 'shelfedge\[tensorrt\]'")],
)
def test_a_missing_package_says_where_it_comes_from(
    device: Device, monkeypatch: pytest.MonkeyPatch, module: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    device.refuses(said)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("deserialize", r"TensorRT does not take it \(Serialization assertion magicTagRead.*; compile it again"),
        ("context", "no execution context; it needs 3 MiB on the GPU"),
    ],
)
def test_a_plan_that_does_not_load_is_one_error_and_leaves_nothing(device: Device, fault: str, said: str) -> None:
    device.install(TensorRt("10.3", device.cuda, frozenset({fault})), device.cuda)
    device.refuses(said)


def test_a_gpu_without_memory_for_the_buffers_leaves_nothing(device: Device) -> None:
    device.cuda.free_bytes = 2000  # enough for neither
    device.refuses(r"cannot be loaded \(MemoryError: cuMemAlloc failed: out of memory\)")


def test_an_inference_that_is_refused_is_an_engine_error(device: Device) -> None:
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        device.trt.faults = frozenset({"execute"})
        with pytest.raises(EngineError, match="the inference was refused"):
            engine.embed(CROPS)
        device.trt.faults = frozenset()
        assert engine.embed(CROPS).shape == (4, engine.dimension)


def test_a_plan_of_another_kind_of_graph_is_refused(device: Device) -> None:
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["images"], ["y"], axis=1)],
        "floats",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 4, 4, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 48])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), device.graph)
    device.seal()
    device.refuses(r"expected one UINT8 \(N, H, W, 3\) and one FLOAT \(N, D\)")


def test_a_smaller_plan_makes_smaller_batches(device: Device) -> None:
    device.seal(max_batch=2)
    with open_engine("tensorrt", device.graph, device.spec) as engine:
        assert engine.max_batch == 2
