"""What the daemon is told: YAML -> frozen typed structs. The JSON schema for editors is made from these structs.

Relative paths are relative to the working directory of the command, as in a shell. An unknown key, a duplicate key,
NaN, a wrong type or a value out of range refuses to start and names file, line and key (`edge.yaml_file`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeAlias

import msgspec
from msgspec import Meta, Struct

from edge import yaml_file
from edge.address import is_local
from edge.errors import InputError

__all__ = [
    "LOOKS",
    "MAX_THREADS",
    "CameraConfig",
    "DaemonConfig",
    "FeedbackConfig",
    "json_schema",
    "load_daemon_config",
]

MAX_THREADS = 64
MAX_PORT = 65_535
LOOKS = 3

Identifier: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="letters, digits, dot, dash, underscore; at most 64"
    ),
]
Endpoint: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(tcp://[^\s/]+:[0-9]{1,5}|ipc://\S+)$",
        description="a ZeroMQ endpoint: tcp://HOST:PORT or ipc://PATH",
    ),
]
Listen: TypeAlias = Annotated[str, Meta(pattern=r"^[^\s:]+:[0-9]{1,5}$", description="HOST:PORT")]
Milliseconds: TypeAlias = Annotated[int, Meta(ge=1, le=600_000)]
Fraction: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
Points: TypeAlias = Annotated[
    tuple[tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]], ...],
    Meta(min_length=3, max_length=32, description="[[x, y], ...] in pixels of the frame"),
]

Levels: TypeAlias = Annotated[tuple[Annotated[float, Meta(gt=0.0, le=10.0)], ...], Meta(min_length=1, max_length=8)]


class _Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all configuration: frozen, and unknown keys are errors."""


class FullFrame(_Config, frozen=True, tag_field="kind", tag="full_frame"):
    """The whole frame is one region."""


class Slot(_Config, frozen=True):
    """One fixed facing of a shelf."""

    id: Identifier
    polygon: Points


class Slots(_Config, frozen=True, tag_field="kind", tag="slots"):
    """Fixed facings; one region for the bounding box of each polygon."""

    slots: Annotated[tuple[Slot, ...], Meta(min_length=1, max_length=256)]


class Motion(_Config, frozen=True, tag_field="kind", tag="motion"):
    """What differs from the learned background (MOG2), for carts and baskets.

    `min_area` and `max_area` are shares of the frame. A region is reported only while it stays where it is, from frame
    to frame: `steady` is the intersection over union that two frames must reach (0 reports moving things too).
    `history_frames` is how long the background remembers; a thing that rests becomes background after about a tenth.
    """

    min_area: Fraction = 0.01
    max_area: Fraction = 0.6
    steady: Fraction = 0.0
    history_frames: Annotated[int, Meta(ge=10, le=10_000)] = 500
    max_regions: Annotated[int, Meta(ge=1, le=64)] = 8


class Detector(_Config, frozen=True, tag_field="kind", tag="detector"):
    """An ONNX detector: output boxes (N, 4) as x1, y1, x2, y2 in input pixels and scores (N,) or (N, classes)."""

    model: str
    min_score: Fraction = 0.3
    max_overlap: Fraction = 0.5
    max_regions: Annotated[int, Meta(ge=1, le=256)] = 32


Locate: TypeAlias = FullFrame | Slots | Motion | Detector


class CameraConfig(_Config, frozen=True):
    """One camera, file or folder.

    `source`: a device (/dev/video0 or 0), a video file, a folder of pictures, an rtsp:// or http(s):// URL, a GStreamer
    pipeline behind `gst: `, or `synthetic: WxH [COUNT]` for tests. `loop` starts a file or folder again at its end;
    `realtime` delivers a video file at its own frame rate, as a camera would, instead of as fast as it is decided on.

    `when_full` says what gives way when frames come faster than they are decided on: `drop_oldest` (live sources by
    themselves), `drop_newest`, or `wait` (files and folders by themselves, which are decided on to the last frame). A
    frame of a source that does not wait is never decided on when it is older than `max_age_ms` as its turn comes. A
    live camera that gives no frame for `read_timeout_ms`, or only pictures it gave before for `frozen_after_ms`, is
    opened again; a repeated picture is never decided on. Raise `frozen_after_ms` for a stream whose encoder repeats
    the picture of a still scene.

    `looks` is how many looks at a thing are needed before one can be accepted; at least half of them must agree. 1 is
    for pictures that are each about another thing, such as a folder of photos: each is held to the certificate alone.
    """

    id: Identifier
    source: Annotated[str, Meta(min_length=1)]
    loop: bool = False
    realtime: bool = False
    locate: Locate = FullFrame()
    looks: Annotated[int, Meta(ge=1, le=32)] = LOOKS
    ring_slots: Annotated[int, Meta(ge=2, le=64)] = 4
    when_full: Annotated[str, Meta(pattern="^(auto|drop_oldest|drop_newest|wait)$")] = "auto"
    max_age_ms: Milliseconds = 1_000
    open_timeout_ms: Milliseconds = 10_000
    read_timeout_ms: Milliseconds = 1_800
    frozen_after_ms: Milliseconds = 1_500


class PublishConfig(_Config, frozen=True):
    """Where decisions go. `format` is the payload; the topic table stands in `edge.messages`.

    An endpoint that other machines can reach is refused unless `insecure` says that it is meant: what goes there is
    neither encrypted nor checked.
    """

    decisions: Endpoint
    format: Annotated[str, Meta(pattern="^(json|msgpack)$")] = "json"
    high_water_mark: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    insecure: bool = False


