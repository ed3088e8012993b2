"""The command `edge-build`: an ONNX backbone and photos in, a sealed build folder out. `--compile-only` is the other
half, on the device (`builder.compile`).

Exit codes: 0 built, 2 bad input, 3 a gate refused (parity, recognition or memory), 1 anything else. Nothing is written
unless 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from builder.budget import Ledger, Load
from builder.build import Built
from builder.build import build as build_folder
from builder.compile import FLAG, compile_only
from builder.modelopt import MODELOPT_METHODS
from builder.plan.run import Wanted, planned
from builder.prepare import BEST, HALF_REST, Request
from builder.ranges import METHODS
from builder.report import ledger_table, print_report
from edge.build_folder import GRAPHS, KIND
from edge.command import Parser, run
from edge.device import DeviceConfig, device_names, load_device_config
from edge.errors import InputError
from edge.sealed import refuse_foreign

__all__ = ["build"]

PROG = "edge-build"
MAX_BATCH, MAX_SKUS, MAX_CAMERAS = 64, 1_000_000, 32
MAX_PHOTOS = 4096  # they lie in memory: 4096 of 224 x 224 pixels are 588 MiB
MAX_SIDE = 2048
MAX_LABELLED = 10_000  # their dot products and what is solved among them: 2.9 GiB
NAMED = 5
SEARCH = """--plan looks for what to build: networks (--model several times), input sizes, int8, int8 with layers in
float, float32, batches up to --max-batch, 64 to 256 dimensions, prototypes up to --prototypes. What each recognises is
measured on labelled photos; memory is predicted, and so is the time on a device that is not here. Of the points that
fit, recognition within --max-loss of the best counts as equal; the fastest of these is built into --out, the smallest
of equally fast ones. No point: exit 3, and the plan says why."""


def build(argv: Sequence[str] | None = None) -> int:
    """Run `edge-build` and return its exit code."""
    return run(PROG, _build, argv)


class _Bars:
    """Progress bars on standard error, tables on standard output."""

    def __init__(self, console: Console, output: Console) -> None:
        self._console = console
        self._output = output
        self._is_file = not console.is_terminal  # a log has no use for bars

    def tell(self, planned: Ledger) -> None:
        """Show the ledger, also where it is about to be refused."""
        self._output.print(ledger_table(planned, "planned"))

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show one bar while the block runs."""
        columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bars(*columns, console=self._console, transient=True, disable=self._is_file) as bars:
            task = bars.add_task(name, total=total)
            yield lambda photos: bars.advance(task, photos)


def _build(argv: Sequence[str]) -> int:
    if any(argument.partition("=")[0] == FLAG for argument in argv):
        return compile_only(argv)
    arguments = _parser().parse_args(argv)
    _refuse_mixed(arguments)
    refuse_foreign(arguments.out, KIND)
    device = load_device_config(arguments.device)
    errors, output = Console(stderr=True), Console()
    request, bars = _request(arguments, device), _Bars(errors, output)
    judge, plan = None, None
    if arguments.plan is not None:
        request, judge, plan = planned(request, _wanted(arguments), output, bars)
    built = build_folder(request, bars, judge, plan)
    _warn(errors, built, device, arguments.min_cosine)
    print_report(
        output, built.taps, built.info.feature_dimension, (built.parity, built.ledger, built.kept, built.accuracy)
    )
    print(f"wrote {arguments.out}")
    return 0


def _refuse_mixed(arguments: argparse.Namespace) -> None:
    """Raise InputError for options that say the same thing twice, or nothing."""
    if arguments.plan is None:
        if len(arguments.model) > 1:
            raise InputError(f"--model was given {len(arguments.model)} times, expected once; or search with --plan")
        for name, value in (("--plan-sizes", arguments.plan_sizes), ("--plan-max-ms", arguments.plan_max_ms)):
            if value:
                raise InputError(f"{name} is part of a search; give --plan DIR as well")
    elif arguments.size is not None or arguments.precision != "int8" or arguments.labelled_photos == 0:
        raise InputError("--plan searches size and precision on labelled photos; leave out --size, --precision and 0")


def _wanted(arguments: argparse.Namespace) -> Wanted:
    return Wanted(
        folder=arguments.plan,
        models=tuple(dict.fromkeys(arguments.model)),
        sizes=arguments.plan_sizes,
        max_ms=arguments.plan_max_ms,
    )


