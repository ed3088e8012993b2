"""What is said on standard error."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edge.config.base import Config

__all__ = ["LogConfig"]


class LogConfig(Config, frozen=True):
    """`format`: `text` is key=value for people and the journal, `json` an object a line for programs."""

    format: Annotated[str, Meta(pattern="^(text|json)$")] = "text"
