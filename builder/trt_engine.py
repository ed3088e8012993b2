"""Compiles a graph with TensorRT: parse, choose kernels under a memory limit, serialise.

The graph is `model.trt.onnx` or the engine of a bundle made from it: INT8 where it says so (explicit Q/DQ pairs), float
elsewhere. `trt` is TensorRT's module, handed in: one path for 8.5 to 11 and TensorRT-RTX, on names that all of them
have; what came or went is found by `hasattr`:

    EXPLICIT_BATCH   until 10 the flag of a network with a free batch, later the only kind
    INT8             until 10 the flag that lets Q/DQ pairs count, later they always do
    STRONGLY_TYPED   since 10 the flag of a network that runs in the types that are written, later the only kind
    progress monitor since 10; before, only the phases of this file are told
    profile sharing  8.6 has a switch for it, later ones always do it: a context for every CUDA graph (`edge.engines`)
    target           TensorRT-RTX compiles for another GPU, and without one; the others for the GPU that is there

A timing cache that was made before is read and comes back with what is new: kernels timed once need not be again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.engines.trt import logger_for
from edge.errors import EngineError, GateError, ModelError

__all__ = ["HALF", "Compiled", "Order", "compile_graph"]

MIB = 1 << 20
HALF = "half/"  # how the names of float16 tensors begin (`builder.half`): a device has no onnx to look into a graph
Tell = Callable[[str, int, int], bool]  # phase, steps done, steps in all (0: not known); False ends the compilation


@dataclass(frozen=True, slots=True)
class Order:
    """How to compile: `typical_batch` is what kernels are chosen for, `target_sm` a GPU that need not be there.

    `shapes` fixes sizes that the graph leaves free, by input; -1 is the batch, which the first input alone may have.
    """

    max_batch: int
    typical_batch: int
    workspace_mib: int
    timing_cache: bytes = b""
    target_sm: int | None = None
    detailed: bool = False  # the log and the engine name every layer
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The plan, the timing cache to keep, and how many layers the network had."""

    plan: bytes
    timing_cache: bytes
    layers: int


def compile_graph(trt: Any, graph: bytes, order: Order, tell: Tell, on_line: Any = None) -> Compiled:
    """Compile an ONNX graph; `on_line` sees TensorRT's log.

    Raises ModelError with the nodes that TensorRT does not take, GateError where nothing fits the workspace,
    EngineError where there is no CUDA.
    """
    log = logger_for(trt, on_line)
    try:
        builder = trt.Builder(log)
    except TypeError as error:  # what 8.x raises where CUDA does not work
        raise EngineError(f"TensorRT gives no builder ({log.last_error or error}); check the driver") from None
    is_weak = hasattr(trt.BuilderFlag, "INT8")  # types are a suggestion, as far as flags allow
    is_mixed = is_weak and HALF.encode() in graph
    network = builder.create_network(_network_flags(trt, is_mixed))
    tell("parse", 0, 0)
    _parse(trt, network, graph, log)
    for given in (network.get_input(index) for index in range(network.num_inputs)):
        if given.name in order.shapes:
            given.shape = order.shapes[given.name]
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, order.workspace_mib * MIB)
    if is_weak and not is_mixed:
        config.set_flag(trt.BuilderFlag.INT8)
    if order.detailed:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if order.target_sm is not None:
        _target(trt, config, order.target_sm)
    if hasattr(trt.PreviewFeature, "PROFILE_SHARING_0806"):
        config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)
    config.add_optimization_profile(_profile(builder, network, order))
    cache = config.create_timing_cache(order.timing_cache)
    if cache is not None:
        config.set_timing_cache(cache, False)
    if hasattr(config, "progress_monitor"):
        config.progress_monitor = _monitor(trt, tell)
    tell("compile", 0, 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        found = f"TensorRT finds no engine within {order.workspace_mib} MiB of workspace"
        mend = "give more --workspace-mib, a smaller batch or a smaller network"
        raise GateError(f"{found} ({log.last_error or 'no reason given'}); {mend}")
    kept = config.get_timing_cache()
    return Compiled(bytes(plan), b"" if kept is None else bytes(kept.serialize()), int(network.num_layers))


def _network_flags(trt: Any, is_mixed: bool) -> int:
    flags = trt.NetworkDefinitionCreationFlag
    asked = 1 << int(flags.EXPLICIT_BATCH) if hasattr(flags, "EXPLICIT_BATCH") else 0
    if not is_mixed:
        return asked
    if not hasattr(flags, "STRONGLY_TYPED"):
        found = "the graph holds float16 beside float32, and this TensorRT does not run types as they are written"
        raise ModelError(f"{found} (10 and later do); build with --rest float32")
    return asked | 1 << int(flags.STRONGLY_TYPED)


def _parse(trt: Any, network: Any, graph: bytes, log: Any) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(graph):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    named = "; ".join(f"{_node(error)}: {error.desc()}" for error in errors[:3]) or log.last_error or "no reason given"
    raise ModelError(f"TensorRT does not take the graph ({named}); export the backbone with other operators")


def _node(error: Any) -> str:
    if hasattr(error, "node_name"):
        return f"{error.node_operator()} {error.node_name()}".strip()
    return f"node {error.node()}"


def _profile(builder: Any, network: Any, order: Order) -> Any:
    given = network.get_input(0)
    shape = tuple(given.shape)[1:]
    profile = builder.create_optimization_profile()
    profile.set_shape(given.name, *((batch, *shape) for batch in (1, order.typical_batch, order.max_batch)))
    return profile


def _target(trt: Any, config: Any, sm: int) -> None:
    if not hasattr(config, "set_compute_capability"):
        raise ModelError(f"this TensorRT compiles for the GPU that is there, not for SM {sm}; leave the target out")
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{sm}"), 0)


def _monitor(trt: Any, tell: Tell) -> Any:
    """Return a progress monitor that hands the phases on; phases within phases are told by their own names."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the vendor publishes no types
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            self.steps[phase_name] = num_steps
            tell(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return tell(phase_name, step + 1, self.steps.get(phase_name, 0))

        def phase_finish(self, phase_name: str) -> None:
            steps = self.steps.pop(phase_name, 0)
            tell(phase_name, steps, steps)

    return Monitor()
