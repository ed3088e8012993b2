"""`pycuda.driver` without a GPU: device memory kept apart from the host's, contexts, streams and events, all counted.

It works only in a thread whose context is current, and does what a stream was told when somebody waits for it, not
before. It says nothing about speed, memory or the numbers of a real GPU.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIB = 1 << 20


class Cuda:
    """`pycuda.driver`. `counts` says how often memory, streams and events were made and given back."""

    def __init__(self, memory_mib: int = 1024) -> None:
        self.counts: Counter[str] = Counter()
        self.free_bytes = memory_mib * MIB
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.event_flags = SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2)
        self._current = threading.local()
        self._addresses = itertools.count(0x1000, 0x1000)
        cuda = self

        class Context:
            def push(self) -> None:
                cuda._stack().append(self)

            @staticmethod
            def pop() -> None:
                cuda._stack().pop()

            def detach(self) -> None:
                cuda.counts["detached"] += 1

        class Device:
            def __init__(self, number: int) -> None:
                assert number == 0

            def retain_primary_context(self) -> Context:
                cuda.counts["contexts"] += 1
                return Context()

        class Stream:
            def __init__(self) -> None:
                cuda.need_context("streams")
                self.handle = next(cuda._addresses)
                cuda.streams[self.handle] = []

        class Event:
            def __init__(self, flags: int) -> None:
                cuda.need_context("events")
                self.flags = flags
                self._stream: Stream | None = None

            def record(self, stream: Stream) -> None:
                self._stream = stream

            def synchronize(self) -> None:
                cuda.need_context()
                assert self._stream is not None
                queue = cuda.streams[self._stream.handle]
                while queue:
                    queue.pop(0)()

        self.Context, self.Device, self.Stream, self.Event = Context, Device, Stream, Event

    def _stack(self) -> list[Any]:
        if not hasattr(self._current, "stack"):
            self._current.stack = []
        stack: list[Any] = self._current.stack
        return stack

    def need_context(self, made: str = "") -> None:
        if not self._stack():
            raise RuntimeError("invalid device context")
        if made:
            self.counts[made] += 1

    def init(self) -> None:
        self.counts["inits"] += 1

    def take(self, size: int) -> int:
        """Return the address of new device memory."""
        self.need_context()
        if size > self.free_bytes:
            raise MemoryError("cuMemAlloc failed: out of memory")
        self.free_bytes -= size
        address = next(self._addresses)
        self.memory[address] = np.zeros(size, np.uint8)
        return address

    def give_back(self, address: int) -> None:
        self.free_bytes += self.memory.pop(address).nbytes

    def mem_alloc(self, size: int) -> Any:
        address = self.take(size)
        self.counts["device memory"] += 1
        cuda = self

        class Allocation:
            def __int__(self) -> int:
                return address

            def free(self) -> None:
                cuda.need_context("freed")
                cuda.give_back(address)

        return Allocation()

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        self.need_context("pinned memory")
        return np.full(shape, 77, dtype)

    def memcpy_htod_async(self, target: Any, source: NDArray[Any], stream: Any) -> None:
        self.need_context()
        assert source.flags.c_contiguous
        where = self.memory[int(target)]

        def copy() -> None:
            where[: source.nbytes] = source.reshape(-1).view(np.uint8)

        self.streams[stream.handle].append(copy)

    def memcpy_dtoh_async(self, target: NDArray[Any], source: Any, stream: Any) -> None:
        self.need_context()
        assert target.flags.c_contiguous
        where = self.memory[int(source)]

        def copy() -> None:
            target.reshape(-1).view(np.uint8)[:] = where[: target.nbytes]

        self.streams[stream.handle].append(copy)
