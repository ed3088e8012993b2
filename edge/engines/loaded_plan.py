"""A plan of TensorRT on the GPU: its memory, and how a batch goes through it.

One tensor is given for every batch and one is found; both are pinned on the host and lie on the GPU for the largest
batch. Others may stand: they are laid on the GPU once (the prototype table of a lookup). Everything is taken when the
plan is loaded or when a size of batch comes for the first time; from then on nothing is allocated.

A size of batch that comes for the first time is captured, copies included, and launched from then on
(`edge.engines.cuda_graph`). A graph must not outlive a change of the context it was captured from, so every size has a
context of its own, and all share one activation memory, for they run one after the other on one stream. Where that is
not to be had (no capture in the driver, TensorRT 8.5, whose contexts cannot share a profile) batches go through the
first context one call at a time, and the log says it once.

Only names that TensorRT 8.5 to 11 all have, or that `hasattr` finds. CUDA's context is current in a thread only inside
a call, for the daemon's threads change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge.engines.cuda_graph import NON_BLOCKING, Graph, capture, driver_with_graphs
from edge.errors import EngineError

__all__ = ["LoadedPlan", "Tensor", "Tensors"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a plan: its name, its shape without the batch, and what it is made of."""

    name: str
    shape: tuple[int, ...]
    kind: DTypeLike


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """What goes into a plan and comes out; `standing` are inputs without a batch, by name."""

    given: Tensor
    found: Tensor
    standing: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class LoadedPlan:
    """The plan of one file. `what` names it in errors, `mend` says how to make it anew."""

    def __init__(self, trt: Any, cuda: Any, what: Path, mend: str) -> None:
        self._trt, self._cuda, self._what, self._mend = trt, cuda, what, mend
        self._log: Any = None
        self._primary: Any = None
        self._runtime: Any = None
        self._engine: Any = None
        self._plain: Any = None  # the context of every batch that is not launched as a graph
        self._plain_batch = 0  # the shape that it was told last
        self._driver: Any = None  # None: there is no capture, or it failed
        self._graphs: dict[int, tuple[Graph, Any]] = {}  # by batch, at most one for every size; with its context
        self._memory: dict[str, Any] = {}  # on the GPU, by tensor
        self._activations: Any = None
        self._host: tuple[NDArray[Any], NDArray[Any]]
        self._tensors: Tensors
        self._standing: dict[str, tuple[int, ...]] = {}
        self._stream: Any = None
        self._done: Any = None
        self.device_memory_bytes = 0

    def load(self, plan: bytes, logger: Any, max_batch: int, tensors: Callable[[Any], Tensors]) -> Tensors:
        """Load a plan and take all memory; `tensors` reads them off the engine. Raises EngineError.

        Returned are the tensors without what stands.
        """
        self._log = logger
        try:
            self._cuda.init()
            self._primary = self._cuda.Device(0).retain_primary_context()
            self._primary.push()
        except Exception as error:  # noqa: BLE001  # pycuda's errors share no base class that is there without a driver
            raise EngineError(f"{self._what}: no CUDA context ({error}); check the driver") from None
        try:
            self._load(plan, max_batch, tensors)
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001  # the same
            raise EngineError(
                f"{self._what}: cannot be loaded ({type(error).__name__}: {error}){self._said()}; free memory on "
                "the device, or compile again"
            ) from None
        finally:
            self._cuda.Context.pop()
        return self._tensors

    def run(self, given: NDArray[Any]) -> NDArray[Any]:
        """Return what is found for 1 to `max_batch` rows, a view that the next call overwrites. Raises EngineError."""
        count = len(given)
        self._primary.push()
        try:
            np.copyto(self._host[0][:count], given)
            if count in self._graphs:
                self._graphs[count][0].launch(self._stream.handle)
            elif self._driver is None:
                self._run_plain(count)
            else:
                self._run_first(count)
            self._wait()
            return self._host[1][:count]
        finally:
            self._cuda.Context.pop()

    def close(self) -> None:
        """Give everything back, in the order in which it depends on each other."""
        if self._primary is None:
            return
        self._primary.push()
        try:
            for graph, _ in self._graphs.values():
                graph.free()
            self._graphs = {}
            self._plain = self._engine = self._runtime = None
            self._stream = self._done = None
            for memory in (*self._memory.values(), *([] if self._activations is None else [self._activations])):
                memory.free()
            self._memory, self._activations = {}, None
            self._host = (np.empty(0), np.empty(0))
        finally:
            self._cuda.Context.pop()
            self._primary.detach()
            self._primary = None
            self.device_memory_bytes = 0

    def _load(self, plan: bytes, max_batch: int, tensors: Callable[[Any], Tensors]) -> None:
        self._runtime = self._trt.Runtime(self._log)
        engine = self._engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"{self._what}: TensorRT does not take it{self._said()}; {self._mend}")
        found = tensors(engine)
        self._tensors = replace(found, standing={})  # what stands on the GPU is not held here too
        self._standing = {name: held.shape for name, held in found.standing.items()}
        self._stream = self._cuda.Stream(NON_BLOCKING)
        self._done = self._cuda.Event(self._cuda.event_flags.BLOCKING_SYNC | self._cuda.event_flags.DISABLE_TIMING)
        moving = (found.given, found.found)
        given, out = (self._cuda.pagelocked_empty((max_batch, *one.shape), one.kind) for one in moving)
        self._host = (given, out)
        size = _activation_bytes(engine)
        self._activations = self._cuda.mem_alloc(max(size, 1))
        for name, held in ((found.given.name, given), (found.found.name, out), *found.standing.items()):
            self._memory[name] = self._cuda.mem_alloc(held.nbytes)
        self._stand(found.standing)
        self._plain = self._context(size)
        self._driver = driver_with_graphs()
        self.device_memory_bytes = size + sum(held.nbytes for held in (given, out, *found.standing.values()))

    def _stand(self, standing: Mapping[str, NDArray[Any]]) -> None:
        """Lay the standing inputs on the GPU; on the stream, for the default stream would disturb who captures."""
        for name, held in standing.items():
            self._cuda.memcpy_htod_async(self._memory[name], np.ascontiguousarray(held), self._stream)
            self._wait()

    def _context(self, size: int) -> Any:
        """Return a new context on the shared activations, told every address and standing shape."""
        if hasattr(self._engine, "create_execution_context_without_device_memory"):
            made = self._engine.create_execution_context_without_device_memory()
        else:
            made = self._engine.create_execution_context(self._trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if made is None:
            needed = f"it needs {size / (1 << 20):.0f} MiB on the GPU beside its weights, free some"
            raise EngineError(f"{self._what}: no execution context{self._said()}; {needed}")
        if hasattr(made, "set_device_memory"):
            made.set_device_memory(int(self._activations), size)
        else:
            made.device_memory = int(self._activations)
        for name, memory in self._memory.items():
            if not made.set_tensor_address(name, int(memory)):
                raise EngineError(f"{self._what}: the address of {name} is refused{self._said()}; {self._mend}")
        for name, shape in self._standing.items():
            if not made.set_input_shape(name, shape):
                raise EngineError(f"{self._what}: {name} {shape} is refused{self._said()}; {self._mend}")
        return made

    def _run_plain(self, count: int) -> None:
        if count != self._plain_batch:
            self._tell_batch(self._plain, count)
        self._plain_batch = count
        self._enqueue(self._plain, count)

    def _run_first(self, count: int) -> None:
        """Run a size of batch that is new, and capture it; where that fails, run as without capture, now and ever."""
        try:
            context = self._context(_activation_bytes(self._engine))
            if context.active_optimization_profile < 0:
                raise EngineError(f"{self._what}: contexts of this TensorRT do not share a profile")
            self._tell_batch(context, count)
            self._enqueue(context, count)  # what a new shape sets off must not be captured
            self._wait()  # nor may the context be given back while it works, should capture fail
            graph = capture(self._driver, self._stream.handle, lambda: self._enqueue(context, count))
        except Exception as error:  # noqa: BLE001  # pycuda and TensorRT fail in ways of their own
            log.info("%s: runs without CUDA graphs (%s)", self._what, error)
            self._driver = None
            self._run_plain(count)
            return
        self._graphs[count] = (graph, context)

    def _tell_batch(self, context: Any, count: int) -> None:
        if not context.set_input_shape(self._tensors.given.name, (count, *self._tensors.given.shape)):
            raise EngineError(f"{self._what}: a batch of {count} is refused{self._said()}; {self._mend}")

    def _enqueue(self, context: Any, count: int) -> None:
        """Put the way of a batch on the stream: in, through, out."""
        given, found = self._tensors.given.name, self._tensors.found.name
        self._cuda.memcpy_htod_async(self._memory[given], self._host[0][:count], self._stream)
        if not context.execute_async_v3(self._stream.handle):
            raise EngineError(f"{self._what}: the inference was refused{self._said()}; restart the daemon")
        self._cuda.memcpy_dtoh_async(self._host[1][:count], self._memory[found], self._stream)

    def _wait(self) -> None:
        """Sleep until the stream has done what it was told."""
        self._done.record(self._stream)
        self._done.synchronize()

    def _said(self) -> str:
        """Return the last error that TensorRT logged, as a clause."""
        return f" ({self._log.last_error})" if self._log.last_error else ""


def _activation_bytes(engine: Any) -> int:
    """Return what an execution context takes: `device_memory_size_v2`, or its older name."""
    name = "device_memory_size_v2" if hasattr(engine, "device_memory_size_v2") else "device_memory_size"
    return int(getattr(engine, name))
