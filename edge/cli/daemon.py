"""`edge-daemon`: cameras, engine and sockets put together, and run until told to stop."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn

import edge.one_thread  # noqa: F401  # before anything that imports NumPy
from edge import logs, messages
from edge.assembly import engine_of, load, locator_of, runtime_mib
from edge.bundle import Bundle
from edge.capture import open_camera
from edge.capture.address import parse_source
from edge.capture.camera import Camera
from edge.class_counts import ClassCounts
from edge.cli.desk import warn_degraded
from edge.command import Parser, run, whole_number
from edge.config import DaemonConfig, FeedbackConfig, OutboxConfig, load_daemon_config
from edge.daemon import Daemon, Duty, Stream, stream_of
from edge.degrade.assembly import watch_of
from edge.degrade.smaller import bundles_of, engine_config
from edge.feedback.assembly import catalogue_of, clerk_of
from edge.footprint import available_mib, needed_mib, refuse_too_large
from edge.health import Health, resident_mib
from edge.heap import give_back_freed
from edge.keys.assembly import Keys, keys_of
from edge.life.notify import Notifier
from edge.life.reload import Reload, Running
from edge.life.room import Room
from edge.life.selftest import SelfTest
from edge.life.settings import Staying
from edge.life.shedding import Shedding
from edge.life.supervision import Supervision
from edge.life.tidying import Tidying
from edge.life.together import Together, all_at_once
from edge.metrics import MetricsServer
from edge.outbox.courier import Courier
from edge.outbox.store import Limits, Store
from edge.outgoing import Feedback, Outgoing, Sender
from edge.publish.zmq_pub import ZmqPublisher
from edge.replay.record import Recorder

__all__ = ["main"]

AWAIT_S = 30

log = logging.getLogger("edge")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-daemon`. Where it ran and ended in order the process ends here, with 0."""
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
    if arguments.check:
        return _check(arguments.config)
    with _heeding_signals() as signals, ExitStack() as stack:
        notifier = stack.enter_context(Notifier())
        notifier.status("loading")
        daemon = _assembled(arguments, notifier, signals, stack)
        stack.callback(notifier.stopping)
        daemon.run(signals.stop)
    return _leave()


def _leave() -> NoReturn:
    """End the process here: everything is flushed and closed. Python would take every module apart first, and a library
    that is in the middle of loading a bundle may not survive that.
    """
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def _check(path: Path) -> int:
    config, _, bundle, smaller = _read(path)
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of(bundle, config.engine))
        if smaller is not None:
            stack.enter_context(engine_of(smaller, engine_config(config, smaller=True)))
        for camera in config.cameras:
            stack.enter_context(locator_of(camera.locate, config.engine.threads))
    warn_degraded("edge-daemon", engine)
    print(f"ok: {path}, bundle {bundle.id}: {bundle.info.classes} products, engine {bundle.info.engine}")
    return 0


def _read(path: Path) -> tuple[DaemonConfig, Keys, Bundle, Bundle | None]:
    config = load_daemon_config(path, parse_source)
    logs.set_up(config.log.format, level=config.log.level, burst=config.log.most_a_minute)
    keys = keys_of(config.keys, time.monotonic_ns)
    bundle, smaller = bundles_of(config)
    refuse_too_large(bundle, config, available_mib(), resident_mib(), runtime_mib(bundle, config.engine))
    return config, keys, bundle, smaller


def _assembled(arguments: Namespace, notifier: Notifier, signals: Signals, stack: ExitStack) -> Daemon:
    """Return a daemon of opened parts, which `stack` closes. Nothing outside `Running` may keep hold of the bundle."""
    config, keys, bundle = _read(arguments.config)[:3]  # the smaller bundle is read again when it is wanted
    publish = config.publish
    recorder = stack.enter_context(Recorder(arguments.record, config, bundle.id)) if arguments.record else None
    together = stack.enter_context(Together())  # so that an end takes two seconds at most
    publisher = together.enter_context(ZmqPublisher(publish.decisions, publish.high_water_mark, keys.publish))
    health = Health(started_ns=time.monotonic_ns(), bundle_id=bundle.id, refused=keys.refused)
    health.planned_mib = needed_mib(bundle, config, runtime_mib(bundle, config.engine))
    courier = together.enter_context(_courier(config.outbox, keys)) if config.outbox else None
    health.outbox = courier.state if courier else None
    cameras, metrics = _opened_cameras(config, bundle, health, together)
    loaded = load(bundle, config.engine)  # while the cameras open
    health.engine_ready, health.degraded = True, loaded.engine.degraded
    if health.degraded:
        log.warning("degraded, the engine's reference on the CPU decides: %s", health.degraded)
    origin = messages.Origin(config.device_id, secrets.token_hex(6), bundle.id)
    feedback = _feedback(config.feedback, bundle, origin, (keys, health), together) if config.feedback else None
    health.feedback = feedback.clerk.state if feedback else None
    sender = Sender(publisher, config.publish.format, courier, feedback)
    outgoing = Outgoing(bundle, origin, health, sender, recorder)
    self_test = SelfTest(health, outgoing)
    self_test.follow(config.self_test, bundle, loaded.engine)
    children = lambda: [camera.pid for camera in cameras if camera.pid is not None]  # noqa: E731  # asked each second
    watch = stack.enter_context(watch_of(config.degrade, config, children, time.monotonic_ns))
    staying = Staying(watch, children, keys, courier, metrics)
    running = Running(
        arguments.config, config, loaded, cameras, outgoing, health, self_test, notifier, staying, feedback
    )
    reload = stack.enter_context(Reload(running, signals.reload))
    duties: list[Duty] = [
        reload,
        self_test,
        Supervision(notifier, health),
        Tidying(),
        Room(watch),
        Shedding(watch, health, outgoing),
    ]
    daemon = Daemon(_streams(config, cameras), loaded.pipeline, outgoing, time.monotonic_ns, duties)
    together.callback(lambda: _let_go(daemon, running))
    log.info("running: device %s, bundle %s, epoch %s", config.device_id, bundle.id, origin.epoch)
    if arguments.await_subscribers:
        _await_subscribers(publisher, arguments.await_subscribers, signals.stop)
    give_back_freed()
    return daemon


