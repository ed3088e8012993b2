"""What every part of the configuration is made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

__all__ = ["Config", "Endpoint", "Fraction", "Identifier", "Listen", "Milliseconds", "Points"]

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


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all configuration: frozen, and unknown keys are errors."""
