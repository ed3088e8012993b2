"""`edge-daemon`: cameras, engine and sockets put together, and run until told to stop."""

from __future__ import annotations

import logging
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import edge.one_thread  # noqa: F401  # before anything that imports NumPy
from edge import messages
from edge.assembly import engine_of, locator_of, runtime_mib
from edge.bundle import Bundle, read_bundle
from edge.capture import open_camera
from edge.capture.address import parse_source
from edge.capture.backoff import Backoff
from edge.capture.camera import Camera
from edge.cli.desk import warn_degraded
from edge.command import Parser, run, whole_number
from edge.config import DaemonConfig, FeedbackConfig, OutboxConfig, load_daemon_config
from edge.daemon import Daemon, Stream
from edge.feedback.assembly import clerk_of
from edge.feedback.audit import Auditor
from edge.footprint import available_mib, refuse_too_large
from edge.health import Health, resident_mib
from edge.heap import give_back_freed
from edge.keys.assembly import Keys, keys_of
from edge.metrics import MetricsServer
from edge.outbox.courier import Courier
from edge.outbox.store import Limits, Store
from edge.outgoing import Feedback, Outgoing, Sender
from edge.pipeline import Pipeline
from edge.publish.zmq_pub import ZmqPublisher
from edge.replay.record import Recorder
from edge.track import Tracker

__all__ = ["main"]

AWAIT_S = 30

log = logging.getLogger("edge")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-daemon`."""
    return run("edge-daemon", _daemon, argv)


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
    keys = keys_of(config.keys, time.monotonic_ns)
    bundle = read_bundle(Path(config.bundle))
    refuse_too_large(bundle, config, available_mib(), resident_mib(), runtime_mib(bundle, config.engine))
    if arguments.check:
        with ExitStack() as stack:
            engine = stack.enter_context(engine_of(bundle, config.engine))
            for camera in config.cameras:
                stack.enter_context(locator_of(camera.locate, config.engine.threads))
        what = f"{bundle.info.classes} products, engine {bundle.info.engine}"
        warn_degraded("edge-daemon", engine)
        print(f"ok: {arguments.config}, bundle {bundle.id}: {what}")
        return 0
    with _stop_on_signals() as stop, ExitStack() as stack:
        recorder = stack.enter_context(Recorder(arguments.record, config, bundle.id)) if arguments.record else None
        _run((config, keys), bundle, recorder, stack, (stop, arguments.await_subscribers))
    return 0


def _run(
    told: tuple[DaemonConfig, Keys],
    bundle: Bundle,
    recorder: Recorder | None,
    stack: ExitStack,
    start: tuple[threading.Event, int],
) -> None:
    (config, keys), (stop, await_subscribers) = told, start
    publish = config.publish
    publisher = stack.enter_context(ZmqPublisher(publish.decisions, publish.high_water_mark, keys.publish))
    health = Health(started_ns=time.monotonic_ns(), refused=keys.refused)
    courier = stack.enter_context(_courier(config.outbox, keys)) if config.outbox else None
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
    feedback = stack.enter_context(_feedback(config.feedback, bundle, origin, keys)) if config.feedback else None
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
def _courier(config: OutboxConfig, keys: Keys) -> Iterator[Courier]:
    limits = Limits(config.max_rows, config.max_mib << 20)
    with Store(Path(config.path), limits) as store:
        if store.put_aside is not None:
            log.error("outbox %s was damaged; it was put aside as %s and begins anew", config.path, store.put_aside)
        if store.rows:
            log.info("outbox: %d decisions of earlier starts wait for %s", store.rows, config.collector)
        with Courier(store, config.collector, time.monotonic_ns, keys.outbox) as courier:
            yield courier


@contextmanager
def _feedback(config: FeedbackConfig, bundle: Bundle, origin: messages.Origin, keys: Keys) -> Iterator[Feedback]:
    with clerk_of(config, bundle, origin.device_id, time.monotonic_ns, keys.feedback) as clerk:
        yield Feedback(Auditor(origin.epoch, config.audit_share), clerk)


def _await_subscribers(publisher: ZmqPublisher, count: int, stop: threading.Event) -> None:
    """Wait for subscriptions, in short slices so that a signal ends it; go on without them after AWAIT_S."""
    give_up_s = time.monotonic() + AWAIT_S
    while not stop.is_set() and time.monotonic() < give_up_s:
        if publisher.wait_for_subscriptions(count, timeout_ms=100):
            return
    if not stop.is_set():
        log.warning("only %d of %d subscriptions came in %d s; beginning", publisher.subscriptions, count, AWAIT_S)


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
