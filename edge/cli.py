"""The composition root of the commands on the device: with `edge.assembly` the only file that names adapters."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

import edge.one_thread  # noqa: F401  # before anything that imports NumPy
from edge import messages
from edge.assembly import engine_of, locator_of, runtime_mib
from edge.bundle import Bundle, read_bundle
from edge.capture import open_camera
from edge.capture.address import parse_source
from edge.capture.backoff import Backoff
from edge.capture.camera import Camera
from edge.capture.stills import SUFFIXES, read_still
from edge.command import Parser, run, whole_number
from edge.config import MAX_THREADS, DaemonConfig, EngineConfig, FeedbackConfig, OutboxConfig, load_daemon_config
from edge.daemon import Daemon, Feedback, Outgoing, Sender, Stream
from edge.engines import REFERENCE
from edge.errors import GateError, InputError
from edge.feedback.assembly import clerk_of
from edge.feedback.audit import Auditor
from edge.footprint import available_mib, refuse_too_large
from edge.health import Health, resident_mib
from edge.heap import give_back_freed
from edge.metrics import MetricsServer
from edge.outbox.courier import Courier
from edge.outbox.store import Limits, Store
from edge.pipeline import Pipeline
from edge.ports import Engine
from edge.publish.zmq_pub import ZmqPublisher
from edge.replay.play import compare
from edge.replay.record import Recorder, read_session
from edge.track import Tracker
from edge.types import Decision
from edge.writing import whole_file

__all__ = ["classify", "daemon", "replay"]

AWAIT_S = 30

log = logging.getLogger("edge")


def daemon(argv: Sequence[str] | None = None) -> int:
    """Run `edge-daemon`."""
    return run("edge-daemon", _daemon, argv)


def classify(argv: Sequence[str] | None = None) -> int:
    """Run `edge-classify`."""
    return run("edge-classify", _classify, argv)


def replay(argv: Sequence[str] | None = None) -> int:
    """Run `edge-replay`."""
    return run("edge-replay", _replay, argv)


def _daemon(argv: Sequence[str]) -> int:
    parser = Parser(
        "edge-daemon", "Recognise products on cameras and publish decisions.", "edge-daemon --config configs/cart.yaml"
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML file; see configs/")
    parser.add_argument("--check", action="store_true", help="validate configuration and bundle, then exit")
    parser.add_argument("--record", type=Path, metavar="DIR", help="keep frames and decisions for edge-replay")
    parser.add_argument(
        "--await-subscribers",
        type=whole_number(0, 1_000_000),
        default=0,
        metavar="N",
        help="begin when N subscriptions have come (at most 30 s)",
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    config = load_daemon_config(arguments.config, parse_source)
    bundle = read_bundle(Path(config.bundle))
    refuse_too_large(bundle, config, available_mib(), resident_mib(), runtime_mib(bundle, config.engine))
    if arguments.check:
        with ExitStack() as stack:
            engine = stack.enter_context(engine_of(bundle, config.engine))
            for camera in config.cameras:
                stack.enter_context(locator_of(camera.locate, config.engine.threads))
        what = f"{bundle.info.classes} products, engine {bundle.info.engine}"
        _warn_degraded("edge-daemon", engine)
        print(f"ok: {arguments.config}, bundle {bundle.id}: {what}")
        return 0
    with _stop_on_signals() as stop, ExitStack() as stack:
        recorder = stack.enter_context(Recorder(arguments.record, config, bundle.id)) if arguments.record else None
        _run(config, bundle, recorder, stack, (stop, arguments.await_subscribers))
    return 0


def _run(
    config: DaemonConfig,
    bundle: Bundle,
    recorder: Recorder | None,
    stack: ExitStack,
    start: tuple[threading.Event, int],
) -> None:
    stop, await_subscribers = start
    publisher = stack.enter_context(ZmqPublisher(config.publish.decisions, config.publish.high_water_mark))
    health = Health(started_ns=time.monotonic_ns())
    courier = stack.enter_context(_courier(config.outbox)) if config.outbox else None
    health.outbox = courier.state if courier else None
    sources = [open_camera(camera) for camera in config.cameras]
    if config.metrics is not None:
        stack.enter_context(MetricsServer(config.metrics.listen, health, sources, bundle.id))
    # Cameras open while the engine loads: each is a process of its own.
    for source in sources:
        stack.enter_context(source)
    engine = stack.enter_context(engine_of(bundle, config.engine))
    streams = _streams(config, sources, stack)
    health.degraded = engine.degraded
    if engine.degraded:
        log.warning("degraded, the engine's reference on the CPU decides: %s", engine.degraded)
    origin = messages.Origin(config.device_id, secrets.token_hex(6), bundle.id)
    feedback = stack.enter_context(_feedback(config.feedback, bundle, origin)) if config.feedback else None
    health.feedback = feedback.clerk.state if feedback else None
    sender = Sender(publisher, config.publish.format, courier, feedback)
    outgoing = Outgoing(bundle, origin, health, sender, recorder)
    log.info("running: device %s, bundle %s, epoch %s", config.device_id, bundle.id, origin.epoch)
    if await_subscribers:
        _await_subscribers(publisher, await_subscribers, stop)
    pipeline = Pipeline(bundle, engine)
    give_back_freed()
    Daemon(streams, pipeline, outgoing, time.monotonic_ns).run(stop)


def _streams(config: DaemonConfig, sources: Sequence[Camera], stack: ExitStack) -> list[Stream]:
    return [
        Stream(
            source,
            stack.enter_context(locator_of(camera.locate, config.engine.threads)),
            Tracker(camera.looks),
            Backoff(seed=number),
        )
        for number, (source, camera) in enumerate(zip(sources, config.cameras, strict=True))
    ]


@contextmanager
def _courier(config: OutboxConfig) -> Iterator[Courier]:
    limits = Limits(config.max_rows, config.max_mib << 20)
    with Store(Path(config.path), limits) as store:
        if store.put_aside is not None:
            log.error("outbox %s was damaged; it was put aside as %s and begins anew", config.path, store.put_aside)
        if store.rows:
            log.info("outbox: %d decisions of earlier starts wait for %s", store.rows, config.collector)
        with Courier(store, config.collector, time.monotonic_ns) as courier:
            yield courier


@contextmanager
def _feedback(config: FeedbackConfig, bundle: Bundle, origin: messages.Origin) -> Iterator[Feedback]:
    with clerk_of(config, bundle, origin.device_id, time.monotonic_ns) as clerk:
        yield Feedback(Auditor(origin.epoch, config.audit_share), clerk)


def _await_subscribers(publisher: ZmqPublisher, count: int, stop: threading.Event) -> None:
    """Wait for subscriptions, in short slices so that a signal ends it; go on without them after AWAIT_S."""
    give_up_s = time.monotonic() + AWAIT_S
    while not stop.is_set() and time.monotonic() < give_up_s:
        if publisher.wait_for_subscriptions(count, timeout_ms=100):
            return
    if not stop.is_set():
        log.warning("only %d of %d subscriptions came in %d s; beginning", publisher.subscriptions, count, AWAIT_S)


def _classify(argv: Sequence[str]) -> int:
    parser = Parser(
        "edge-classify",
        "Decide about still pictures of single products.",
        "edge-classify --bundle bundles/current --images photos/ --out decisions.jsonl",
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", nargs="+", required=True, metavar="PATH", help="pictures, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="one JSON object a line")
    parser.add_argument("--threads", type=whole_number(1, MAX_THREADS), default=1, help="CPU threads of one inference")
    arguments = parser.parse_args(argv)
    bundle = read_bundle(arguments.bundle)
    paths = [path for given in arguments.images for path in _pictures(given)]
    _refuse_overwriting(arguments.out, paths)
    with whole_file(arguments.out) as out, engine_of(bundle, _here(arguments.threads)) as engine:
        _warn_degraded("edge-classify", engine)
        pipeline = Pipeline(bundle, engine)
        decided = sum(_decide_still(path, pipeline, out) for path in _shown(paths))
        if not decided:
            raise InputError(f"none of {len(paths)} pictures could be read; expected JPEG, PNG, BMP or WebP")
    unreadable = len(paths) - decided
    print(f"{decided} decisions in {arguments.out}" + (f", {unreadable} unreadable" if unreadable else ""))
    return 0


def _decide_still(path: str, pipeline: Pipeline, out: BinaryIO) -> bool:
    """Write the decision about one picture; False, with a warning, where it cannot be read."""
    try:
        image = read_still(Path(path))
    except InputError as error:
        print(f"edge-classify: warning: {error}", file=sys.stderr)
        return False
    out.write(_decision_line(path, pipeline.decide([image])[0]))
    return True


def _shown(paths: Sequence[str]) -> Iterator[str]:
    """Yield the paths; show how far they are on a terminal."""
    from rich.console import Console  # noqa: PLC0415  # the daemon, which shares this file, need not load it
    from rich.progress import Progress  # noqa: PLC0415  # the same

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(paths, description="deciding")


def _refuse_overwriting(out: Path, paths: Sequence[str]) -> None:
    if out.exists() and any(os.path.samefile(out, path) for path in paths):
        raise InputError(f"{out}: is one of the pictures to decide about; choose another --out")


def _pictures(given: str) -> Iterator[str]:
    """Yield a picture, or the pictures below a folder in sorted order: the given path joined with the path below it."""
    folder = Path(given)
    if folder.is_dir():
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not found:
            raise InputError(f"{given}: no pictures below this folder; expected {', '.join(sorted(SUFFIXES))}")
        yield from (os.path.join(given, path.relative_to(folder)) for path in found)
    elif folder.is_file():
        yield given
    else:
        raise InputError(f"{given}: no such file or folder")


def _decision_line(path: str, decision: Decision) -> bytes:
    line = {
        # A name that is not UTF-8 is no JSON: its odd bytes are shown as \\xNN.
        "image": os.fsencode(path).decode(errors="backslashreplace"),
        "route": decision.route.value,
        "sku": decision.sku,
        "confidence": decision.confidence,
        "ood_score": decision.ood_score,
        "candidates": [{"sku": c.sku, "similarity": c.similarity} for c in decision.candidates],
        "verify_set": decision.verify_set,
        "reasons": [reason.value for reason in decision.reasons],
    }
    return msgspec.json.encode(line) + b"\n"


def _replay(argv: Sequence[str]) -> int:
    parser = Parser(
        "edge-replay", "Play a recording again; the decisions must be the same.", "edge-replay recordings/monday"
    )
    parser.add_argument("recording", type=Path, metavar="DIR", help="folder made by edge-daemon --record")
    parser.add_argument("--bundle", type=Path, help="another bundle than the recorded one, to see what it changes")
    arguments = parser.parse_args(argv)
    session = read_session(arguments.recording)
    bundle = read_bundle(arguments.bundle or Path(session.bundle))
    if arguments.bundle is None and bundle.id != session.bundle_id:
        found = f"bundle {bundle.id}, recorded with {session.bundle_id}"
        raise InputError(f"{session.bundle}: {found}; give --bundle to compare with another")
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of(bundle, _here(session.threads)))
        _warn_degraded("edge-replay", engine)
        eyes = {
            c.id: (stack.enter_context(locator_of(c.locate, session.threads)), Tracker(c.looks))
            for c in session.cameras
        }
        result = compare(arguments.recording, Pipeline(bundle, engine), eyes)
    for difference in result.first:
        print(difference)
    print(f"{result.compared} decisions compared, {result.different} differ")
    if result.different:
        raise GateError(f"{result.different} of {result.compared} decisions differ, expected none")
    return 0


def _here(threads: int) -> EngineConfig:
    """Return how an engine runs for a person at a desk: on the CPU where it must, and saying so."""
    return EngineConfig(threads=threads, fallback=REFERENCE)


def _warn_degraded(command: str, engine: Engine) -> None:
    if engine.degraded:
        print(f"{command}: warning: the engine's reference on the CPU decides: {engine.degraded}", file=sys.stderr)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set, and put the old handlers back afterwards."""
    stop = threading.Event()
    old = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
