"""Compile one ONNX graph with TensorRT-RTX for SM86 and print what came of it, as one line of JSON.

A process of its own: the compiler has one logger a process, and a crash should take a test along, not a suite.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path

import tensorrt_rtx_bindings as trt

BATCHES = (1, 4, 8)


class Log(trt.ILogger):  # type: ignore[misc]  # the vendor publishes no types
    """Keeps every line, for the engine's layers are told there."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def log(self, _severity: object, message: str) -> None:
        self.lines.append(message)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--workspace-mib", type=int)
    arguments = parser.parse_args()
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    onnx = trt.OnnxParser(network, log)
    engine = None
    if onnx.parse(arguments.graph.read_bytes()):
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        if arguments.workspace_mib is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, arguments.workspace_mib << 20)
        profile = builder.create_optimization_profile()
        shape = tuple(network.get_input(0).shape)[1:]
        profile.set_shape(network.get_input(0).name, *((batch, *shape) for batch in BATCHES))
        config.add_optimization_profile(profile)
        engine = builder.build_serialized_network(network, config)
    print(
        json.dumps(
            {
                "errors": [onnx.get_error(i).desc() for i in range(onnx.num_errors)],
                "engine_bytes": 0 if engine is None else engine.nbytes,
                "convolutions": _convolutions(log.lines),
            }
        )
    )


def _convolutions(lines: list[str]) -> dict[str, int]:
    """How many convolution layers read which type."""
    layers = (line for text in lines for line in text.splitlines() if "LayerType: correlation" in line)
    kinds = (re.search(r"Inputs: \[ \{.*?Datatype: (\w+)", line) for line in layers)
    return dict(Counter(kind.group(1) for kind in kinds if kind))


if __name__ == "__main__":
    main()
