"""How the engine runs, and how often it is tested."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edge.config.base import Config

__all__ = ["MAX_THREADS", "EngineConfig", "SelfTestConfig"]

MAX_THREADS = 64


class EngineConfig(Config, frozen=True):
    """How the engine runs. `threads` are CPU threads of one inference (ONNX Runtime).

    `plan` is the folder of the engine compiled for TensorRT (default: that of the bundle with .plan behind it).
    `lookup` says where prototypes are looked up: on the `host`, on the GPU (`engine`), or (`auto`) where
    `edge-bench lookup` found it faster; the similarities are the same to the last bit.
    `fallback` runs a bundle for TensorRT on ONNX Runtime where there is no GPU or no plan that fits, as it is
    written and on the CPU, and every message says `degraded`. Without it the daemon does not start.
    """

    threads: Annotated[int, Meta(ge=1, le=MAX_THREADS)] = 1
    plan: str = ""
    lookup: Annotated[str, Meta(pattern="^(auto|host|engine)$")] = "auto"
    fallback: Annotated[str, Meta(pattern="^(none|onnxruntime)$")] = "none"


class SelfTestConfig(Config, frozen=True):
    """The bundle's golden crops through the running engine every `every_s` seconds, one at a time between frames.

    Other rows than when the bundle was made end the daemon with an event.
    """

    every_s: Annotated[int, Meta(ge=1, le=604_800)] = 3_600
