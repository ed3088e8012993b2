"""What is said on standard error."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edge.config.base import Config

__all__ = ["LogConfig"]


class LogConfig(Config, frozen=True):
    """`format`: `text` is key=value for people and the journal, `json` an object a line for programs.

    `level` is the least that is said. Of one message at most `most_a_minute` are written in a minute; what was held
    back is counted in the next one.
    """

    format: Annotated[str, Meta(pattern="^(text|json)$")] = "text"
    level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    most_a_minute: Annotated[int, Meta(ge=1, le=10_000)] = 20
