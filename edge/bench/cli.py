"""`edge-bench`: what the product does on this machine, against the bars that it promises to reach.

The composition root of the measurements. Nothing is sent anywhere; a running daemon is not disturbed, except that it
shares the machine: measure on a machine that does nothing else, and look at `load_before`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from edge.assembly import engine_of, locator_of, plan_of
from edge.bench import throughput
from edge.bench.child import Observed, observe
from edge.bench.decide import decide
from edge.bench.lookup_place import choose_place
from edge.bench.machine import machine
from edge.bench.memory import slope
from edge.bench.overhead import measured_note, overhead, refuse_other_device
from edge.bench.paced import Pace, Paced, Parts, run_paced
from edge.bench.report import Figure, at_least, at_most, check_writable, gate, show, write
from edge.bench.search import search
from edge.bench.source import refuse_live, sample_frames
from edge.bundle import Bundle, read_bundle
from edge.capture.address import parse_source
from edge.command import Parser, run
from edge.config import DaemonConfig, EngineConfig, load_daemon_config
from edge.device import write_measured
from edge.errors import InputError
from edge.ports import Engine
from edge.stages import percentile
from edge.types import Image

__all__ = ["main"]

LOAD = 0.70  # of what one camera can ask for
WARM_UP_FRAMES = 20
MAX_VALUES = 500_000_000  # of a table to search; 2 GiB as searched
COMMANDS = {
    "pipeline": "throughput of the daemon against its bare engine, latency at 70 % load, and memory",
    "memory": "memory of all processes of the daemon, and its growth",
    "lookup": "the nearest-prototype search alone, and where it is faster",
    "decide": "what a decision costs beyond the engine: lookup, unknown detection, confidence and route",
}
# The bars of the product.
MIN_RATIO = 0.90
MAX_OVER_ENGINE_MS = 2.0
MAX_P99_TO_MEDIAN = 2.0
MAX_PSS_MIB = 250.0
MAX_FIRST_DECISION_S = 3.0
MAX_DECISION_MS = 0.5
MAX_BEYOND_ENGINE_MIB = 20.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-bench`."""
    return run("edge-bench", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _arguments(argv)
    check_writable(arguments.out)
    where = machine()
    measures: dict[str, Callable[[argparse.Namespace], tuple[dict[str, object], list[Figure]]]] = {
        "pipeline": _pipeline,
        "memory": _memory,
        "lookup": _lookup,
        "decide": _decide,
    }
    what, figures = measures[arguments.command](arguments)
    write(arguments.out, arguments.command, what, figures, where)
    show(f"edge-bench {arguments.command}  {what['subject']}", figures, where)
    if arguments.gate:
        gate(figures)
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        "edge-bench", "Measure the product on this machine.", "edge-bench pipeline --config cart.yaml --out bench.json"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS), parser_class=_Sub)
    # argparse reads % in a help text as a format.
    made = {name: commands.add_parser(name, help=text.replace("%", "%%")) for name, text in COMMANDS.items()}
    for name in ("pipeline", "memory"):
        made[name].add_argument("--config", type=Path, required=True, help="configuration of the daemon")
        made[name].add_argument("--frames", type=_count(50), default=500, metavar="N", help="per run (default 500)")
    words = "then write what a daemon takes before it has a model into a file of configs/devices/"
    made["memory"].add_argument("--write-device", type=Path, metavar="FILE", help=words)
    made["pipeline"].add_argument("--rounds", type=_count(1), default=3, metavar="N", help="of throughput (default 3)")
    _add_sizes(made["lookup"], prototypes=1, dimension=256)
    words = "search the table of this bundle for tensorrt, on CPU and GPU, and note in its plan where to look up"
    made["lookup"].add_argument("--bundle", type=Path, metavar="DIR", help=words)
    made["lookup"].add_argument("--plan", type=Path, metavar="DIR", help="of the bundle (default: BUNDLE.plan)")
    made["lookup"].add_argument("--queries", type=_count(10), default=500, metavar="N", help="(default 500)")
    _add_sizes(made["decide"], prototypes=8, dimension=192)
    made["decide"].add_argument("--decisions", type=_count(100), default=2000, metavar="N", help="(default 2000)")
    for one in made.values():
        one.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON too")
        one.add_argument("--gate", action="store_true", help="exit with 3 when a bar is missed")
    return parser.parse_args(argv)


def _add_sizes(parser: argparse.ArgumentParser, prototypes: int, dimension: int) -> None:
    """Add the size of a table that is made up."""
    parser.add_argument("--skus", type=_count(2), default=2000, metavar="N", help="products (default 2000)")
    words = f"of each product (default {prototypes})"
    parser.add_argument("--prototypes", type=_count(1), default=prototypes, metavar="K", help=words)
    words = f"of the embedding (default {dimension})"
    parser.add_argument("--dimension", type=_count(2), default=dimension, metavar="D", help=words)


class _Sub(Parser):
    """The parser of one subcommand."""

    def __init__(self, prog: str, **_: object) -> None:
        name = prog.rsplit(maxsplit=1)[-1]
        sized = name in {"lookup", "decide"}
        options = "--skus 2000 --prototypes 4" if sized else "--config cart.yaml --frames 5000 --gate"
        super().__init__(prog, f"Measure {COMMANDS[name]}.", f"edge-bench {name} {options}")