def _opened_cameras(
    config: DaemonConfig, bundle: Bundle, health: Health, together: Together
) -> tuple[list[Camera], MetricsServer | None]:
    """Return the cameras, started: each is a process of its own; and who tells of them meanwhile, where one is asked
    for. `together` closes those that are there at the end.
    """
    cameras, metrics = [open_camera(camera, asks=True) for camera in config.cameras], None
    together.callback(lambda: all_at_once([partial(camera.__exit__, None, None, None) for camera in cameras]))
    if config.metrics is not None:
        health.classes = ClassCounts([info.sku for info in bundle.classes])
        metrics = together.enter_context(MetricsServer(config.metrics, health, cameras, time.monotonic_ns))
    for camera in cameras:
        camera.__enter__()
    return cameras, metrics


def _streams(config: DaemonConfig, cameras: Sequence[Camera]) -> list[Stream]:
    streams = []
    for number, (source, camera) in enumerate(zip(cameras, config.cameras, strict=True)):
        held = ExitStack()
        locator = held.enter_context(locator_of(camera.locate, config.engine.threads))
        streams.append(stream_of(camera, source, (locator, held), number))
    return streams


def _let_go(daemon: Daemon, running: Running) -> None:
    for stream in daemon.streams:
        stream.held.close()
    running.loaded.held.close()


@contextmanager
def _courier(config: OutboxConfig, keys: Keys) -> Iterator[Courier]:
    limits = Limits(config.max_rows, config.max_mib << 20)
    with Store(Path(config.path), limits) as store:
        if store.put_aside is not None:
            log.error("outbox %s was damaged; it was put aside as %s and begins anew", config.path, store.put_aside)
        if store.rows:
            log.info("outbox: %d messages of earlier starts wait for %s", store.rows, config.collector)
        with Courier(store, config.collector, time.monotonic_ns, keys.outbox) as courier:
            yield courier


def _feedback(
    config: FeedbackConfig, bundle: Bundle, origin: messages.Origin, given: tuple[Keys, Health], together: Together
) -> Feedback:
    keys, health = given
    clerk = clerk_of(config, catalogue_of(bundle), origin.device_id, time.monotonic_ns, keys.feedback, health.checked)
    return Feedback(config.audit_share, together.enter_context(clerk))


def _await_subscribers(publisher: ZmqPublisher, count: int, stop: threading.Event) -> None:
    """Wait for subscriptions, in short slices so that a signal ends it; go on without them after AWAIT_S."""
    give_up_s = time.monotonic() + AWAIT_S
    while not stop.is_set() and time.monotonic() < give_up_s:
        if publisher.wait_for_subscriptions(count, timeout_ms=100):
            return
    if not stop.is_set():
        log.warning("only %d of %d subscriptions came in %d s; beginning", publisher.subscriptions, count, AWAIT_S)


@dataclass(frozen=True, slots=True)
class Signals:
    """What signals ask for: SIGTERM and SIGINT to stop, SIGHUP to read the configuration again."""

    stop: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)


@contextmanager
def _heeding_signals() -> Iterator[Signals]:
    """Yield what signals set, and put the old handlers back afterwards."""
    signals = Signals()
    events = {signal.SIGTERM: signals.stop, signal.SIGINT: signals.stop, signal.SIGHUP: signals.reload}
    old = {number: signal.signal(number, partial(_set, event)) for number, event in events.items()}
    try:
        yield signals
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _set(event: threading.Event, *_: object) -> None:
    event.set()
