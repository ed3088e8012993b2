"""How the engine runs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edge.config.base import Config

__all__ = ["MAX_THREADS", "EngineConfig"]

MAX_THREADS = 64


class EngineConfig(Config, frozen=True):
    """How the engine runs. `threads` are CPU threads of one inference (ONNX Runtime).

    `plan` is the folder of the engine compiled for TensorRT (default: that of the bundle with .plan behind it).
    `fallback` runs a bundle for TensorRT on ONNX Runtime where there is no GPU or no plan that fits, as it is
    written and on the CPU, and every message says `degraded`. Without it the daemon does not start.
    """

    threads: Annotated[int, Meta(ge=1, le=MAX_THREADS)] = 1
    plan: str = ""
    fallback: Annotated[str, Meta(pattern="^(none|onnxruntime)$")] = "none"
