"""What a decision costs beyond the engine: lookup, unknown detection, confidence and route, one crop at a time.

The pipeline of the device judges embeddings near and far from the prototypes of a bundle made up in memory: a random
table of a stated size, and rules that send crops every way. Nothing is embedded and no picture is looked at.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import numpy as np
from numpy.typing import NDArray

from edge import lookup
from edge.bench.search import SEED, random_table
from edge.build_folder import InputSpec
from edge.bundle import Bundle, BundleInfo, Golden, Rules
from edge.engine_row import join_rows
from edge.engines.fake import FakeEngine
from edge.parameters import ClassInfo, ConfidenceModel, Cuts, OodModel, PrototypeTable, QualityLimits
from edge.pipeline import Batch, Pipeline
from edge.types import EngineRows

__all__ = ["Decided", "decide", "usual_products", "usual_rules"]

WARM_UP = 50
SIDE_PX, GOLDEN_CROPS = 224, 8
_DETECTOR = {
    name: np.array(value, np.float32)
    for name, value in (
        ("expected_intercept", 0.0),
        ("expected_slope", 1.0),
        ("expected_level", -1.0),
        ("expected_growth", -1.0),
        ("expected_low", 0.0),
    )
}
CODE = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Milliseconds of every decision, how many took each route, and MiB beyond the engine by what holds them."""

    took_ms: NDArray[np.float64]
    processor_ms: NDArray[np.float64]  # of it, those in which this thread was running
    dots: str  # what multiplied: `numpy` or `numkong`
    routes: dict[str, int]
    held_mib: dict[str, float]


def decide(skus: int, prototypes: int, dimension: int, decisions: int) -> Decided:
    """Judge `decisions` crops one by one among `skus` products with `prototypes` prototypes each."""
    bundle = _bundle(random_table(skus, prototypes, dimension))
    engine = FakeEngine()
    pipeline = Pipeline(bundle, engine)
    crop = Batch(np.zeros((1, SIDE_PX, SIDE_PX, 3), np.uint8), (SIDE_PX,), (100.0,))
    times_ns, routes = [], Counter[str]()
    for row in _queries(bundle.table, decisions + WARM_UP):
        begin_ns, begin_cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        (decision,) = pipeline.judge(crop, row)
        times_ns.append((time.perf_counter_ns() - begin_ns, time.thread_time_ns() - begin_cpu_ns))
        routes[decision.route.value] += 1
    counted = {id(engine)}
    held = {
        "rules": _held_bytes(bundle.rules, counted),
        "class list": _held_bytes(bundle.classes, counted),
        "table as stored": _held_bytes(bundle.table, counted),
        "golden crops": _held_bytes(bundle.golden, counted),
        "table as searched, and the rest": _held_bytes(pipeline, counted),
    }
    dots = lookup.index_from_table(bundle.table).nearest.name
    took_ms, processor_ms = np.array(times_ns[WARM_UP:]).T / 1e6
    return Decided(took_ms, processor_ms, dots, dict(routes), {name: size / 2**20 for name, size in held.items()})


def _queries(table: PrototypeTable, count: int) -> EngineRows:
    """Return (count, 1, D + 1) rows of an engine: prototypes with noise, from hardly any to nothing else."""
    random = np.random.default_rng(SEED + 1)
    near = table.prototypes[random.integers(0, len(table.prototypes), count)] * np.float32(table.scale)
    noise = random.standard_normal(near.shape, dtype=np.float32) / np.float32(near.shape[1] ** 0.5)
    rows = near + np.linspace(0, 3, count, dtype=np.float32)[random.permutation(count), None] * noise
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return join_rows(unit, np.full(count, 0.8, np.float32))[:, None, :]


def _bundle(table: PrototypeTable) -> Bundle:
    count, dimension = int(table.owners[-1]) + 1, table.prototypes.shape[1]
    info = BundleInfo(
        engine="none",
        backbone="none",
        build_id="",
        input=InputSpec(height_px=SIDE_PX, width_px=SIDE_PX, resize="stretch"),
        dimension=dimension,
        max_batch=1,
        classes=count,
        promise={},
    )
    golden = Golden(
        np.zeros((GOLDEN_CROPS, SIDE_PX, SIDE_PX, 3), np.uint8), np.zeros((GOLDEN_CROPS, dimension + 1), np.float32)
    )
    return Bundle("", Path(), info, Path(), usual_products(count), table, usual_rules(count), golden)


def usual_products(count: int) -> tuple[ClassInfo, ...]:
    """Return `count` products with names of usual length."""
    return tuple(
        ClassInfo(f"sku-{n:06d}", f"Product number {n:06d}", f"category {n % 40}", f"{n:013d}", "active", "tail")
        for n in range(count)
    )


def usual_rules(count: int) -> Rules:
    """Return rules of the usual kind for `count` products; a twentieth of them are twins."""

    def each(value: float) -> NDArray[np.float32]:
        return np.full(count, value, np.float32)

    cuts = Cuts(
        accept_confidence=each(0.9),
        accept_strangeness=each(0.4),
        strict_confidence=each(0.95),
        strict_strangeness=each(0.3),
        verify_confidence=each(0.3),
        source=("global",) * count,
        isolated_below=-np.inf,
        twin=np.where(np.arange(count) % 20 == 0, (np.arange(count) + 1) % count, -1).astype(np.int32),
        successor=np.full(count, -1, np.int32),
        set_gap=0.05,
        set_error=0.05,
        max_set=5,
    )
    confidence = ConfidenceModel(6.0, 20.0, -5.0, each(0.0))
    return Rules(confidence, cuts, OodModel("expected_cosine", 0.8, 0.05, _DETECTOR), QualityLimits(24, 10.0))


def _held_bytes(thing: object, counted: set[int]) -> int:
    """Return the memory of a thing and of all that it holds, code aside; `counted` are those that count no more."""
    if id(thing) in counted or isinstance(thing, CODE):
        return 0
    counted.add(id(thing))
    if isinstance(thing, np.ndarray) and thing.base is not None:
        return _held_bytes(thing.base, counted)
    own = max(sys.getsizeof(thing), getattr(thing, "nbytes", 0))  # the second for an accelerator's table
    return own + sum(_held_bytes(part, counted) for part in _parts(thing))


def _parts(thing: object) -> Iterator[object]:
    if isinstance(thing, tuple | list):
        yield from thing
    elif isinstance(thing, dict):
        yield from thing.values()
    elif is_dataclass(thing):
        yield from (getattr(thing, field.name) for field in fields(thing))
    else:
        yield from getattr(thing, "__dict__", {}).values()
