"""ONNX Runtime on the CPU: the engine of development machines, and the fallback of a device without TensorRT.

Promise: a graph with one input uint8 (N, H, W, 3) and one output float32 (N, D), H, W and D fixed, is loaded and run
with `spec.threads` threads that do not spin; anything else in the file is refused by name when the engine is opened.
Limits: a graph is data, not code, but ONNX Runtime parses it in this process; open only verified bundles.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import EngineError
from edge.ports import Engine
from edge.types import Crops, Embeddings

if TYPE_CHECKING:
    from edge.engines import EngineSpec

__all__ = ["NOT_AS_QUANTISED", "OrtEngine", "load_session", "refuse_missing_runtime"]

PROVIDER = "CPUExecutionProvider"
# It quantises, with one scale for all channels, the weights of a convolution that was left in float between quantised
# neighbours: EfficientNet-Lite0 with one layer in float has mean cosine 0.936 to float with it, 0.995 without.
NOT_AS_QUANTISED = ("WeightBiasQuantization",)


class OrtEngine(Engine):
    """A graph on ONNX Runtime's CPU provider, whatever other providers the installed wheel lists."""

    def __init__(self, graph: Path, spec: EngineSpec) -> None:
        self._graph = graph
        self._spec = spec
        self._session: Any = None
        self._input = ""
        self.max_batch = spec.max_batch

    def _open(self) -> None:
        session = load_session(self._graph, self._spec)
        self._read_signature(session)
        self._session = session

    def _close(self) -> None:
        self._session = None

    def _embed(self, crops: Crops) -> Embeddings:
        if self._session is None:
            raise EngineError(f"{self._graph}: engine is not open; use it inside `with`")
        raw: Embeddings = self._session.run(None, {self._input: np.ascontiguousarray(crops)})[0]
        return raw

    def _read_signature(self, session: Any) -> None:
        """Take the sizes from the graph; raise EngineError when it is not crops in, one row per crop out."""
        inputs, outputs = session.get_inputs(), session.get_outputs()
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        found += " -> " + ", ".join(f"{o.name} {o.type} {o.shape}" for o in outputs)
        expected = f"{self._graph}: {found}, expected one tensor(uint8) [N, H, W, 3] -> one tensor(float) [N, D]"
        if len(inputs) != 1 or len(outputs) != 1:
            raise EngineError(f"{expected}; make it with edge-build")
        shape_in, shape_out = inputs[0].shape, outputs[0].shape
        if inputs[0].type != "tensor(uint8)" or len(shape_in) != 4 or shape_in[3] != 3:
            raise EngineError(f"{expected}; make it with edge-build")
        if outputs[0].type != "tensor(float)" or len(shape_out) != 2:
            raise EngineError(f"{expected}; make it with edge-build")
        sizes = (shape_in[1], shape_in[2], shape_out[1])
        if not all(isinstance(size, int) and size > 0 for size in sizes) or isinstance(shape_in[0], int):
            raise EngineError(f"{expected} with H, W and D fixed and N free; make it with edge-build")
        self.input_height_px, self.input_width_px, self.dimension = sizes
        self._input = inputs[0].name


def load_session(graph: Path, spec: EngineSpec) -> Any:
    """Return an ONNX Runtime session for a file; raises EngineError."""
    runtime = _runtime()
    if not graph.is_file():
        raise EngineError(f"{graph}: no such file; copy or make it again")
    try:
        return runtime.InferenceSession(
            graph, _options(runtime, spec), providers=[PROVIDER], disabled_optimizers=[*NOT_AS_QUANTISED]
        )
    except Exception as error:  # noqa: BLE001  # the vendor's errors share no base class
        raise EngineError(f"{graph}: ONNX Runtime cannot load it ({_first_line(error)}); make it again") from None


def refuse_missing_runtime() -> None:
    """Raise EngineError when ONNX Runtime cannot be imported."""
    _runtime()


def _runtime() -> Any:
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        raise EngineError(f"onnxruntime cannot be imported ({error}); pip install 'shelfedge[onnxruntime]'") from None


def _options(runtime: Any, spec: EngineSpec) -> Any:
    """Return the session options.

    Measured on INT8 EfficientNet-Lite0 with pooled features, ONNX Runtime 1.31, one thread of a server CPU; memory is
    the growth of the process over its imports (46 MiB), latency the least of 40 and of 12 runs:

        arena  pattern    batch 1           batch 8
        on     on         30 MiB  4.42 ms   50 MiB  32.7 ms
        on     off        29 MiB  4.47 ms   47 MiB  32.8 ms  <- chosen: batches change size, each keeps a pattern
        off    on         32 MiB  4.38 ms   92 MiB  33.5 ms
        off    off        30 MiB  4.54 ms   59 MiB  33.9 ms

    `as_written`: fused with 8-bit weights, int8 activations saturate on x86 CPUs without VNNI (mean cosine 0.67 between
    EfficientNet-Lite0's graph for TensorRT fused and not fused, on such a machine).

    `session.disable_prepacking` costs 2x in latency and saves nothing; `use_device_allocator_for_initializers` changes
    nothing.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = spec.threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_quant_qdq", "1" if spec.as_written else "0")
    options.log_severity_level = 3  # errors only: what matters is raised, and a daemon's log is not the vendor's
    return options


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
