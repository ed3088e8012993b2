"""What the daemon is told: YAML -> frozen typed structs. The JSON schema for editors is made from these structs.

Relative paths are relative to the working directory of the command, as in a shell. An unknown key, a duplicate key,
NaN, a wrong type or a value out of range refuses to start and names file, line and key (`edge.yaml_file`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from edge import yaml_file
from edge.config.base import Config, Identifier
from edge.config.cameras import CameraConfig, Locate, Motion, Slots
from edge.config.degrade import DegradeConfig
from edge.config.engine import EngineConfig, SelfTestConfig
from edge.config.feedback import FeedbackConfig
from edge.config.keys import FOR_SOCKETS, KeysConfig, reach_faults
from edge.config.log import LogConfig
from edge.config.sockets import MetricsConfig, OutboxConfig, PublishConfig
from edge.errors import InputError

__all__ = ["DaemonConfig", "json_schema", "load_daemon_config"]

MAX_PORT = 65_535


class DaemonConfig(Config, frozen=True):
    """All that `edge-daemon --config FILE` reads, and reads again on SIGHUP (`edge.config.changes`).

    `self_test: null` switches the self-test off.
    """

    device_id: Identifier
    bundle: Annotated[str, Meta(min_length=1)]
    cameras: Annotated[tuple[CameraConfig, ...], Meta(min_length=1, max_length=16)]
    publish: PublishConfig
    outbox: OutboxConfig | None = None
    feedback: FeedbackConfig | None = None
    metrics: MetricsConfig | None = None
    degrade: DegradeConfig | None = DegradeConfig()
    engine: EngineConfig = EngineConfig()
    keys: KeysConfig | None = None
    self_test: SelfTestConfig | None = SelfTestConfig()
    log: LogConfig = LogConfig()


class Understood(Protocol):
    """What the configuration asks of a source that was understood."""

    @property
    def is_live(self) -> bool:
        """Whether time goes on without us."""


def load_daemon_config(path: Path, understand: Callable[[str], Understood] | None = None) -> DaemonConfig:
    """Read and check a daemon configuration; raises ConfigError with file, line and key.

    `understand` is called with every `source` and raises InputError for one that no camera can be
    (`edge.capture.address.parse_source`, which stands above this module).
    """
    return yaml_file.load(path, DaemonConfig, lambda config: _faults(config, understand))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a daemon configuration, for editors."""
    return msgspec.json.schema(DaemonConfig)


def _faults(config: DaemonConfig, understand: Callable[[str], Understood] | None) -> Iterator[yaml_file.Fault]:
    """Yield what the types cannot say."""
    yield from _twice("cameras", [camera.id for camera in config.cameras])
    for number, camera in enumerate(config.cameras):
        if understand is not None:
            try:
                address = understand(camera.source)
            except InputError as error:
                yield f"cameras[{number}].source", str(error)
            else:
                yield from _full_faults(f"cameras[{number}].when_full", camera, address.is_live)
        yield from _locate_faults(f"cameras[{number}].locate", camera.locate)
    yield from _socket_faults(config)
    if config.degrade is not None:
        yield from _degrade_faults(config.degrade)


def _socket_faults(config: DaemonConfig) -> Iterator[yaml_file.Fault]:
    named = {by for by in FOR_SOCKETS if getattr(config.keys, by, None) is not None}
    sockets = [(("publish.decisions", config.publish.decisions), config.publish.insecure, "subscribers")]
    if config.outbox is not None:
        sockets.append((("outbox.collector", config.outbox.collector), config.outbox.insecure, "collector"))
    if config.feedback is not None:
        sockets.append((("feedback.listen", config.feedback.listen), config.feedback.insecure, "senders"))
    for (key, address), insecure, by in sockets:
        yield from _port_faults(key, address, least=1)
        yield from reach_faults(key, address, insecure, (by, by in named))
    if config.metrics is not None:
        yield from _port_faults("metrics.listen", config.metrics.listen, least=0)
        yield from reach_faults("metrics.listen", f"tcp://{config.metrics.listen}", config.metrics.insecure)
    for by in sorted(named - {by for *_, by in sockets}):
        yield f"keys.{by}", "given, but the part of the daemon that it is for is not configured; take it away"


def _full_faults(key: str, camera: CameraConfig, is_live: bool) -> Iterator[yaml_file.Fault]:
    if is_live and camera.when_full == "wait":
        yield key, "wait, but a live source does not: frames would grow old in its driver; expected drop_oldest"
    if not is_live and not camera.realtime and camera.when_full.startswith("drop"):
        found = f"{camera.when_full}, but a file is read as fast as it is decided on: most of it would be dropped"
        yield key, f"{found}; expected wait, or `realtime: true` beside it"


def _locate_faults(key: str, locate: Locate) -> Iterator[yaml_file.Fault]:
    if isinstance(locate, Slots):
        yield from _twice(f"{key}.slots", [slot.id for slot in locate.slots])
        for number, slot in enumerate(locate.slots):
            if any(len(set(values)) == 1 for values in zip(*slot.polygon, strict=True)):
                yield f"{key}.slots[{number}].polygon", "has no area; give at least three corners of an area"
    if isinstance(locate, Motion) and locate.min_area >= locate.max_area:
        yield f"{key}.min_area", f"{locate.min_area}, expected less than max_area, {locate.max_area}; mend one of them"


def _port_faults(key: str, address: str, least: int) -> Iterator[yaml_file.Fault]:
    port = address.rpartition(":")[2]
    if not address.startswith("ipc://") and not least <= int(port) <= MAX_PORT:
        yield key, f"port {port}, expected {least} to {MAX_PORT}"


def _degrade_faults(settings: DegradeConfig) -> Iterator[yaml_file.Fault]:
    rising = {"own_memory": settings.own_memory, "temperature_c": settings.temperature_c, "queue": settings.queue}
    falling = {"memory": settings.memory, "disk_mib": settings.disk_mib}
    for name, marks in (*rising.items(), *falling.items()):
        if list(marks) != sorted(set(marks), reverse=name in falling):
            found = f"{list(marks)}, expected three {'falling' if name in falling else 'rising'} numbers"
            yield f"degrade.{name}", f"{found}: relaxed, a step down, all steps down"


def _twice(key: str, ids: Sequence[str]) -> Iterator[yaml_file.Fault]:
    for number, one in enumerate(ids):
        if one in ids[:number]:
            yield f"{key}[{number}].id", f"the id {one} stands twice; ids must differ"
