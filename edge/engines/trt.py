"""TensorRT through pycuda: the engine of a Jetson.

A plan (`edge.engines.plan`) is loaded into the primary context of the first GPU. Device and pinned host memory for the
largest batch are taken once, at the start; an inference copies in, runs and copies out on one stream and allocates
nothing. The thread sleeps while the GPU works (blocking event), which leaves a core to the rest of the device.

One path for TensorRT 8.5 to 11: only names that all of them have, features found by `hasattr`, never by version. The
tests hold this file to the names of seven versions. A GPU is proved to work in a child process before TensorRT is
touched: its Runtime ends the process where there is no driver.

Limits: one GPU, one profile, one stream. A GPU that hangs in a kernel hangs the call (the driver offers no way back).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.engines.cuda import find_gpu
from edge.engines.plan import Plan, read_plan, refuse_other
from edge.errors import EngineError
from edge.ports import Engine
from edge.types import Crops, Embeddings

if TYPE_CHECKING:
    from pathlib import Path

    from edge.engines import EngineSpec

__all__ = ["TensorRtEngine", "import_tensorrt", "logger_for"]


class TensorRtEngine(Engine):
    """The plan `spec.plan` of a graph, uint8 (N, H, W, 3) in and float32 (N, D) out."""

    def __init__(self, graph: Path, spec: EngineSpec) -> None:
        self._graph = graph
        self._spec = spec
        self._held: _Held | None = None
        self.max_batch = spec.max_batch

    @property
    def device_memory_bytes(self) -> int:
        """What the context and the buffers take on the GPU beside the plan's weights; 0 while closed."""
        return 0 if self._held is None else self._held.device_memory_bytes

    def _open(self) -> None:
        folder = self._spec.plan
        if folder is None or not folder.exists():
            found = f"{self._graph}: not compiled for this device yet" if folder is None else f"{folder}: no such plan"
            raise EngineError(f"{found}; run edge-build --compile-only {self._graph.parent}")
        plan = read_plan(folder)
        gpu = find_gpu()
        trt, cuda = import_tensorrt(), _import_pycuda()
        refuse_other(plan, self._graph, str(trt.__version__), gpu.sm)
        self.max_batch = min(self._spec.max_batch, plan.info.max_batch)
        held = _Held(trt, cuda, plan)
        try:
            self.input_height_px, self.input_width_px, self.dimension = held.load(self.max_batch)
        except BaseException:
            held.close()
            raise
        self._held = held

    def _close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _embed(self, crops: Crops) -> Embeddings:
        if self._held is None:
            raise EngineError(f"{self._graph}: engine is not open; use it inside `with`")
        return self._held.run(crops)


