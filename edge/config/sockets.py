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
    """Decisions that must arrive: kept in the SQLite file `path` until the collector at `collector` acknowledges them.

    Where more than `max_rows` decisions or `max_mib` wait, the oldest accepted ones are given up first, then those to
    verify; those to review and unknown ones never. `insecure` as in `publish`.
    """

    path: Annotated[str, Meta(min_length=1)]
    collector: Endpoint = "tcp://127.0.0.1:5560"
    max_rows: Annotated[int, Meta(ge=1, le=10_000_000)] = 500_000
    max_mib: Annotated[int, Meta(ge=1, le=65_536)] = 512
    insecure: bool = False


class MetricsConfig(Config, frozen=True):
    """Where Prometheus may scrape, in plain HTTP; `insecure` as in `publish`, and there are no keys for it."""

    listen: Listen
    insecure: bool = False
