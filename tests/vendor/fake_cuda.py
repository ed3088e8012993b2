"""`pycuda.driver` without a GPU: device memory kept apart from the host's, contexts, streams and events, all counted.

It works only in a thread whose context is current, and does what a stream was told when somebody waits for it, not
before. While a stream is captured, nothing may be allocated or waited for in that thread. `driver` is libcuda's part in
that, by the names and signatures that ctypes calls. It says nothing about speed, memory or the numbers of a real GPU.
"""

from __future__ import annotations

import ctypes
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
        self.capturing: dict[int, int] = {}  # the thread that captures, by stream
        self.driver = Driver(self)
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
            def __init__(self, flags: int = 0) -> None:
                assert flags == 1, "a blocking stream is invalidated by whatever others do on the default stream"
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
                cuda.refuse_while_capturing("cuEventSynchronize")
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
            self.refuse_while_capturing(made)
            self.counts[made] += 1

    def refuse_while_capturing(self, what: str) -> None:
        if threading.get_ident() in self.capturing.values():
            self.driver.is_invalidated = True
            raise RuntimeError(f"{what}: operation not permitted when stream is capturing")

    def init(self) -> None:
        self.counts["inits"] += 1

    def take(self, size: int) -> int:
        """Return the address of new device memory."""
        self.need_context()
        self.refuse_while_capturing("cuMemAlloc")
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


class Driver:
    """libcuda's stream capture. `faults` are the functions that fail, `graphs` what is instantiated by its handle."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._captured: dict[int, list[Callable[[], None]]] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.faults: frozenset[str] = frozenset()
        self.is_invalidated = False

    def _code(self, function: str) -> int:
        self._cuda.need_context()
        self._cuda.counts[function] += 1
        return 900 if function in self.faults else 0

    def cuStreamBeginCapture_v2(self, stream: ctypes.c_void_p, mode: int) -> int:  # noqa: N802  # the vendor's name
        assert mode == 1, "thread-local: others go on"
        code = self._code("cuStreamBeginCapture_v2")
        if code == 0:
            assert stream.value is not None
            self._cuda.capturing[stream.value] = threading.get_ident()
            assert not self._cuda.streams[stream.value], "a context could be given back while it works"
        return code

    def cuStreamEndCapture(self, stream: ctypes.c_void_p, graph: Any) -> int:  # noqa: N802  # the vendor's name
        assert stream.value is not None
        del self._cuda.capturing[stream.value]
        queue = self._cuda.streams[stream.value]
        work = list(queue)
        queue.clear()
        code = self._code("cuStreamEndCapture") or (901 if self.is_invalidated else 0)
        self.is_invalidated = False
        if code == 0:
            graph._obj.value = next(self._cuda._addresses)
            self._captured[graph._obj.value] = work
        return code

    def cuGraphInstantiateWithFlags(self, ready: Any, graph: ctypes.c_void_p, flags: ctypes.c_ulonglong) -> int:  # noqa: N802  # the vendor's name
        assert graph.value is not None
        assert flags.value == 0
        code = self._code("cuGraphInstantiateWithFlags")
        if code == 0:
            ready._obj.value = next(self._cuda._addresses)
            self.graphs[ready._obj.value] = list(self._captured[graph.value])
        return code

    def cuGraphDestroy(self, graph: ctypes.c_void_p) -> int:  # noqa: N802  # the vendor's name
        assert graph.value is not None
        del self._captured[graph.value]
        return self._code("cuGraphDestroy")

    def cuGraphLaunch(self, ready: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:  # noqa: N802  # the vendor's name
        assert ready.value is not None
        assert stream.value is not None
        code = self._code("cuGraphLaunch")
        if code == 0:
            self._cuda.streams[stream.value].extend(self.graphs[ready.value])
        return code

    def cuGraphExecDestroy(self, ready: ctypes.c_void_p) -> int:  # noqa: N802  # the vendor's name
        assert ready.value is not None
        del self.graphs[ready.value]
        return self._code("cuGraphExecDestroy")

    @property
    def leaked(self) -> int:
        """How many graphs were never given back."""
        return len(self._captured) + len(self.graphs)