def _count(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= 10_000_000:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to 10000000")
        return int(text)

    return parse


def _pipeline(arguments: argparse.Namespace) -> tuple[dict[str, object], list[Figure]]:
    config, bundle = _read(arguments.config)
    refuse_live(config, arguments.config)
    images = sample_frames(config.cameras[0])
    frames: int = arguments.frames
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of(bundle, config.engine))
        rounds = _throughput(config, (bundle, engine, images), frames, arguments.rounds)
        locator = stack.enter_context(locator_of(config.cameras[0].locate, config.engine.threads))
        paced, interval_ns = _latency(Parts(bundle, engine, locator, config.publish), images, frames)
    with _progress("memory", frames) as tell:
        seen = observe(config, frames, with_memory=True, tell=tell)
    figures = [*_throughput_figures(rounds), *_latency_figures(paced, interval_ns), *_memory_figures(seen)]
    return {**_subject(arguments.config, config, bundle), "frames": frames, "rounds": rounds}, figures


def _memory(arguments: argparse.Namespace) -> tuple[dict[str, object], list[Figure]]:
    config, bundle = _read(arguments.config)
    if arguments.write_device is not None:
        refuse_other_device(arguments.write_device, bundle)
    with _progress("memory", arguments.frames) as tell:
        seen = observe(config, arguments.frames, with_memory=True, tell=tell)
    what = {**_subject(arguments.config, config, bundle), "frames": arguments.frames, "samples": seen.memory}
    first = at_most("first decision after start", seen.first_decision_s, "s", MAX_FIRST_DECISION_S)
    figures = [first, *_memory_figures(seen)]
    if arguments.write_device is not None:
        measured = overhead(bundle, config, seen.memory)
        write_measured(arguments.write_device, measured, measured_note(time.localtime()))
        print(f"wrote {arguments.write_device}")
        figures += [Figure(f"{name}, written", value, "MiB") for name, value in measured.items()]
    return what, figures


def _lookup(arguments: argparse.Namespace) -> tuple[dict[str, object], list[Figure]]:
    if arguments.bundle is not None:
        return _lookup_places(arguments)
    subject = _sizes(arguments)
    found = search(arguments.skus, arguments.prototypes, arguments.dimension, arguments.queries)
    figures = [
        Figure("query p50", float(np.median(found.queries_ms)), "ms"),
        Figure("query min", float(found.queries_ms.min()), "ms"),
        Figure("query p99", percentile(found.queries_ms.tolist(), 0.99), "ms"),
        Figure("table as stored", found.stored_mib, "MiB"),
        Figure("table as searched", found.searched_mib, "MiB"),
    ]
    return {"subject": f"{subject}, {found.dots}", "queries": arguments.queries, "dots": found.dots}, figures


def _lookup_places(arguments: argparse.Namespace) -> tuple[dict[str, object], list[Figure]]:
    bundle = read_bundle(arguments.bundle)
    config = EngineConfig(plan=str(arguments.plan or ""))
    found = choose_place(bundle, config, arguments.queries)
    figures = [
        Figure(f"query p50, {place}, {how}", float(np.median(took_ms)), "ms")
        for how, pair in (
            ("alone", (found.host_ms, found.engine_ms)),
            ("beside the engine", (found.host_beside_ms, found.engine_beside_ms)),
        )
        for place, took_ms in zip(("CPU", "GPU"), pair, strict=True)
    ]
    print(f"wrote {plan_of(bundle, config)}: look up on the {'GPU' if found.faster == 'engine' else 'CPU'}")
    subject = f"{arguments.bundle}, bundle {bundle.id}, {bundle.info.classes} products"
    return {"subject": subject, "queries": arguments.queries, "lookup": found.faster}, figures


def _decide(arguments: argparse.Namespace) -> tuple[dict[str, object], list[Figure]]:
    subject = _sizes(arguments)
    found = decide(arguments.skus, arguments.prototypes, arguments.dimension, arguments.decisions)
    figures = [
        at_most("decision p50", float(np.median(found.took_ms)), "ms", MAX_DECISION_MS),
        Figure("decision p50, processor time", float(np.median(found.processor_ms)), "ms"),
        Figure("decision min", float(found.took_ms.min()), "ms"),
        Figure("decision p99", percentile(found.took_ms.tolist(), 0.99), "ms"),
        at_most("memory beyond the engine", sum(found.held_mib.values()), "MiB", MAX_BEYOND_ENGINE_MIB),
        *(Figure(f"  {name}", size, "MiB") for name, size in found.held_mib.items()),
    ]
    what: dict[str, object] = {"decisions": arguments.decisions, "dots": found.dots, "routes": found.routes}
    return {"subject": f"{subject}, {found.dots}", **what}, figures


