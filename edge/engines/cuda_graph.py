"""CUDA graphs: what a stream is told is recorded once and launched as one from then on.

No released pycuda has stream capture (looked up in all up to 2026.1; a request to add it has been open since 2022), so
the driver is asked by its own names through ctypes, with the handles of pycuda's streams. Where the driver lacks one of
them (before CUDA 11.4) there is no capture, and whoever would use it goes without.

Capture is thread-local: what other threads do meanwhile, such as loading another bundle, neither breaks it nor is
refused. CUDA Driver API: cuStreamBeginCapture_v2, cuStreamEndCapture, cuGraphInstantiateWithFlags, cuGraphLaunch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from edge.errors import EngineError

__all__ = ["NON_BLOCKING", "Graph", "capture", "driver_with_graphs"]

LIBRARY = "libcuda.so.1"
NAMES = (
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
)
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: a stream that work on the default stream neither waits for nor invalidates
THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL


class Graph:
    """Recorded work, ready to launch. The CUDA context that it was made in is current in every call."""

    def __init__(self, driver: Any, handle: ctypes.c_void_p) -> None:
        self._driver, self._handle = driver, handle

    def launch(self, stream: int) -> None:
        """Put the work on a stream, given by its handle; raises EngineError where the driver refuses."""
        code = self._driver.cuGraphLaunch(self._handle, ctypes.c_void_p(stream))
        if code != 0:
            raise EngineError(f"cuGraphLaunch failed with CUDA error {code}; restart the daemon")

    def free(self) -> None:
        """Give it back; once."""
        self._driver.cuGraphExecDestroy(self._handle)


def driver_with_graphs(library: str = LIBRARY) -> Any | None:
    """Return the CUDA driver where it has all the names that capture needs, else None."""
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return None
    return driver if all(hasattr(driver, name) for name in NAMES) else None


def capture(driver: Any, stream: int, enqueue: Callable[[], None]) -> Graph:
    """Return what `enqueue` puts on a stream, given by its handle, as a graph; nothing of it runs.

    Raises EngineError, or what `enqueue` raised; the stream is as before then, and takes work as it comes.
    """
    graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
    _call(driver, "cuStreamBeginCapture_v2", ctypes.c_void_p(stream), THREAD_LOCAL)
    try:
        try:
            enqueue()
        finally:  # also after a failure: until then the stream takes nothing else
            code = driver.cuStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
        if code != 0:
            raise EngineError(f"cuStreamEndCapture failed with CUDA error {code}")
        _call(driver, "cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
    finally:
        if graph.value:
            driver.cuGraphDestroy(graph)
    return Graph(driver, ready)


def _call(driver: Any, function: str, *arguments: Any) -> None:
    code = getattr(driver, function)(*arguments)
    if code != 0:
        raise EngineError(f"{function} failed with CUDA error {code}")
