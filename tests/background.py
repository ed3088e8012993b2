"""What goes on beside a test: something in a thread while a block runs, and what nothing announces when it is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

__all__ = ["in_background", "until"]


@contextmanager
def in_background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `work(stop)` beside the block; `stop` is set at its end, and `work` is waited for."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait for what another thread or process does and nothing announces; fail where it does not come about."""
    give_up_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > give_up_s:
            pytest.fail("did not come about")
        time.sleep(0.005)