def _request(arguments: argparse.Namespace, device: DeviceConfig) -> Request:
    engine = arguments.engine or device.engine
    if arguments.rest == HALF_REST and (engine, arguments.precision) != ("tensorrt", "int8"):
        found = f"this build is {arguments.precision} for {engine}"
        raise InputError(f"--rest {HALF_REST} is for INT8 on tensorrt, {found}; leave it out")
    _refuse_modelopt(arguments, engine)
    return Request(
        model=arguments.model[0],
        images=arguments.images,
        device=device,
        out=arguments.out,
        preprocess=arguments.preprocess,
        size=arguments.size,
        taps=arguments.taps,
        photos=arguments.photos,
        seed=arguments.seed,
        min_cosine=arguments.min_cosine,
        precision=arguments.precision,
        ranges=arguments.ranges,
        rest=arguments.rest,
        modelopt=arguments.modelopt,
        labelled=arguments.labelled,
        labelled_photos=arguments.labelled_photos,
        max_loss=arguments.max_loss,
        max_tier_loss=arguments.max_tier_loss,
        load=Load(
            engine=engine,
            max_batch=arguments.max_batch,
            skus=arguments.skus[0],
            growth=arguments.skus[-1],
            cameras=arguments.cameras,
            prototypes=arguments.prototypes,
            budget_mib=arguments.budget_mib,
        ),
    )


def _refuse_modelopt(arguments: argparse.Namespace, engine: str) -> None:
    if arguments.modelopt is None:
        return
    if (engine, arguments.precision) != ("tensorrt", "int8"):
        raise InputError(
            f"--modelopt makes INT8 for tensorrt, this build is {arguments.precision} for {engine}; leave it out"
        )
    if arguments.ranges not in MODELOPT_METHODS:
        known = " or ".join(MODELOPT_METHODS)
        raise InputError(f"--modelopt finds ranges by {known}, found --ranges {arguments.ranges}; choose one of these")


def _warn(console: Console, built: Built, device: DeviceConfig, least: float) -> None:
    """Say on standard error what a reader of the tables should know."""
    if built.unreadable:
        names = ", ".join(str(path) for path in built.unreadable[:NAMED])
        rest = f" and {len(built.unreadable) - NAMED} more" if len(built.unreadable) > NAMED else ""
        _say(console, f"{len(built.unreadable)} photos cannot be read and were left out: {names}{rest}")
    if built.parity.photos_set_ranges:
        _say(
            console,
            f"{built.parity.photos} photos are too few to hold some out: parity is on those that set the ranges",
        )
    if built.info.precision == "int8":
        _warn_of_recognition(console, built)
    if built.kept is not None:
        some = ", ".join(layer.layer for layer in built.kept.layers[:NAMED])
        _say(
            console,
            f"INT8 alone reaches cosine {built.kept.cosine_without:.4f}, expected at least {least:.4f}: "
            f"{len(built.kept.layers)} of {built.kept.groups} layers stay in float ({some})",
        )
    for engine, graph in GRAPHS.items():
        cosine = built.parity.of(engine).cosine_mean
        if engine != built.info.engine and not cosine >= least:
            found = f"{graph} has mean cosine {cosine:.4f} to float, expected at least {least:.4f}"
            _say(console, f"{found}; this build runs the other graph")
    if device.engine != built.info.engine:
        _say(console, f"{device.module} runs {device.engine} best; this build is for {built.info.engine}")


def _warn_of_recognition(console: Console, built: Built) -> None:
    if built.accuracy is None:
        _say(console, "nothing was recognised: --images has no sub-folder per product, or --labelled-photos is 0")
    elif built.accuracy.untestable:
        lines = ", ".join(f"{line.name} (needs {line.needs:,} photos)" for line in built.accuracy.untestable)
        _say(console, f"too few labelled photos to tell what INT8 costs: {lines}; nothing was refused for it")


def _say(console: Console, message: str) -> None:
    console.print(f"{PROG}: warning: {message}", markup=False, highlight=False, soft_wrap=True)


