"""The half of TensorRT that runs plans, which `vendor.fake_tensorrt` makes: ONNX Runtime computes for `fake_cuda`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from vendor.fake_cuda import MIB

if TYPE_CHECKING:
    from vendor.fake_tensorrt import TensorRt


class Runtime:
    def __init__(self, trt: TensorRt, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        self._trt._cuda.need_context()
        if not plan.startswith(b"plan ") or "deserialize" in self._trt.faults:
            self._logger.log(self._trt.ILogger.ERROR, "Serialization assertion magicTagRead == kMAGIC_TAG failed.")
            return None
        header, _, graph = plan[5:].partition(b"\n")
        return self._trt.guard("ICudaEngine", Engine(self._trt, graph, json.loads(header)))


class Engine:
    device_memory_size = device_memory_size_v2 = 3 * MIB

    def __init__(self, trt: TensorRt, graph: bytes, made: dict[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._trt, self.most, self.shares, self._contexts = trt, made["most"], made["shares"], 0
        self.tensors = {one.name: one for one in (*self.session.get_inputs(), *self.session.get_outputs())}
        self.num_io_tensors = len(self.tensors)
        sizes: dict[str, int] = {}  # what free dimensions of the graph were told, by name
        for one in self.session.get_inputs():
            told = made["shapes"].get(one.name, [])
            sizes |= {name: size for name, size in zip(one.shape, told, strict=False) if isinstance(name, str)}
        self.shapes = {
            name: tuple(size if isinstance(size, int) else sizes.get(size, -1) for size in one.shape)
            for name, one in self.tensors.items()
        }

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> int:
        is_input = name in {one.name for one in self.session.get_inputs()}
        found: int = self._trt.TensorIOMode.INPUT if is_input else self._trt.TensorIOMode.OUTPUT
        return found

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> int:
        kinds = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT", "tensor(int8)": "INT8"}
        found: int = getattr(self._trt.DataType, kinds.get(self.tensors[name].type, "INT32"))
        return found

    def create_execution_context(self, strategy: int) -> Any:
        assert strategy == self._trt.ExecutionContextAllocationStrategy.USER_MANAGED, "memory is ours alone"
        return self.create_execution_context_without_device_memory()

    def create_execution_context_without_device_memory(self) -> Any:
        self._trt._cuda.refuse_while_capturing("context")
        if "context" in self._trt.faults:
            return None
        self._contexts += 1
        self._trt._cuda.counts["execution contexts"] += 1
        profile = 0 if self.shares or self._contexts == 1 else -1
        return self._trt.guard("IExecutionContext", Context(self._trt, self, profile))


class Context:
    """Defers what a new shape sets off to the first run, which cannot be captured; a change later spoils its graphs."""

    def __init__(self, trt: TensorRt, engine: Engine, profile: int) -> None:
        self._trt, self._engine, self.active_optimization_profile = trt, engine, profile
        self._address: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._changes, self._flushed = 0, -1
        self.device_memory = 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size == self._engine.device_memory_size
        self.device_memory = memory

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._address[name] = address
        self._changes += 1
        return address in self._trt._cuda.memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name in self._address
        if self.active_optimization_profile < 0:
            return False
        self._shapes[name] = tuple(shape)
        self._changes += 1
        compiled = self._engine.shapes[name]
        fits = all(size in {-1, told} for size, told in zip(compiled, shape, strict=True))
        return fits and (compiled[0] > 0 or 1 <= shape[0] <= self._engine.most)

    def execute_async_v3(self, stream_handle: int) -> bool:
        cuda, session, changes = self._trt._cuda, self._engine.session, self._changes
        if "execute" in self._trt.faults or self.active_optimization_profile < 0:
            return False
        if stream_handle in cuda.capturing and self._flushed != changes:
            cuda.driver.is_invalidated = True
            return False
        self._flushed = changes
        cuda.need_context()
        assert cuda.memory[self.device_memory].nbytes == self._engine.device_memory_size
        inputs, out = [one.name for one in session.get_inputs()], session.get_outputs()[0].name
        assert self._shapes.keys() == set(inputs)
        kinds = {"tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(float)": np.float32}

        def run() -> None:
            assert self._changes == changes, "a graph outlived a change of its context"
            given = {}
            for name in inputs:
                kind, shape = np.dtype(kinds[self._engine.tensors[name].type]), self._shapes[name]
                size = int(np.prod(shape)) * kind.itemsize
                given[name] = cuda.memory[self._address[name]][:size].view(kind).reshape(shape)
            found = session.run(None, given)[0]
            if out == "nearest" and "sums" in self._trt.faults:
                found[:, 0] += 1
            rows = np.ascontiguousarray(found).reshape(-1).view(np.uint8)
            cuda.memory[self._address[out]][: rows.nbytes] = rows

        cuda.streams[stream_handle].append(run)
        return True
