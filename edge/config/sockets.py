"""Where messages go, and where they are kept until they have arrived."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edge.config.base import Config, Endpoint, Listen

__all__ = ["MetricsConfig", "OutboxConfig", "PublishConfig"]


class PublishConfig(Config, frozen=True):
    """Where decisions go. `format` is the payload; the topic table stands in `edge.messages`.

    An endpoint that other machines can reach needs keys (`edge.config.keys`), or `insecure`, which says that it is
    meant: what goes there is neither encrypted nor checked.
    """

    decisions: Endpoint
    format: Annotated[str, Meta(pattern="^(json|msgpack)$")] = "json"
    high_water_mark: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    insecure: bool = False


class OutboxConfig(Config, frozen=True):
    """Decisions and events that must arrive: in the SQLite file `path` until the collector at `collector` has them.

    Where more than `max_rows` decisions or `max_mib` wait, the oldest accepted ones are given up first, then those to
    verify; those to review, unknown ones and events never. `insecure` as in `publish`.
    """

    path: Annotated[str, Meta(min_length=1)]
    collector: Endpoint = "tcp://127.0.0.1:5560"
    max_rows: Annotated[int, Meta(ge=1, le=10_000_000)] = 500_000
    max_mib: Annotated[int, Meta(ge=1, le=65_536)] = 512
    insecure: bool = False


class MetricsConfig(Config, frozen=True):
    """Where Prometheus may scrape, in plain HTTP: /metrics, /metrics/classes, /healthz and /readyz.

    /metrics/classes shows the first `max_classes` products, in the order of the bundle, that something happened to.
    `insecure` as in `publish`; there are no keys for HTTP.
    """

    listen: Listen
    max_classes: Annotated[int, Meta(ge=0, le=100_000)] = 20_000
    insecure: bool = False
