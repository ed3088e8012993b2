"""`edge-build --compile-only BUNDLE`: the bundle's engine compiled by TensorRT for the GPU of this device.

Run on the device or on a module of the same kind, never inside the daemon: compiling takes minutes and memory. The
plan is opened and must give the bundle's golden rows before it is sealed beside the bundle, so a plan that computes
something else never stands where the daemon looks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from msgspec import structs
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from builder.trt_engine import Compiled, Order, compile_graph
from builder.trt_lookup import compile_lookup
from edge.assembly import engine_of
from edge.bundle import Bundle, read_bundle
from edge.command import Parser, whole_number
from edge.config import EngineConfig
from edge.device import CUDA_OVERHEAD_MIB, load_device_config
from edge.engines.cuda import Gpu, find_gpu
from edge.engines.plan import KIND, LOOKUP, PLAN, PlanInfo, graph_sha256, plan_beside, write_plan
from edge.engines.trt import import_tensorrt
from edge.errors import BundleError, InputError, ShelfedgeError
from edge.footprint import WORKSPACE_MIB
from edge.sealed import refuse_foreign
from edge.writing import whole_file

__all__ = ["FLAG", "compile_only"]

FLAG = "--compile-only"
PROG = "edge-build"
CACHE = "timing.cache"


def compile_only(argv: Sequence[str]) -> int:
    """Run the command; returns 0. Raises the errors of its steps."""
    arguments = _parser().parse_args(argv)
    bundle = read_bundle(arguments.compile_only)
    if bundle.info.engine != "tensorrt":
        raise BundleError(
            f"{bundle.path}: made for the engine {bundle.info.engine}, expected tensorrt; "
            "build with --engine tensorrt and calibrate again"
        )
    out = arguments.out or plan_beside(bundle.path)
    refuse_foreign(out, KIND)
    cache = arguments.timing_cache or out.with_name(f"{out.name}.{CACHE}")
    gpu, trt = find_gpu(), import_tensorrt()
    overhead_mib = CUDA_OVERHEAD_MIB if arguments.device is None else _overhead_mib(arguments.device, gpu)
    order = Order(
        max_batch=bundle.info.max_batch,
        typical_batch=min(arguments.typical_batch, bundle.info.max_batch),
        workspace_mib=arguments.workspace_mib,
        timing_cache=_read(cache),
    )
    console = Console(stderr=True)
    started_s = time.monotonic()
    with _Phases(console) as phases:
        made = compile_graph(trt, bundle.graph.read_bytes(), order, phases.tell)
        lookup = _lookup(trt, bundle, replace(order, timing_cache=made.timing_cache))
    info = _info(bundle, (trt, gpu), order, time.monotonic() - started_s)
    files = {PLAN: made.plan} | ({} if lookup is None else {LOOKUP: lookup.plan})
    _seal(bundle, out, files, structs.replace(info, overhead_mib=overhead_mib))
    with whole_file(cache) as file:
        file.write((lookup or made).timing_cache)
    print(f"{made.layers} layers for {gpu.name}, SM {gpu.sm}, TensorRT {trt.__version__}: {len(made.plan) >> 10} KiB")
    print(f"wrote {out}")
    return 0


def _lookup(trt: Any, bundle: Bundle, order: Order) -> Compiled | None:
    """Return the lookup for the GPU, or None, and say why: the host looks up then."""
    try:
        return compile_lookup(trt, bundle.table, order)
    except ShelfedgeError as error:
        print(f"no lookup on the GPU: {error}", file=sys.stderr)
        return None


def _seal(bundle: Bundle, out: Path, files: Mapping[str, bytes], info: PlanInfo) -> None:
    """Seal the plan in another place, hold it against the golden rows, then seal it where the daemon looks."""
    content: dict[str, Any] = msgspec.to_builtins(info)
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as place:
        trial = Path(place) / "plan"
        _write(trial, files, content)
        with engine_of(bundle, EngineConfig(plan=str(trial))):
            pass
    _write(out, files, content)


def _write(folder: Path, files: Mapping[str, bytes], content: dict[str, Any]) -> None:
    with write_plan(folder, content) as staging:
        for name, data in files.items():
            (staging / name).write_bytes(data)


def _info(bundle: Bundle, where: tuple[Any, Gpu], order: Order, seconds: float) -> PlanInfo:
    trt, gpu = where
    return PlanInfo(
        graph_sha256=graph_sha256(bundle.graph),
        tensorrt=str(trt.__version__),
        sm=gpu.sm,
        gpu=gpu.name,
        max_batch=order.max_batch,
        workspace_mib=order.workspace_mib,
        seconds=round(seconds, 1),
    )


def _overhead_mib(path: Path, gpu: Gpu) -> int:
    """Return what the device's file says of CUDA and TensorRT; raises InputError where it is of another GPU."""
    device = load_device_config(path)
    if device.sm != gpu.sm:
        raise InputError(
            f"{path}: {device.module} has SM {device.sm}, this GPU ({gpu.name}) SM {gpu.sm}; compile there"
        )
    return device.memory.runtime_overhead_mib


def _read(cache: Path) -> bytes:
    """Return what an earlier compilation left: a cache of another GPU or version is ignored by TensorRT itself."""
    try:
        return cache.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InputError(f"{cache}: {error.strerror}; give another --timing-cache") from None


class _Phases:
    """One bar for the phase that moved last: TensorRT has phases within phases."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:<40}"), BarColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID | None = None

    def __enter__(self) -> _Phases:
        self._bars.start()
        self._task = self._bars.add_task("", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def tell(self, phase: str, done: int, total: int) -> bool:
        """Show how far a phase is; never ends the compilation."""
        if self._task is not None:
            self._bars.update(self._task, description=phase[:40], completed=done, total=total or None)
        return True


def _parser() -> Parser:
    parser = Parser(
        PROG,
        "Compile the engine of a bundle for the GPU of this device, with TensorRT.",
        f"{PROG} {FLAG} bundles/current --device orin-nano-8gb",
    )
    add = parser.add_argument
    add(FLAG, type=Path, required=True, metavar="BUNDLE", help="a bundle calibrated on a build for tensorrt")
    add("--out", type=Path, metavar="DIR", help="the plan to write or replace (default: BUNDLE.plan)")
    add("--device", type=Path, metavar="NAME|FILE", help="refuse a GPU of another kind, such as orin-nano-8gb")
    add("--workspace-mib", type=whole_number(1, 1 << 20), default=WORKSPACE_MIB, metavar="N", help="for a layer (256)")
    add("--typical-batch", type=whole_number(1, 1024), default=1, metavar="N", help="what kernels are chosen for (1)")
    add("--timing-cache", type=Path, metavar="FILE", help="measured kernels, to read and write (default: beside DIR)")
    return parser
