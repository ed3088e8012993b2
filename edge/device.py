"""What a device is: one YAML file per module, read into a frozen struct. Those of `DEVICES` are known by name.

The figures bound what the builder may emit and what the daemon may use. CPU and GPU of a Jetson share one memory, so
one pool is described. `application_budget_mib` is what one shelfedge process may take of it, everything included;
`headroom` is the share of that budget that must stay free when a model is built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct, structs

from edge import yaml_file
from edge.errors import ConfigError, ShelfedgeError
from edge.writing import whole_file

__all__ = [
    "CAMERA_MIB",
    "CUDA_OVERHEAD_MIB",
    "DEVICES",
    "DeviceConfig",
    "MemoryConfig",
    "device_names",
    "load_device_config",
    "write_measured",
]

DEVICES = Path(__file__).parent / "devices"  # installed with the package; configs/devices of the source tree is a link

Mebibytes: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 20)]
Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128, description="`unknown` where it is not known")]
Positive: TypeAlias = Annotated[float, Meta(gt=0)]

# What a device file says when nothing was measured there; `edge-bench memory --write-device` measures.
CUDA_OVERHEAD_MIB = 600  # CUDA context and TensorRT libraries before any model, from public reports; not measured by us
CAMERA_MIB = 32  # a capture process beside the daemon


class MemoryConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The memory of a module and how it is shared out.

    `total_mib` is what Linux shows, `system_mib` what it uses with no application, `runtime_overhead_mib` what CUDA and
    TensorRT take before any model; that counts only where the engine is TensorRT. `camera_mib` is a capture process
    beside the daemon.
    """

    total_mib: Mebibytes
    system_mib: Mebibytes
    application_budget_mib: Mebibytes
    runtime_overhead_mib: Mebibytes = CUDA_OVERHEAD_MIB
    camera_mib: Mebibytes = CAMERA_MIB
    headroom: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.2


class DeviceConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of device.

    `sm` is the GPU's compute capability times ten (87 is 8.7), null without an NVIDIA GPU. `int8_dense_tops` and
    `int8_sparse_tops` are peak rates; sparse holds only for weights pruned two in four. null means not known.
    """

    module: Text
    jetpack: Text
    tensorrt: Text
    python: Text
    sm: Annotated[int, Meta(ge=50, le=999)] | None
    memory: MemoryConfig
    bandwidth_gb_s: Positive | None
    int8_dense_tops: Positive | None
    int8_sparse_tops: Positive | None
    power_modes: Annotated[tuple[Text, ...], Meta(max_length=16)]
    engine: Annotated[str, Meta(pattern="^(tensorrt|onnxruntime)$")]


def device_names() -> tuple[str, ...]:
    """Return the names of the devices that come with the package."""
    return tuple(sorted(path.stem for path in DEVICES.glob("*.yaml")))


def load_device_config(path: Path) -> DeviceConfig:
    """Read and check a device file, or that of a device's bare name; raises ConfigError with file, line and key."""
    if len(path.parts) == 1 and not path.suffix and not path.exists():
        if path.name not in device_names():
            known = ", ".join(device_names())
            raise ConfigError(f"device {path}: no such file or name, expected a YAML file or one of {known}")
        path = DEVICES / f"{path}.yaml"
    device = yaml_file.load(path, DeviceConfig)
    _refuse_sums(path, device)
    return device


def _refuse_sums(path: Path, device: DeviceConfig) -> None:
    memory = device.memory
    if memory.application_budget_mib == 0:
        raise ConfigError(f"{path}: memory: application_budget_mib is 0, expected what one process may take")
    if memory.system_mib + memory.application_budget_mib > memory.total_mib:
        found = f"system {memory.system_mib} + application budget {memory.application_budget_mib} MiB"
        raise ConfigError(f"{path}: memory: {found}, expected at most the total of {memory.total_mib} MiB")
    if memory.runtime_overhead_mib > memory.application_budget_mib:
        found = f"runtime_overhead_mib is {memory.runtime_overhead_mib}"
        raise ConfigError(
            f"{path}: memory: {found}, more than the application budget of {memory.application_budget_mib} MiB"
        )


def write_measured(path: Path, measured: Mapping[str, int], note: str) -> None:
    """Write measured keys of `memory` into a device file: whole or not at all, every other line as it was.

    A line's old comment said where its old value came from, so `note` takes its place; a key that was not there gets a
    line behind the last one of `memory`. Raises ConfigError where the file would not say exactly that afterwards.
    """
    before = load_device_config(path)
    text = path.read_bytes().decode("utf-8")  # line ends as they are
    for key, value in measured.items():
        text = _with_line(text, key, f"{key}: {value}  # {note}")
    wanted = structs.replace(before, memory=structs.replace(before.memory, **measured))
    by_hand = ", ".join(f"{key}: {value}" for key, value in measured.items())
    try:
        found = yaml_file.parse(path, text.removeprefix("\ufeff"), DeviceConfig)
        _refuse_sums(path, found)
    except ShelfedgeError as error:
        raise ConfigError(f"{error}; nothing was written, measured were {by_hand}") from None
    if found != wanted:
        raise ConfigError(f"{path}: memory is not laid out one key a line; write by hand what was measured: {by_hand}")
    with whole_file(path, "--write-device") as file:
        file.write(text.encode())


def _with_line(text: str, key: str, line: str) -> str:
    """Return the text with `line` in the place of the key's in the block `memory`, or behind the block's last key."""
    lines = text.split("\n")
    start = next((number for number, one in enumerate(lines) if re.match(r"memory:\s*(#.*)?$", one)), None)
    if start is None:
        return text
    stop = next((n for n in range(start + 1, len(lines)) if re.match(r"[^\s#]", lines[n])), len(lines))
    keys = [number for number in range(start + 1, stop) if re.match(r"\s+\w+:", lines[number])]
    if not keys:
        return text
    own = next((number for number in keys if lines[number].split(":")[0].strip() == key), None)
    indent = re.match(r"\s*", lines[keys[0]])
    made = f"{indent.group() if indent else '  '}{line}" + ("\r" if lines[start].endswith("\r") else "")
    if own is None:
        lines.insert(keys[-1] + 1, made)
    else:
        lines[own] = made
    return "\n".join(lines)
