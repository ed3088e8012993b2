"""Adapters put together from what a bundle and a configuration name, for every command on the device."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import Bundle
from edge.config import EngineConfig, Locate
from edge.engine_row import split_rows
from edge.engines import ENGINES, REFERENCE, EngineSpec, open_engine, open_reference
from edge.engines.detector import open_detector
from edge.engines.plan import Plan, plan_beside, read_plan
from edge.engines.trt_lookup import TensorRtLookup
from edge.errors import BundleError, EngineError, ShelfedgeError
from edge.golden import refuse_other_embeddings
from edge.locate import locator_from_config
from edge.lookup import Nearest, agrees
from edge.pipeline import Pipeline
from edge.ports import Engine, Locator
from edge.sealed import refuse_replaced

__all__ = [
    "Loaded",
    "engine_of",
    "load",
    "locator_of",
    "lookup_of",
    "plan_of",
    "refuse_other_similarities",
    "runtime_mib",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A bundle on its engine, ready to decide; `held` closes the engine."""

    bundle: Bundle
    engine: Engine
    pipeline: Pipeline
    held: ExitStack


def load(bundle: Bundle, config: EngineConfig) -> Loaded:
    """Open the engine of a bundle and make ready what is looked up; raises as `engine_of`."""
    with ExitStack() as held:
        engine = held.enter_context(engine_of(bundle, config))
        nearest = held.enter_context(lookup_of(bundle, config, engine))
        return Loaded(bundle, engine, Pipeline(bundle, engine, nearest), held.pop_all())


@contextmanager
def engine_of(bundle: Bundle, config: EngineConfig) -> Iterator[Engine]:
    """Yield the engine that the bundle was calibrated for, loaded, and found to give the bundle's golden embeddings.

    Where that is not to be had and the configuration has a fallback, the reference of that engine takes its place and
    says in `degraded` why. Raises BundleError for an engine that is not known here and EngineError for one that cannot
    be loaded or that gives other embeddings: cut points certified on those would promise nothing.
    """
    if bundle.info.engine not in ENGINES:
        found = f"made for the engine {bundle.info.engine}, this version has {', '.join(sorted(ENGINES))}"
        raise BundleError(f"{bundle.path}: {found}; build and calibrate for one of these")
    spec = EngineSpec(threads=config.threads, max_batch=bundle.info.max_batch, plan=plan_of(bundle, config))
    engines = [open_engine(bundle.info.engine, bundle.graph, spec)]
    if bundle.info.engine != config.fallback == REFERENCE:
        engines.append(open_reference(bundle.info.engine, bundle.graph, spec))
    with ExitStack() as stack:
        engine = _first_that_works(bundle, engines, stack)
        refuse_replaced(bundle.path, bundle.id)  # the engine read its graph after the bundle was verified
        yield engine


@contextmanager
def lookup_of(bundle: Bundle, config: EngineConfig, engine: Engine) -> Iterator[Nearest | None]:
    """Yield the lookup on the GPU beside an open engine where it was chosen, else None: the host looks up.

    One that does not open, or gives other similarities than the host for this table, is done without, and the log says
    why.
    """
    with ExitStack() as stack:
        nearest: Nearest | None = None
        if bundle.info.engine != REFERENCE and not engine.degraded and config.lookup != "host":
            plan = read_plan(plan_of(bundle, config))
            if config.lookup == "engine" or plan.info.lookup == "engine":
                nearest = _lookup_that_agrees(bundle, plan, stack)
        yield nearest


def _lookup_that_agrees(bundle: Bundle, plan: Plan, stack: ExitStack) -> Nearest | None:
    try:
        with ExitStack() as trial:
            found = trial.enter_context(TensorRtLookup(plan, bundle.table))
            refuse_other_similarities(bundle, found)
            stack.enter_context(trial.pop_all())
    except ShelfedgeError as error:
        log.warning("looking up on the host: %s", error)
        return None
    log.info("looking up on the GPU: %.1f MiB there", found.held_bytes / (1 << 20))
    return found


def refuse_other_similarities(bundle: Bundle, nearest: Nearest) -> None:
    """Raise EngineError where a lookup does not give the host's bits for the bundle's table."""
    if not agrees(bundle.table, nearest, split_rows(bundle.golden.rows)[0]):
        found = f"{nearest.name} finds other similarities than the CPU, which calibration saw"
        raise EngineError(f"{bundle.path}: {found}; look up on the host, and compile again after an update of TensorRT")


def plan_of(bundle: Bundle, config: EngineConfig) -> Path:
    """Return where the compiled engine of a bundle lies, or would lie."""
    return Path(config.plan) if config.plan else plan_beside(bundle.path)


def runtime_mib(bundle: Bundle, config: EngineConfig) -> float:
    """Return what CUDA, TensorRT and its workspace take where a plan of the bundle will run; 0 where none will."""
    place = plan_of(bundle, config)
    if bundle.info.engine == REFERENCE or not place.exists():
        return 0.0
    try:
        info = read_plan(place).info
    except BundleError:  # the engine refuses it, and says why
        return 0.0
    return float(info.overhead_mib + info.workspace_mib)


def _first_that_works(bundle: Bundle, engines: Sequence[Engine], stack: ExitStack) -> Engine:
    """Return the first engine that opens and gives the golden embeddings, held by `stack`."""
    refused = ""
    for number, engine in enumerate(engines):
        with ExitStack() as trial:
            try:
                trial.enter_context(engine)
                _refuse_other_engine(bundle, engine)
            except ShelfedgeError as error:
                if number == len(engines) - 1:
                    raise
                refused = str(error)
                continue
            engine.degraded = refused
            stack.enter_context(trial.pop_all())
            return engine
    raise AssertionError("no engine was given")


def _refuse_other_engine(bundle: Bundle, engine: Engine) -> None:
    """Raise BundleError for other sizes and EngineError for other embeddings than the bundle's."""
    made = (engine.input_height_px, engine.input_width_px, engine.dimension)
    expected = (bundle.info.input.height_px, bundle.info.input.width_px, bundle.info.dimension + 1)
    if made != expected:
        raise BundleError(
            f"{bundle.graph}: height, width and values a crop are {made}, expected {expected}; calibrate again"
        )
    refuse_other_embeddings(bundle, engine)


@contextmanager
def locator_of(config: Locate, threads: int) -> Iterator[Locator]:
    """Yield the locator of one camera, with its detector loaded where it has one."""
    with ExitStack() as stack:
        yield locator_from_config(config, lambda d: stack.enter_context(open_detector(Path(d.model), threads)))
