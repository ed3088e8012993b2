"""Publish into a file, one JSON object a line: for recordings and for looking at a run afterwards.

Every line is written whole and handed to the operating system at once; a line that a full disk cut short is taken back,
so a journal never holds half a message. Not synced to disk per line: the durable path is another one.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

from edge.errors import PublishError
from edge.ports import Publisher

__all__ = ["JournalPublisher"]


class JournalPublisher(Publisher):
    """Appends payloads (JSON) of the topics that begin with `topic` to `path`."""

    def __init__(self, path: Path, topic: str = "decision.") -> None:
        self._path = path
        self._topic = topic
        self._file: FileIO | None = None

    def _open(self) -> None:
        try:
            self._file = FileIO(self._path, "a")
        except OSError as error:
            raise PublishError(f"{self._path}: cannot be written ({error.strerror}); choose another folder") from None

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _send(self, topic: str, payload: bytes) -> bool:
        if self._file is None:
            raise PublishError("journal used outside `with`; a bug")
        if not topic.startswith(self._topic):
            return True
        line = payload + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        try:
            written = self._file.write(line)
        except OSError as error:
            self._file.truncate(end)
            raise PublishError(f"{self._path}: {error.strerror}; the journal ends with the message before") from None
        if written != len(line):
            self._file.truncate(end)
            raise PublishError(f"{self._path}: no space left; the journal ends with the message before")
        return True
