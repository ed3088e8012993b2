"""The command `edge-build`: an ONNX backbone and photos in, a sealed build folder out. `--compile-only` is the other
half, on the device (`builder.compile`).

Exit codes: 0 built, 2 bad input, 3 a gate refused (parity or memory), 1 anything else. Nothing is written unless 0.
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
from builder.build import BEST, Built, Request
from builder.build import build as build_folder
from builder.compile import FLAG, compile_only
from builder.ranges import METHODS
from builder.report import ledger_table, print_report
from edge.build_folder import GRAPHS, KIND
from edge.command import Parser, run
from edge.device import DeviceConfig, device_names, load_device_config
from edge.sealed import refuse_foreign

__all__ = ["build"]

PROG = "edge-build"
MAX_BATCH, MAX_SKUS, MAX_CAMERAS = 64, 1_000_000, 32
MAX_PHOTOS = 4096  # they lie in memory: 4096 of 224 x 224 pixels are 588 MiB
NAMED = 5


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
    refuse_foreign(arguments.out, KIND)
    device = load_device_config(arguments.device)
    errors, output = Console(stderr=True), Console()
    built = build_folder(_request(arguments, device), _Bars(errors, output))
    _warn(errors, built, device, arguments.min_cosine)
    print_report(output, built.taps, built.info.feature_dimension, (built.parity, built.ledger, built.kept))
    print(f"wrote {arguments.out}")
    return 0


def _request(arguments: argparse.Namespace, device: DeviceConfig) -> Request:
    return Request(
        model=arguments.model,
        images=arguments.images,
        device=device,
        out=arguments.out,
        preprocess=arguments.preprocess,
        taps=arguments.taps,
        photos=arguments.photos,
        seed=arguments.seed,
        min_cosine=arguments.min_cosine,
        precision=arguments.precision,
        ranges=arguments.ranges,
        load=Load(
            engine=arguments.engine or device.engine,
            max_batch=arguments.max_batch,
            skus=arguments.skus[0],
            growth=arguments.skus[-1],
            cameras=arguments.cameras,
            prototypes=arguments.prototypes,
            budget_mib=arguments.budget_mib,
        ),
    )


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


def _say(console: Console, message: str) -> None:
    console.print(f"{PROG}: warning: {message}", markup=False, highlight=False, soft_wrap=True)


def _parser() -> Parser:
    parser = Parser(
        PROG,
        "Quantise an ONNX backbone to INT8 on photos, check it, and seal it for edge-calibrate.",
        f"{PROG} --model efficientnet-lite0.onnx --images photos --device x86-dev --out build",
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="FILE", help="the backbone, ONNX")
    add("--images", type=Path, required=True, metavar="DIR", help="photos like those in use, sub-folders included")
    known = ", ".join(device_names())
    add("--device", type=Path, required=True, metavar="NAME|FILE", help=f"one of {known}, or a file")
    add("--out", type=Path, required=True, metavar="DIR", help="the build folder to write or replace")
    add("--engine", choices=("onnxruntime", "tensorrt"), help="what will run (default: what the device runs best)")
    add("--precision", choices=("int8", "float32"), default="int8", help="float32: to compare with (default: int8)")
    add("--ranges", choices=(*METHODS, BEST), default="minmax", help="how they are found; best tries all (minmax)")
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
    add("--min-cosine", type=_share, default=0.95, metavar="X", help="least mean cosine to float (default: 0.95)")
    add("--seed", type=_between(0, 2**32 - 1), default=0, metavar="N", help="which photos are drawn (default: 0)")
    return parser


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


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number from 0 to 1") from None
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text}, expected a number from 0 to 1")
    return value
