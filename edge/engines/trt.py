"""TensorRT through pycuda: the engine of a Jetson.

A plan (`edge.engines.plan`) is loaded into the primary context of the first GPU and runs as a CUDA graph where that is
to be had (`edge.engines.loaded_plan`). The thread sleeps while the GPU works (blocking event), which leaves a core to
the rest of the device.

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
from edge.engines.loaded_plan import LoadedPlan, Tensor, Tensors
from edge.engines.plan import read_plan, refuse_other
from edge.errors import EngineError
from edge.ports import Engine
from edge.types import Crops, Embeddings

if TYPE_CHECKING:
    from pathlib import Path

    from edge.engines import EngineSpec

__all__ = ["TensorRtEngine", "import_pycuda", "import_tensorrt", "logger_for"]

MEND = "compile it again"


class TensorRtEngine(Engine):
    """The plan `spec.plan` of a graph, uint8 (N, H, W, 3) in and float32 (N, D) out."""

    def __init__(self, graph: Path, spec: EngineSpec) -> None:
        self._graph = graph
        self._spec = spec
        self._held: LoadedPlan | None = None
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
        trt, cuda = import_tensorrt(), import_pycuda()
        refuse_other(plan, self._graph, str(trt.__version__), gpu.sm)
        self.max_batch = min(self._spec.max_batch, plan.info.max_batch)
        held = LoadedPlan(trt, cuda, plan.path, MEND)
        try:
            made = held.load(
                plan.file.read_bytes(), logger_for(trt), self.max_batch, lambda engine: _tensors(trt, engine, plan.path)
            )
        except BaseException:
            held.close()
            raise
        self.input_height_px, self.input_width_px, _ = made.given.shape
        (self.dimension,) = made.found.shape
        self._held = held

    def _close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _embed(self, crops: Crops) -> Embeddings:
        if self._held is None:
            raise EngineError(f"{self._graph}: engine is not open; use it inside `with`")
        return self._held.run(crops)


def _tensors(trt: Any, engine: Any, path: Path) -> Tensors:
    """Return input and output of an engine; raises EngineError for another kind."""
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
        raise EngineError(f"{path}: has {found}, expected {expected}; {MEND}")
    given = Tensor(inputs[0], shapes[inputs[0]][1:], np.uint8)
    return Tensors(given, Tensor(outputs[0], shapes[outputs[0]][1:], np.float32))


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


def import_pycuda() -> Any:
    """Return pycuda's driver module; raises EngineError where it cannot be imported."""
    try:
        return import_module("pycuda.driver")
    except (ImportError, OSError) as error:
        raise EngineError(f"pycuda cannot be imported ({error}); pip install 'shelfedge[tensorrt]'") from None