class OutboxConfig(_Config, frozen=True):
    """Decisions that must arrive: kept in the SQLite file `path` until the collector at `collector` acknowledges them.

    Where more than `max_rows` decisions or `max_mib` wait, the oldest accepted ones are given up first, then those to
    verify; those to review and unknown ones never. `insecure` as in `publish`.
    """

    path: Annotated[str, Meta(min_length=1)]
    collector: Endpoint = "tcp://127.0.0.1:5560"
    max_rows: Annotated[int, Meta(ge=1, le=10_000_000)] = 500_000
    max_mib: Annotated[int, Meta(ge=1, le=65_536)] = 512
    insecure: bool = False


class AccuracyRule(_Config, frozen=True):
    """Tell products and tiers whose accuracy is low in two windows on end, `false_discovery` of them wrongly at most.

    `charged`: of the audited things accepted as a product, the share that should be it. `asked`: of the things that
    were it and were not accepted, the share whose best candidate should be it.
    """

    charged: Fraction = 0.97
    asked: Fraction = 0.5
    false_discovery: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.1


class AcceptErrorRule(_Config, frozen=True):
    """Tell when audits put the certified error of what is accepted in doubt.

    Wrongly for the share `false_alarm` of bundles at most, however long they run. `target` is the share that may be
    wrong; 0 takes what the bundle promises.
    """

    target: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0
    false_alarm: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.01


class UnknownRateRule(_Config, frozen=True):
    """Tell when the share of things called unknown drifts in a tier (Page-Hinkley); in standard deviations."""

    tolerance: Annotated[float, Meta(ge=0.01, le=1.0)] = 0.1
    threshold: Annotated[float, Meta(ge=5.0, le=10_000.0)] = 80.0


class FeedbackConfig(_Config, frozen=True):
    """What the cart learns later is taken at `listen` and kept in the SQLite file `path`.

    `audit_share` of the accepted things are marked for a person to look at. The last `max_decisions` can still be
    told about. A window is `window_verdicts` verdicts that count. A rule that is `null` is off; `new_products` are
    shares of the calibrated catalogue. `insecure` as in `publish`.
    """

    path: Annotated[str, Meta(min_length=1)]
    listen: Endpoint = "tcp://127.0.0.1:5562"
    audit_share: Fraction = 0.01
    max_decisions: Annotated[int, Meta(ge=100, le=10_000_000)] = 200_000
    window_verdicts: Annotated[int, Meta(ge=10, le=100_000)] = 1_000
    accuracy: AccuracyRule | None = AccuracyRule()
    accept_error: AcceptErrorRule | None = AcceptErrorRule()
    unknown_rate: UnknownRateRule | None = UnknownRateRule()
    new_products: Levels | None = (0.05, 0.1)
    insecure: bool = False


class MetricsConfig(_Config, frozen=True):
    """Where Prometheus may scrape."""

    listen: Listen


class EngineConfig(_Config, frozen=True):
    """How the engine runs. `threads` are CPU threads of one inference (ONNX Runtime).

    `plan` is the folder of the engine compiled for TensorRT (default: that of the bundle with .plan behind it).
    `fallback` runs a bundle for TensorRT on ONNX Runtime where there is no GPU or no plan that fits, as it is
    written and on the CPU, and every message says `degraded`. Without it the daemon does not start.
    """

    threads: Annotated[int, Meta(ge=1, le=MAX_THREADS)] = 1
    plan: str = ""
    fallback: Annotated[str, Meta(pattern="^(none|onnxruntime)$")] = "none"


class DaemonConfig(_Config, frozen=True):
    """All that `edge-daemon --config FILE` reads."""

    device_id: Identifier
    bundle: Annotated[str, Meta(min_length=1)]
    cameras: Annotated[tuple[CameraConfig, ...], Meta(min_length=1, max_length=16)]
    publish: PublishConfig
    outbox: OutboxConfig | None = None
    feedback: FeedbackConfig | None = None
    metrics: MetricsConfig | None = None
    engine: EngineConfig = EngineConfig()


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
    yield from _port_faults("publish.decisions", config.publish.decisions, least=1)
    yield from _reach_faults("publish.decisions", config.publish.decisions, config.publish.insecure)
    if config.outbox is not None:
        yield from _port_faults("outbox.collector", config.outbox.collector, least=1)
        yield from _reach_faults("outbox.collector", config.outbox.collector, config.outbox.insecure)
    if config.feedback is not None:
        yield from _port_faults("feedback.listen", config.feedback.listen, least=1)
        yield from _reach_faults("feedback.listen", config.feedback.listen, config.feedback.insecure)
    if config.metrics is not None:
        yield from _port_faults("metrics.listen", config.metrics.listen, least=0)


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


def _reach_faults(key: str, address: str, insecure: bool) -> Iterator[yaml_file.Fault]:
    if not insecure and not is_local(address):
        found = f"{address} reaches beyond this machine, and what goes there is neither encrypted nor checked"
        yield key, f"{found}; use 127.0.0.1, or say `insecure: true` beside it"


def _twice(key: str, ids: Sequence[str]) -> Iterator[yaml_file.Fault]:
    for number, one in enumerate(ids):
        if one in ids[:number]:
            yield f"{key}[{number}].id", f"the id {one} stands twice; ids must differ"