def _sizes(arguments: argparse.Namespace) -> str:
    """Return the size of the table in words; raises InputError for one that no device holds."""
    skus, prototypes, dimension = arguments.skus, arguments.prototypes, arguments.dimension
    if skus * prototypes * dimension > MAX_VALUES:
        asked = f"a table of {skus * prototypes * dimension:,} values"
        raise InputError(f"{asked}, expected at most {MAX_VALUES:,}; lower --skus, --prototypes or --dimension")
    return f"{skus} products x {prototypes} prototypes x {dimension} dimensions"


def _throughput(
    config: DaemonConfig, parts: tuple[Bundle, Engine, list[Image]], frames: int, rounds: int
) -> list[throughput.Round]:
    bundle, engine, images = parts
    with locator_of(config.cameras[0].locate, config.engine.threads) as locator:
        crops = throughput.crops_from_images(images, locator, bundle)
    done: list[throughput.Round] = []
    with _progress("throughput", frames * rounds) as tell:
        for number in range(rounds):
            done.append(throughput.measure(config, engine, crops, frames, partial(_tell_from, tell, number * frames)))
    return done


def _tell_from(tell: Callable[[int], None], before: int, now: int) -> None:
    tell(before + now)


def _latency(parts: Parts, images: list[Image], frames: int) -> tuple[Paced, int]:
    """Return the run at LOAD and its interval; what is a full load is found by a run without pauses."""
    run_paced(parts, images, Pace(WARM_UP_FRAMES, 0))
    flat_out = run_paced(parts, images, Pace(max(frames // 4, WARM_UP_FRAMES), 0))
    if flat_out.frames_per_s == 0.0:
        raise InputError("a decision on one frame only; expected a source that shows products to the locator")
    interval_ns = round(1e9 / flat_out.frames_per_s / LOAD)
    # Said once: a bar that is drawn in this process would be measured with it.
    print(f"latency    {frames} frames, {frames * interval_ns / 1e9:.0f} s", file=sys.stderr)
    return run_paced(parts, images, Pace(frames, interval_ns)), interval_ns


def _throughput_figures(rounds: Sequence[throughput.Round]) -> list[Figure]:
    def middle(values: Iterator[float]) -> float:
        return float(np.median(list(values)))

    return [
        Figure("daemon", middle(one.daemon_per_s for one in rounds), "decisions/s"),
        Figure("bare engine", middle(one.bare_per_s for one in rounds), "crops/s"),
        at_least("daemon / bare engine", middle(one.ratio for one in rounds), "", MIN_RATIO),
        at_most(
            "first decision after start", middle(one.first_decision_s for one in rounds), "s", MAX_FIRST_DECISION_S
        ),
    ]


def _latency_figures(paced: Paced, interval_ns: int) -> list[Figure]:
    engine, median = percentile(paced.engine_ms, 0.5), percentile(paced.latencies_ms, 0.5)
    p99 = percentile(paced.latencies_ms, 0.99)
    return [
        Figure("frames offered, 70 % load", 1e9 / interval_ns, "frames/s"),
        Figure("engine p50", engine, "ms"),
        Figure("engine p99 / p50", percentile(paced.engine_ms, 0.99) / engine, ""),
        Figure("latency p50", median, "ms"),
        at_most("latency p50 - engine p50", median - engine, "ms", MAX_OVER_ENGINE_MS),
        Figure("latency p99", p99, "ms"),
        at_most("latency p99 / p50", p99 / median, "", MAX_P99_TO_MEDIAN),
    ]


def _memory_figures(seen: Observed) -> list[Figure]:
    grown = slope(seen.memory)
    pss_mib = max((sample.pss_kib for sample in seen.memory), default=float("nan")) / 1024
    alone_mib = max((sample.alone_kib for sample in seen.memory), default=float("nan")) / 1024
    figures = [
        Figure("processes", max((sample.processes for sample in seen.memory), default=0), ""),
        at_most("PSS of all processes, peak", pss_mib, "MiB", MAX_PSS_MIB),
        Figure("the same, were nothing else to map these files", alone_mib, "MiB"),
        Figure("RSS of all processes, peak", max((s.rss_kib for s in seen.memory), default=0) / 1024, "MiB"),
    ]
    if grown is not None:
        figures.append(Figure("growth of PSS", grown.kib_per_1000_frames, "KiB / 1000 frames"))
        figures.append(Figure("its standard error", grown.standard_error, "KiB / 1000 frames"))
    return figures


def _read(path: Path) -> tuple[DaemonConfig, Bundle]:
    """Return the configuration and the bundle; no fallback: what is measured is the bundle's own engine."""
    given = load_daemon_config(path, parse_source)
    config = msgspec.structs.replace(given, engine=msgspec.structs.replace(given.engine, fallback="none"))
    return config, read_bundle(Path(config.bundle))


def _subject(path: Path, config: DaemonConfig, bundle: Bundle) -> dict[str, object]:
    threads = config.engine.threads
    words = f"{path}, bundle {bundle.id}, {bundle.info.engine} with {threads} thread{'s' if threads > 1 else ''}"
    return {"subject": words, "bundle": bundle.id, "engine": bundle.info.engine, "threads": threads}


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield what is called with the number done so far; drawn twice a second on standard error."""
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, refresh_per_second=2) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