def _parser() -> Parser:
    parser = Parser(
        PROG,
        "Quantise an ONNX backbone to INT8 on photos, check it, and seal it for edge-calibrate.",
        f"{PROG} --model efficientnet-lite0.onnx --images photos --device x86-dev --out build",
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, action="append", metavar="FILE", help="the backbone, ONNX")
    add("--images", type=Path, required=True, metavar="DIR", help="photos like those in use, sub-folders included")
    known = ", ".join(device_names())
    add("--device", type=Path, required=True, metavar="NAME|FILE", help=f"one of {known}, or a file")
    add("--out", type=Path, required=True, metavar="DIR", help="the build folder to write or replace")
    add("--engine", choices=("onnxruntime", "tensorrt"), help="what will run (default: what the device runs best)")
    add("--precision", choices=("int8", "float32"), default="int8", help="float32: to compare with (default: int8)")
    words = "what TensorRT's graph has where INT8 does not suffice; float16 needs TensorRT 10 (default: float32)"
    add("--rest", choices=("float32", HALF_REST), default="float32", help=words)
    add("--ranges", choices=(*METHODS, BEST), default="minmax", help="how they are found; best tries all (minmax)")
    words = "a Python that has nvidia-modelopt: it makes TensorRT's graph"
    add("--modelopt", type=Path, metavar="PYTHON", help=words)
    add("--preprocess", type=Path, metavar="FILE", help="how the model wants its pixels (default: the .yaml beside it)")
    add("--taps", type=_names, default=(), metavar="A,B,C", help="tensors to pool (default: the last 6 stages)")
    add("--max-batch", type=_between(1, MAX_BATCH), default=8, metavar="N", help="crops at once (default: 8)")
    add("--photos", type=_between(8, MAX_PHOTOS), default=192, metavar="N", help="photos for the ranges (default: 192)")
    add(
        "--skus", type=_skus, default=(10_000,), metavar="N[,GROWTH]", help="products today, and later (default: 10000)"
    )
    add("--cameras", type=_between(0, MAX_CAMERAS), default=1, metavar="N", help="cameras to budget for (default: 1)")
    add("--prototypes", type=_between(1, 64), default=8, metavar="N", help="prototypes a product to budget for (8)")
    add("--budget-mib", type=_between(1, 1 << 20), metavar="N", help="instead of the device's application budget")
    add(
        "--min-cosine", type=_number(0, 1), default=0.95, metavar="X", help="least mean cosine to float (default: 0.95)"
    )
    add("--size", type=_between(32, MAX_SIDE), metavar="PX", help="input side, where the network takes others")
    add("--labelled", type=Path, metavar="DIR", help="a folder per product, or a catalogue (default: --images)")
    add("--labelled-photos", type=_between(0, MAX_LABELLED), default=2000, metavar="N", help="at most; 0: none (2000)")
    add("--max-loss", type=_number(0, 100), default=0.5, metavar="POINTS", help="INT8 may recognise less by this (0.5)")
    add(
        "--max-tier-loss", type=_number(0, 100), default=1.0, metavar="POINTS", help="the same in tail, mid or head (1)"
    )
    _add_plan(parser.add_argument_group("search", SEARCH))
    add("--seed", type=_between(0, 2**32 - 1), default=0, metavar="N", help="which photos are drawn (default: 0)")
    return parser


def _add_plan(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--plan", type=Path, metavar="DIR", help="search, and write plan.html and plan.json there")
    add("--plan-sizes", type=_sizes, default=(), metavar="PX,PX", help="input sides (default: its own, 32 and 64 less)")
    add("--plan-max-ms", type=_number(0.001, 60_000), metavar="MS", help="refuse points that take longer for a crop")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_between(32, MAX_SIDE)(part) for part in text.split(",")))


def _skus(text: str) -> tuple[int, ...]:
    counts = tuple(_between(1, MAX_SKUS)(part) for part in text.split(","))
    if len(counts) > 2 or counts[0] > counts[-1]:
        raise argparse.ArgumentTypeError(f"{text!r}, expected N or N,GROWTH with at least as many products later")
    return counts


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"{text!r}, expected different names of tensors with commas between")
    return names


def _between(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value}, expected {least} to {most}")
        return value

    return parse


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}, expected a number from {least:g} to {most:g}") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text}, expected a number from {least:g} to {most:g}")
        return value

    return parse
