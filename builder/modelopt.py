"""TensorRT's graph made by NVIDIA's Model Optimizer, instead of by `builder.quantise.trt_graph`.

It knows where TensorRT likes its Q/DQ pairs. It asks for PyTorch (1.4 GB with it) and for versions of onnx and ONNX
Runtime that are not ours, so it is no dependency: it lives in a Python of its own, which is named and started for one
graph. What comes back is brought to the operator set that TensorRT 8.5 reads and held to the form that all its versions
take; then the same gates judge it as judge ours.

Limits: ranges are found anew for every graph, so a search for sensitive layers takes as many runs; by largest values
or entropy, not by percentile.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no stubs

from builder.bytes_to_float import float_input
from builder.opset import in_target_opset
from builder.optimise import keep_standard_opset
from builder.quantise import in_float
from builder.wiring import Wiring
from edge.errors import InputError, ModelError
from edge.types import Crops

__all__ = ["MODELOPT_METHODS", "modelopt_graph", "refuse_other_form"]

MODELOPT_METHODS = {"minmax": "max", "entropy": "entropy"}  # our word for how ranges are found, and theirs
MOST_S = 3_600  # for one graph
_CHILD = Path(__file__).with_name("modelopt_child.py")
_INSTALL = "pip install 'nvidia-modelopt[onnx]' there, or name another one"


def modelopt_graph(
    path: Path, model: onnx.ModelProto, crops: Crops, how: tuple[Path, str], kept: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """Return the INT8 form for TensorRT of `model`, the folded graph with features; the nodes `kept` stay in float.

    `crops` (n, H, W, 3) set the ranges; `how` is the Python that has nvidia-modelopt, and one of MODELOPT_METHODS.
    Raises InputError where that Python has none, ModelError, naming `path`, where the model cannot be quantised.
    """
    python, method = how
    given = float_input(model)
    left = sorted(in_float(given) | kept)
    with tempfile.TemporaryDirectory(prefix="modelopt-") as place:
        folder = Path(place)
        float_file, inputs_file, int8_file = (folder / name for name in ("float.onnx", "inputs.npz", "int8.onnx"))
        onnx.save(given, float_file)
        fed: dict[str, Any] = {given.graph.input[0].name: crops}
        np.savez(inputs_file, **fed)
        order = {
            "model": str(float_file),
            "inputs": str(inputs_file),
            "out": str(int8_file),
            "method": MODELOPT_METHODS[method],
            "in_float": [f"{re.escape(name)}$" for name in left],
        }
        (folder / "order.json").write_text(json.dumps(order), encoding="utf-8")
        _run(path, python, folder)
        try:
            result = onnx.load(int8_file)
        except (OSError, ValueError, DecodeError) as error:
            raise ModelError(f"{path}: nvidia-modelopt wrote no graph ({error}); leave --modelopt out") from None
    result = in_target_opset(path, result)
    keep_standard_opset(result)
    refuse_other_form(path, result, model)
    return result


def refuse_other_form(path: Path, model: onnx.ModelProto, given: onnx.ModelProto) -> None:
    """Raise ModelError, naming the node, unless TensorRT 8.5 to 11 take the form of a quantised graph.

    That is int8 without zero points, float biases, and the names, kinds and shapes of `given` at its ends.
    """
    wiring = Wiring(model)
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = wiring.constant(node.input[2]) if len(node.input) > 2 else None
            if zero is None or zero.dtype != np.int8 or zero.any():
                raise ModelError(f"{path}: {node.op_type} {node.name} is not int8 with a zero point of 0{_OTHER}")
        if node.op_type in ("Conv", "Gemm") and len(node.input) > 2 and not wiring.is_constant(node.input[2]):
            raise ModelError(f"{path}: the bias of {node.op_type} {node.name} is quantised{_OTHER}")
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise ModelError(f"{path}: nvidia-modelopt quantised nothing{_OTHER}")
    expected = float_input(given).graph
    for found, wanted in ((model.graph.input, expected.input), (model.graph.output, expected.output)):
        if _ends(found) != _ends(wanted):
            names = ", ".join(f"{name} {shape}" for name, _, shape in _ends(found))
            raise ModelError(f"{path}: nvidia-modelopt changed inputs or outputs ({names}){_OTHER}")


def _ends(values: Iterable[onnx.ValueInfoProto]) -> list[tuple[str, int, tuple[int, ...]]]:
    """Return name, kind and shape of inputs or outputs; 0 for a size that is free, whatever it is called."""
    kinds = [(value.name, value.type.tensor_type) for value in values]
    return [(name, kind.elem_type, tuple(size.dim_value for size in kind.shape.dim)) for name, kind in kinds]


_OTHER = ", which not every TensorRT takes; leave --modelopt out"


def _run(path: Path, python: Path, folder: Path) -> None:
    """Start the other Python in `folder` and wait; its last words are in the error."""
    command = [str(python), "-I", str(_CHILD), str(folder / "order.json")]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=MOST_S, check=False)
    except OSError as error:
        raise InputError(f"--modelopt {python}: {error.strerror}; expected a Python; {_INSTALL}") from None
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path}: nvidia-modelopt did not end within {MOST_S} s; give fewer --photos") from None
    if done.returncode == 0:
        return
    last = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]
    if "ModuleNotFoundError" in last or "ImportError" in last:
        raise InputError(f"--modelopt {python}: {last}; {_INSTALL}")
    raise ModelError(f"{path}: nvidia-modelopt cannot quantise it ({last}); leave --modelopt out")
