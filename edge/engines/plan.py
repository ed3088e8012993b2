"""A compiled engine on disk: a sealed folder with TensorRT's plan, that of the lookup, and what they are tied to.

A plan runs with the TensorRT version that made it, on the kind of GPU that it was made for, and stands for one graph.
All three are in the manifest, and whatever differs is named with the command that compiles again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, structs

from edge.device import CUDA_OVERHEAD_MIB
from edge.errors import BundleError, EngineError
from edge.sealed import open_sealed, write_sealed
from edge.writing import real_path

__all__ = [
    "KIND",
    "LOOKUP",
    "PLAN",
    "Plan",
    "PlanInfo",
    "choose_lookup",
    "graph_sha256",
    "plan_beside",
    "read_plan",
    "refuse_other",
    "write_plan",
]

KIND, SCHEMA = "plan", 1
PLAN = "engine.plan"
LOOKUP = "lookup.plan"  # absent where it could not be compiled


class PlanInfo(Struct, frozen=True, kw_only=True):
    """The manifest content. `workspace_mib` limited what a layer may use; `seconds` is what compiling took.

    `overhead_mib` is what CUDA and TensorRT take before the plan, as the device's file said when it was compiled.
    `lookup` is where `edge-bench lookup` found the lookup faster; until it was asked, the host.
    """

    graph_sha256: str
    tensorrt: str
    sm: int
    gpu: str
    max_batch: Annotated[int, Meta(ge=1, le=1024)]
    workspace_mib: int
    seconds: float
    overhead_mib: Annotated[int, Meta(ge=0)] = CUDA_OVERHEAD_MIB
    lookup: Literal["host", "engine"] = "host"


@dataclass(frozen=True, slots=True)
class Plan:
    """A verified plan: its folder, what it is tied to, and the files for TensorRT, of which `lookup` may be None."""

    path: Path
    info: PlanInfo
    file: Path
    lookup: Path | None = None


def plan_beside(folder: Path) -> Path:
    """Return where the plan of a bundle lies when nobody says otherwise: BUNDLE.plan, beside what a link points to."""
    target = real_path(folder)
    return target.with_name(f"{target.name}.plan")


@contextmanager
def write_plan(path: Path, content: dict[str, Any]) -> Iterator[Path]:
    """Yield a folder to put PLAN into and seal it; `content` (of PlanInfo) may be filled inside the block."""
    with write_sealed(path, KIND, SCHEMA, content) as staging:
        yield staging


def read_plan(path: Path) -> Plan:
    """Verify and read a plan; raises BundleError naming the file."""
    sealed = open_sealed(path, KIND, SCHEMA)
    try:
        info = msgspec.convert(dict(sealed.content), PlanInfo)
    except msgspec.ValidationError as error:
        raise BundleError(f"{path}: plan of another version ({error}); compile it again") from None
    return Plan(path, info, sealed.file(PLAN), sealed.file(LOOKUP) if LOOKUP in sealed.files else None)


def choose_lookup(plan: Plan, choice: Literal["host", "engine"]) -> None:
    """Seal a plan again with where to look up; raises as `write_plan`."""
    content = msgspec.to_builtins(structs.replace(plan.info, lookup=choice))
    with write_plan(plan.path, content) as staging:
        for file in (plan.file, *([] if plan.lookup is None else [plan.lookup])):
            shutil.copyfile(file, staging / file.name)


def refuse_other(plan: Plan, graph: Path, tensorrt: str, sm: int) -> None:
    """Raise EngineError, naming every difference, unless the plan was made of this graph for this TensorRT and GPU."""
    pairs = (
        ("TensorRT", plan.info.tensorrt, tensorrt),
        ("SM", str(plan.info.sm), str(sm)),
        ("graph", plan.info.graph_sha256[:12], graph_sha256(graph)[:12]),
    )
    found = "; ".join(f"made for {name} {made}, here it is {here}" for name, made, here in pairs if made != here)
    if found:
        again = f"edge-build --compile-only {graph.parent} --out {plan.path}"
        raise EngineError(f"{plan.path}: {found}; run {again}")


def graph_sha256(graph: Path) -> str:
    """Return the sha256 of an engine's graph in hex; raises EngineError where it cannot be read."""
    try:
        return hashlib.sha256(graph.read_bytes()).hexdigest()
    except OSError as error:
        raise EngineError(f"{graph}: {error.strerror or error}; copy or make it again") from None
