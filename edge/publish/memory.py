"""Publish into a list: for tests, replay, and programs that embed the pipeline."""

from __future__ import annotations

from edge.ports import Publisher

__all__ = ["MemoryPublisher"]


class MemoryPublisher(Publisher):
    """Keeps at most `limit` messages as (topic, payload); a full list refuses, like a full socket."""

    def __init__(self, limit: int = 100_000) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._limit = limit

    def _send(self, topic: str, payload: bytes) -> bool:
        if len(self.messages) >= self._limit:
            return False
        self.messages.append((topic, payload))
        return True
