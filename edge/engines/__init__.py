"""The engines by name. An adapter is imported when it is opened, so a device needs only the runtime that it uses.

`FakeEngine` (`edge.engines.fake`) has no name here: a bundle must not be able to ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import cast

from edge.errors import BundleError
from edge.ports import Engine

__all__ = ["ENGINES", "REFERENCE", "EngineSpec", "open_engine", "open_reference"]

ENGINES = {"onnxruntime": "edge.engines.ort:OrtEngine", "tensorrt": "edge.engines.trt:TensorRtEngine"}
REFERENCE = "onnxruntime"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """How an engine runs. `threads` are CPU threads of one inference; `max_batch` crops go in at once at most.

    `as_written` keeps quantised operators in float between their Q/DQ pairs, as the graph says: slow, and the numerical
    reference of engines that sum without saturating. `plan` is the folder of the compiled engine (TensorRT).
    """

    threads: int = 1
    max_batch: int = 8
    as_written: bool = False
    plan: Path | None = None


def open_reference(kind: str, graph: Path, spec: EngineSpec) -> Engine:
    """Return the engine that computes on any CPU what `kind` computes on its own hardware, up to rounding.

    ONNX Runtime is its own; a graph for TensorRT is run by ONNX Runtime as it is written. Raises as `open_engine`.
    """
    if kind not in ENGINES:
        return open_engine(kind, graph, spec)
    return open_engine(REFERENCE, graph, replace(spec, as_written=kind != REFERENCE))


def open_engine(kind: str, graph: Path, spec: EngineSpec) -> Engine:
    """Return the engine called `kind` for a graph; `with` loads it. Raises BundleError for a kind that is not known."""
    if kind not in ENGINES:
        raise BundleError(f"engine {kind!r} is not known, expected one of {', '.join(sorted(ENGINES))}; build again")
    module, _, name = ENGINES[kind].partition(":")
    adapter = cast(Callable[[Path, EngineSpec], Engine], getattr(import_module(module), name))
    return adapter(graph, spec)
