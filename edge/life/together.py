"""Closes many things in the time of the slowest one: an end must not take longer with every camera."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TypeVar

__all__ = ["Together", "all_at_once"]

_T = TypeVar("_T")


class Together:
    """Enters one after the other; leaves all at once, each in a thread of its own."""

    def __init__(self) -> None:
        self._closers: list[Callable[[], object]] = []

    def __enter__(self) -> Together:
        return self

    def __exit__(self, *_: object) -> None:
        all_at_once(self._closers)

    def enter_context(self, part: AbstractContextManager[_T]) -> _T:
        """Enter a part, and leave it with the others."""
        entered = part.__enter__()
        self.callback(lambda: part.__exit__(None, None, None))
        return entered

    def callback(self, close: Callable[[], object]) -> None:
        """Call this with the others."""
        self._closers.append(close)


def all_at_once(closers: Iterable[Callable[[], object]]) -> None:
    """Call all, each in a thread of its own, and wait for them."""
    threads = [threading.Thread(target=close, name="closing") for close in closers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