class _Held:
    """What lies on the GPU. Its context is current in a thread only inside a call, for the daemon's threads change."""

    def __init__(self, trt: Any, cuda: Any, plan: Plan) -> None:
        self._trt, self._cuda, self._plan = trt, cuda, plan
        self._log = logger_for(trt)
        self._primary: Any = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._device: list[Any] = []
        self._host: list[Any] = []
        self._stream: Any = None
        self._done: Any = None
        self._names: tuple[str, str] = ("", "")
        self._batch = 0  # the shape that the context was told last
        self.device_memory_bytes = 0

    def load(self, max_batch: int) -> tuple[int, int, int]:
        """Load the plan and take all memory; returns height, width and values a row. Raises EngineError."""
        try:
            self._cuda.init()
            self._primary = self._cuda.Device(0).retain_primary_context()
            self._primary.push()
        except Exception as error:  # noqa: BLE001  # pycuda's errors share no base class that is there without a driver
            raise EngineError(f"{self._plan.path}: no CUDA context ({error}); check the driver") from None
        try:
            return self._load(max_batch)
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001  # the same
            raise EngineError(
                f"{self._plan.path}: cannot be loaded ({type(error).__name__}: {error}){self._said()}; free memory on "
                "the device, or compile again"
            ) from None
        finally:
            self._cuda.Context.pop()

    def run(self, crops: Crops) -> Embeddings:
        """Return (N, D) rows, a view that the next call overwrites."""
        count = len(crops)
        self._primary.push()
        try:
            name = self._names[0]
            if count != self._batch and not self._context.set_input_shape(name, crops.shape):
                raise EngineError(f"{self._plan.path}: a batch of {count} is refused{self._said()}; compile again")
            self._batch = count
            given, rows = self._host[0][:count], self._host[1][:count]
            np.copyto(given, crops)
            self._cuda.memcpy_htod_async(self._device[0], given, self._stream)
            if not self._context.execute_async_v3(self._stream.handle):
                raise EngineError(f"{self._plan.path}: the inference was refused{self._said()}; restart the daemon")
            self._cuda.memcpy_dtoh_async(rows, self._device[1], self._stream)
            self._done.record(self._stream)
            self._done.synchronize()
            return np.asarray(rows)
        finally:
            self._cuda.Context.pop()

    def close(self) -> None:
        """Give everything back, in the order in which it depends on each other."""
        if self._primary is None:
            return
        self._primary.push()
        try:
            self._context = self._engine = self._runtime = None
            self._stream = self._done = None
            for memory in self._device:
                memory.free()
            self._device, self._host = [], []
        finally:
            self._cuda.Context.pop()
            self._primary.detach()
            self._primary = None
            self.device_memory_bytes = 0

    def _load(self, max_batch: int) -> tuple[int, int, int]:
        trt = self._trt
        self._runtime = trt.Runtime(self._log)
        engine = self._engine = self._runtime.deserialize_cuda_engine(self._plan.file.read_bytes())
        if engine is None:
            raise EngineError(f"{self._plan.path}: TensorRT does not take it{self._said()}; compile it again")
        self._names, shapes = self._signature(engine)
        self._context = engine.create_execution_context()
        if self._context is None:
            raise EngineError(
                f"{self._plan.path}: no execution context{self._said()}; it needs "
                f"{_context_bytes(engine) / (1 << 20):.0f} MiB on the GPU beside its weights, free some"
            )
        for name, shape, kind in zip(self._names, shapes, (np.uint8, np.float32), strict=True):
            held = self._cuda.pagelocked_empty((max_batch, *shape), kind)
            self._host.append(held)
            self._device.append(self._cuda.mem_alloc(held.nbytes))
            if not self._context.set_tensor_address(name, int(self._device[-1])):
                raise EngineError(f"{self._plan.path}: the address of {name} is refused{self._said()}; compile again")
        self._stream = self._cuda.Stream()
        self._done = self._cuda.Event(self._cuda.event_flags.BLOCKING_SYNC | self._cuda.event_flags.DISABLE_TIMING)
        self.device_memory_bytes = _context_bytes(engine) + sum(held.nbytes for held in self._host)
        (height, width, _), (dimension,) = shapes
        return height, width, dimension

    def _signature(self, engine: Any) -> tuple[tuple[str, str], tuple[tuple[int, ...], tuple[int, ...]]]:
        """Return names and shapes, without the batch, of input and output; raises EngineError for another kind."""
        trt = self._trt
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        shapes = {name: tuple(engine.get_tensor_shape(name)) for name in names}
        kinds = {name: engine.get_tensor_dtype(name) for name in names}
        fits = (
            (len(inputs), len(outputs)) == (1, 1)
            and (kinds[inputs[0]], kinds[outputs[0]]) == (trt.DataType.UINT8, trt.DataType.FLOAT)
            and (len(shapes[inputs[0]]), len(shapes[outputs[0]])) == (4, 2)
            and shapes[inputs[0]][3] == 3
            and min(shapes[inputs[0]][1:] + shapes[outputs[0]][1:]) > 0
        )
        if not fits:
            found = ", ".join(f"{name} {kinds[name]} {shapes[name]}" for name in names)
            expected = "one UINT8 (N, H, W, 3) and one FLOAT (N, D)"
            raise EngineError(f"{self._plan.path}: has {found}, expected {expected}; compile it again")
        return (inputs[0], outputs[0]), (shapes[inputs[0]][1:], shapes[outputs[0]][1:])

    def _said(self) -> str:
        """Return the last error that TensorRT logged, as a clause."""
        return f" ({self._log.last_error})" if self._log.last_error else ""


def import_tensorrt() -> Any:
    """Return TensorRT's module; raises EngineError where it cannot be imported. Safe without a driver."""
    try:
        return import_module("tensorrt")
    except (ImportError, OSError, AttributeError) as error:
        raise EngineError(f"tensorrt cannot be imported ({error}); on a Jetson it comes with JetPack") from None


def logger_for(trt: Any, on_line: Any = None) -> Any:
    """Return an ILogger that keeps the last error in `last_error` and hands every line to `on_line(severity, text)`.

    TensorRT takes one logger a process and ignores later ones with a warning.
    """

    class Log(trt.ILogger):  # type: ignore[misc]  # the vendor publishes no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in {trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR}:
                self.last_error = message.strip().splitlines()[0] if message.strip() else ""
            if on_line is not None:
                on_line(severity, message)

    return Log()


def _import_pycuda() -> Any:
    try:
        return import_module("pycuda.driver")
    except (ImportError, OSError) as error:
        raise EngineError(f"pycuda cannot be imported ({error}); pip install 'shelfedge[tensorrt]'") from None


def _context_bytes(engine: Any) -> int:
    """Return what an execution context takes: `device_memory_size_v2`, or its older name."""
    name = "device_memory_size_v2" if hasattr(engine, "device_memory_size_v2") else "device_memory_size"
    return int(getattr(engine, name))
