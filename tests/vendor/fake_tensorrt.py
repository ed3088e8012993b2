"""TensorRT as far as our code may use it, on a GPU that is not there: ONNX Runtime computes.

`TensorRt(version)` has the names of that version's bindings and no other (tensorrt_names.json, read off the real ones),
so code that touches a name which a version lacks fails here. Engines run on `vendor.fake_cuda`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from vendor.fake_cuda import MIB, Cuda
from vendor.fake_runtime import Runtime

import edge.engines.trt as adapter
from builder.trt_engine import Order, compile_graph
from edge.engines import loaded_plan
from edge.engines.cuda import Gpu
from edge.engines.plan import PLAN, graph_sha256, write_plan

NAMES: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("tensorrt_names.json").read_text())
VERSIONS = tuple(NAMES)
ORIN = Gpu(name="Orin", sm=87, driver="12.6", free_mib=3072, total_mib=7168)
NEEDED_WORKSPACE = 8 * MIB  # of every network here
ENUMS = (
    "BuilderFlag",
    "NetworkDefinitionCreationFlag",
    "MemoryPoolType",
    "TensorIOMode",
    "DataType",
    "ProfilingVerbosity",
    "PreviewFeature",
    "ComputeCapability",
    "ExecutionContextAllocationStrategy",
)


def install(patch: pytest.MonkeyPatch, graph: Path, max_batch: int, version: str = "10.3") -> Path:
    """Put the GPU and one version of TensorRT in place; return the plan of a graph, sealed beside it."""
    cuda = Cuda()
    trt = TensorRt(version, cuda)
    put(patch, trt, cuda)
    plan = graph.with_suffix(".plan")
    made = compile_graph(trt, graph.read_bytes(), Order(max_batch, 1, 64), lambda *_: True)
    content = {"graph_sha256": graph_sha256(graph), "tensorrt": trt.__version__, "sm": ORIN.sm, "gpu": ORIN.name}
    with write_plan(plan, {**content, "max_batch": max_batch, "workspace_mib": 64, "seconds": 1.0}) as folder:
        (folder / PLAN).write_bytes(made.plan)
    return plan


def put(patch: pytest.MonkeyPatch, trt: TensorRt, cuda: Cuda, gpu: Callable[[], Gpu] = lambda: ORIN) -> None:
    """Let the adapter find these in the place of the real packages and the real GPU."""
    patch.setitem(sys.modules, "tensorrt", trt)  # type: ignore[arg-type]
    patch.setitem(sys.modules, "pycuda.driver", cuda)  # type: ignore[arg-type]
    patch.setattr(adapter, "find_gpu", gpu)
    patch.setattr(loaded_plan, "driver_with_graphs", lambda: cuda.driver)


class Guard:
    """Lets through the attributes that a class of one version has."""

    def __init__(self, names: set[str], target: Any, what: str) -> None:
        self.__dict__.update(_names=names, _target=target, _what=what)

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(f"{self._what} has no {name}")
        return getattr(self._target, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names:
            raise AttributeError(f"{self._what} has no {name}")
        setattr(self._target, name, value)


class TensorRt:
    """The module `tensorrt` of one version. `cuda` is where its engines run; `faults` are the calls that fail."""

    def __init__(self, version: str, cuda: Cuda, faults: frozenset[str] = frozenset()) -> None:
        self.__version__ = f"{version}.0" if version[0].isdigit() else "1.7.1"
        self.faults = faults
        self._cuda = cuda
        self._version = version
        names = NAMES[version]
        for name in ENUMS:
            if name in names:
                setattr(self, name, self._enum(name))

        class ILogger:
            INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

            def __init__(self) -> None:
                self.is_ready = True

            def log(self, severity: int, message: str) -> None:
                raise NotImplementedError

        self.ILogger = ILogger
        if "IProgressMonitor" in names:
            self.IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda _: None})

    def guard(self, kind: str, target: Any) -> Any:
        return Guard(set(NAMES[self._version][kind].split()), target, f"{kind} of TensorRT {self._version}")

    def _enum(self, kind: str) -> Any:
        members = {n: i for i, n in enumerate(NAMES[self._version][kind].split()) if n.isupper() or n[:1].isupper()}
        return SimpleNamespace(**members)

    def Builder(self, logger: Any) -> Any:  # noqa: N802  # the vendor's name
        assert logger.is_ready
        return self.guard("Builder", _Builder(self, logger))

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802  # the vendor's name
        return self.guard("OnnxParser", _Parser(self, network, logger))

    def Runtime(self, logger: Any) -> Any:  # noqa: N802  # the vendor's name
        return self.guard("Runtime", Runtime(self, logger))


class _Builder:
    def __init__(self, trt: TensorRt, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def create_network(self, flags: int) -> Any:
        names = self._trt.NetworkDefinitionCreationFlag
        explicit = getattr(names, "EXPLICIT_BATCH", None)
        strong = 1 << names.STRONGLY_TYPED if hasattr(names, "STRONGLY_TYPED") else 0
        assert flags & ~strong == (0 if explicit is None else 1 << explicit), (
            "a free batch needs EXPLICIT_BATCH where there is one"
        )
        is_weak = hasattr(self._trt.BuilderFlag, "INT8") and not flags & strong
        return self._trt.guard("INetworkDefinition", _Network(self._trt, is_weak))

    def create_builder_config(self) -> Any:
        return self._trt.guard("IBuilderConfig", _Config(self._trt))

    def create_optimization_profile(self) -> Any:
        return self._trt.guard("IOptimizationProfile", _Profile())

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        inner, given = config._target, network._target
        assert inner.flags == ({self._trt.BuilderFlag.INT8} if given.is_weak else set()), "types are told or written"
        if inner.workspace < NEEDED_WORKSPACE:
            self._logger.log(self._trt.ILogger.ERROR, "no tactics to implement the operation within workspace limit")
            return None
        monitor = inner.progress_monitor
        if monitor is not None:
            monitor.phase_start("Building Engine", None, 2)
            monitor.phase_start("Tactics", "Building Engine", 5)
            assert all(monitor.step_complete("Tactics", step) for step in range(5))
            monitor.phase_finish("Tactics")
            monitor.phase_finish("Building Engine")
        inner.cache.timings += 1
        header = {"most": inner.profile.shapes[2][0], "shapes": given.shapes, "shares": self._shares_profiles(inner)}
        return b"plan " + json.dumps(header).encode() + b"\n" + given.graph

    def _shares_profiles(self, config: _Config) -> bool:
        """8.5 does not, 8.6 does when told so, later ones do."""
        sharing = getattr(self._trt.PreviewFeature, "PROFILE_SHARING_0806", None)
        return sharing in config.preview if self._trt.__version__.startswith("8.") else True


class _Network:
    def __init__(self, trt: TensorRt, is_weak: bool) -> None:
        self._trt, self.is_weak, self.graph, self.num_layers = trt, is_weak, b"", 0
        self.shapes: dict[str, list[int]] = {}  # of the inputs, as they were told

    @property
    def num_inputs(self) -> int:
        return len(onnx.load_from_string(self.graph).graph.input)

    def get_input(self, index: int) -> Any:
        value = onnx.load_from_string(self.graph).graph.input[index]
        shape = tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim)
        return self._trt.guard("ITensor", _Input(self, value.name, shape))


class _Input:
    def __init__(self, network: _Network, name: str, shape: tuple[int, ...]) -> None:
        self._network, self.name, self._shape = network, name, shape

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._network.shapes.get(self.name, self._shape))

    @shape.setter
    def shape(self, told: tuple[int, ...]) -> None:
        assert len(told) == len(self._shape)
        assert all(size in {-1, new} for size, new in zip(self._shape, told, strict=True))
        self._network.shapes[self.name] = list(told)


class _Parser:
    def __init__(self, trt: TensorRt, network: Any, logger: Any) -> None:
        self._trt, self._network, self._errors = trt, network, []  # type: tuple[TensorRt, Any, list[Any]]
        self._logger = logger

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return self._trt.guard("ParserError", self._errors[index])

    def parse(self, graph: bytes) -> bool:
        model = onnx.load_from_string(graph)
        for number, node in enumerate(model.graph.node):
            if node.op_type == "QuantizeLinear" and self._zero_point(model, node):
                self._errors.append(_ParserError(number, node))
        self._network._target.graph = graph
        self._network._target.num_layers = len(model.graph.node)
        return not self._errors

    @staticmethod
    def _zero_point(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
        held = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
        return len(node.input) > 2 and bool(held[node.input[2]].any())


class _ParserError:
    def __init__(self, number: int, node: onnx.NodeProto) -> None:
        self._number, self._node = number, node

    def node(self) -> int:
        return self._number

    def node_name(self) -> str:
        return self._node.name

    def node_operator(self) -> str:
        return self._node.op_type

    def desc(self) -> str:
        return "Non-zero zero point is not supported"


class _Config:
    def __init__(self, trt: TensorRt) -> None:
        self._trt, self.workspace, self.flags = trt, 1 << 62, set()  # type: tuple[TensorRt, int, set[int]]
        self.profiling_verbosity, self.progress_monitor, self.cache = 0, None, _Cache(b"")  # type: ignore[var-annotated]
        self.profile = _Profile()
        self.preview: set[int] = set()
        self.num_compute_capabilities = 1

    def set_memory_pool_limit(self, pool: int, size: int) -> None:
        assert pool == self._trt.MemoryPoolType.WORKSPACE
        self.workspace = size

    def set_flag(self, flag: int) -> None:
        self.flags.add(flag)

    def set_preview_feature(self, feature: int, on: bool) -> None:
        assert on
        self.preview.add(feature)

    def add_optimization_profile(self, profile: Any) -> None:
        self.profile = profile._target

    def create_timing_cache(self, data: bytes) -> Any:
        return self._trt.guard("ITimingCache", _Cache(data))

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> None:
        assert not ignore_mismatch
        self.cache = cache._target

    def get_timing_cache(self) -> Any:
        return self._trt.guard("ITimingCache", self.cache)

    def set_compute_capability(self, capability: int, index: int) -> None:
        self.capability = (capability, index)


class _Cache:
    def __init__(self, data: bytes) -> None:
        self.timings = int(data or b"0")

    def serialize(self) -> bytes:
        return str(self.timings).encode()


class _Profile:
    def __init__(self) -> None:
        self.shapes: tuple[tuple[int, ...], ...] = ()

    def set_shape(self, name: str, least: Any, typical: Any, most: Any) -> None:
        assert name in {"images", "planes"}
        self.shapes = (least, typical, most)
