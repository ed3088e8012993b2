"""Compile one ONNX graph with TensorRT-RTX for SM86, by the builder's own code, and print what came of it as JSON.

A process of its own: the compiler has one logger a process, and a crash should take a test along, not a suite.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import tensorrt_rtx_bindings as trt

from builder.trt_engine import Order, compile_graph
from builder.trt_lookup import GRAPH, lookup_order
from edge.errors import ShelfedgeError
from edge.parameters import PrototypeTable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graph", type=Path, nargs="?")
    parser.add_argument("--lookup", type=int, nargs=3, help="products, prototypes, dimensions, in the place of a graph")
    parser.add_argument("--workspace-mib", type=int, default=256)
    arguments = parser.parse_args()
    lines: list[str] = []
    phases: list[str] = []
    order = Order(max_batch=8, typical_batch=4, workspace_mib=arguments.workspace_mib, target_sm=86, detailed=True)
    found: dict[str, object] = {"error": "", "kind": "", "engine_bytes": 0}
    try:
        made = compile_graph(
            trt,
            (arguments.graph or GRAPH).read_bytes(),
            order if arguments.lookup is None else lookup_order(table(*arguments.lookup), order),
            lambda phase, *_: phases.append(phase) is None,
            lambda _, t: lines.append(t),
        )
        found |= {"engine_bytes": len(made.plan), "cache_bytes": len(made.timing_cache), "layers": made.layers}
    except ShelfedgeError as error:
        found |= {"error": str(error), "kind": type(error).__name__}
    print(json.dumps({**found, "phases": len(set(phases)), **_layers(lines)}))


def table(skus: int, prototypes: int, dimension: int) -> PrototypeTable:
    owners = np.repeat(np.arange(skus, dtype=np.int32), prototypes)
    return PrototypeTable(np.zeros((len(owners), dimension), np.int8), 1.0, owners)


def _layers(lines: list[str]) -> dict[str, dict[str, list[str]]]:
    """Which convolutions and matrix products read which type, by the names of the nodes that became one layer."""
    found: dict[str, dict[str, list[str]]] = {"convolutions": {}, "products": {}, "copies": {}}
    for line in (line for text in lines for line in text.splitlines() if "LayerType: " in line):
        kind = re.search(r"Name: (\S+?)_myl\S*, LayerType: (correlation|gemm), Inputs: \[ \{.*?Datatype: (\w+)", line)
        if re.search(r"Name: \S*_myl_(Move|Repl)\S*, .*?Name: table,", line):
            found["copies"].setdefault("table", []).append(line[:80])
        if kind is not None:
            group = found["convolutions" if kind.group(2) == "correlation" else "products"]
            group.setdefault(kind.group(3), []).extend(kind.group(1).split("+"))
    return found


if __name__ == "__main__":
    main()
