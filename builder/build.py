"""From a backbone to a sealed build folder: the only file that knows the order of the steps.

    check -> optimise -> fold the preprocessing -> find taps -> pool them -> plan memory -> scale
          -> quantise -> compare (-> keep the most sensitive layers in float, compare again)
          -> gates of parity and memory -> seal

The folder appears only when every gate passed; what stood there before is untouched until then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import onnx

from builder.budget import Ledger, Load, changes_that_fit, ledger_for, refuse_over
from builder.bytes_to_float import float_input
from builder.features import Part, append_features, mean_square, scale_from_energy, set_scale
from builder.fold import Folded, fold
from builder.half import rest_in_half
from builder.onnx_checks import load_backbone, size_of
from builder.optimise import moved, optimised
from builder.parity import Parity, measure_parity, refuse_below
from builder.photos import Photos, in_batches, list_photos, read_photos
from builder.quantise import cpu_graph, trt_graph
from builder.ranges import METHODS, Ranges, find_ranges
from builder.report import report_values
from builder.sensitivity import Kept, Measure, Quantise, cosine_to, features_of, groups_of, keep_fewest
from builder.sidecar import read_preprocess
from builder.taps import Tap, find_taps, named_taps
from edge.build_folder import GRAPH, GRAPHS, TRT_GRAPH, BuildInfo, InputSpec, write_build
from edge.device import DeviceConfig

__all__ = ["HALF_REST", "Built", "Progress", "Request", "build"]

FLOAT_GRAPH = "float.onnx"
BEST, HALF_REST = "best", "float16"
PROBE = 128  # photos of those that set the ranges, at most, that choose ranges and layers; the gate is on others
MARGIN = 0.1  # of what may be lost: layers are chosen for as much more, because other photos judge them


class Progress(Protocol):
    """Shows what is planned and how far a step is: `step` yields a function to call with the number of photos done."""

    def tell(self, planned: Ledger) -> None:
        """Show the ledger before anything is built."""

    def step(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Begin a step over `total` photos."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to build and what is still acceptable. `precision` is int8 or float32, `ranges` one of METHODS or BEST,
    `rest` float32 or float16: what layers are that INT8 leaves in float, in the graph for TensorRT.
    """

    model: Path
    images: Path
    device: DeviceConfig
    out: Path
    load: Load
    preprocess: Path | None = None
    taps: tuple[str, ...] = ()
    photos: int = 192
    seed: int = 0
    min_cosine: float = 0.95
    precision: str = "int8"
    ranges: str = "minmax"
    rest: str = "float32"

    @property
    def is_int8(self) -> bool:
        """Whether the graphs are quantised."""
        return self.precision == "int8"


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """The build as it was sealed, and the figures in it for printing."""

    info: BuildInfo
    taps: tuple[Tap, ...]
    parity: Parity
    ledger: Ledger
    kept: Kept | None
    unreadable: tuple[Path, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Graphs:
    """The float graph with features, and what it was made of."""

    folded: Folded
    model: onnx.ModelProto
    taps: tuple[Tap, ...]
    parts: tuple[Part, ...]
    spec: InputSpec


@dataclass(frozen=True, slots=True, eq=False)
class Quantisers:
    """What makes the graph of each engine, some nodes left in float; how ranges were found, and what each way gave."""

    by_engine: dict[str, Quantise]
    method: str
    cosines: dict[str, float]


def build(request: Request, progress: Progress) -> Built:
    """Build and seal; raises the errors of the steps: InputError, ModelError, ConfigError, GateError, EngineError."""
    content: dict[str, Any] = {}
    with write_build(request.out, content) as folder:
        graphs = _float_graphs(request)
        planned = ledger_for(graphs.model, request.device, request.load, planned=request.is_int8)
        progress.tell(planned)
        _refuse(planned, graphs.model, request, planned=request.is_int8)
        photos = _photos(request, graphs.spec, progress)
        _scale(graphs, photos, progress)
        quantisers = _quantisers(request, graphs, photos, progress)
        quantise = quantisers.by_engine
        int8 = _save(folder, quantise, frozenset())
        parity = _parity(folder, graphs.model, photos, progress)
        kept = None
        if not parity.of(request.load.engine).cosine_mean >= request.min_cosine:
            kept = _kept(request, graphs, quantise, photos, progress)
            int8 = _save(folder, quantise, frozenset(kept.nodes))
            before, parity = parity, _parity(folder, graphs.model, photos, progress)
            kept = kept.judged(before.of(request.load.engine).cosine_mean, parity.of(request.load.engine).cosine_mean)
        refuse_below(parity, request.load.engine, request.min_cosine, kept)
        ledger = ledger_for(int8, request.device, request.load)
        _refuse(ledger, int8, request, planned=False)
        values = report_values(graphs.taps, graphs.parts, parity, ledger, kept)
        values["ranges"] = {"method": quantisers.method, "cosine": quantisers.cosines}
        info = _info(request, graphs, photos, values, ledger)
        content.update(msgspec.to_builtins(info))
    return Built(info, graphs.taps, parity, ledger, kept, photos.unreadable)


def _refuse(ledger: Ledger, graph: onnx.ModelProto, request: Request, *, planned: bool) -> None:
    if not ledger.fits:
        refuse_over(ledger, changes_that_fit(graph, request.device, request.load, planned=planned))


def _float_graphs(request: Request) -> _Graphs:
    given = load_backbone(request.model)
    preprocess = read_preprocess(request.model, given, request.preprocess)
    height, width = size_of(request.model, given, preprocess.layout)
    plain = optimised(request.model, given, request.taps)
    folded = fold(plain, preprocess, (height, width))
    names = [moved(name) for name in request.taps]
    taps = named_taps(request.model, plain, names) if names else find_taps(request.model, plain)
    model, parts = append_features(folded.model, taps)
    return _Graphs(folded, model, taps, parts, InputSpec(height_px=height, width_px=width, resize=preprocess.resize))


def _photos(request: Request, spec: InputSpec, progress: Progress) -> Photos:
    paths = list_photos(request.images, request.seed)
    with progress.step("read photos", min(len(paths), request.photos * 3 // 2)) as done:
        return read_photos(request.images, paths, spec, request.photos, lambda: done(1))


def _scale(graphs: _Graphs, photos: Photos, progress: Progress) -> None:
    with progress.step("scale features", len(photos.ranges)) as done:
        energy = mean_square(graphs.model, in_batches(photos.ranges), done)
    set_scale(graphs.model, scale_from_energy(energy, graphs.parts))


def _ranges(request: Request, graphs: _Graphs, photos: Photos, progress: Progress, method: str) -> Ranges:
    with progress.step(f"find ranges, {method}", len(photos.ranges)) as done:
        return find_ranges(request.model, graphs.model, in_batches(photos.ranges), done, method)


def _quantisers(request: Request, graphs: _Graphs, photos: Photos, progress: Progress) -> Quantisers:
    """Return what makes the graphs; in float32, all nodes are left in float."""
    if not request.is_int8:
        plain: dict[str, Quantise] = {
            "onnxruntime": lambda _: graphs.model,
            "tensorrt": lambda _: float_input(graphs.model),
        }
        return Quantisers(plain, "none", {})
    methods = tuple(METHODS) if request.ranges == BEST else (request.ranges,)
    found = {
        method: _with_ranges(request, graphs, _ranges(request, graphs, photos, progress, method)) for method in methods
    }
    if len(found) == 1:
        return Quantisers(next(iter(found.values())), methods[0], {})
    return _best(request, graphs, found, photos, progress)


def _with_ranges(request: Request, graphs: _Graphs, ranges: Ranges) -> dict[str, Quantise]:
    rest = rest_in_half if request.rest == HALF_REST else _as_it_is
    return {
        "onnxruntime": lambda kept: cpu_graph(request.model, graphs.folded, graphs.model, ranges, kept),
        "tensorrt": lambda kept: rest(trt_graph(request.model, graphs.model, ranges, kept)),
    }


def _as_it_is(model: onnx.ModelProto) -> onnx.ModelProto:
    return model


def _best(
    request: Request, graphs: _Graphs, found: dict[str, dict[str, Quantise]], photos: Photos, progress: Progress
) -> Quantisers:
    """Return the quantisers of the method whose features are nearest to float."""
    engine = request.load.engine
    measure, cosines = _measure(graphs, photos, engine), {}
    with progress.step("compare ranges", len(found)) as done:
        for method, quantise in found.items():
            cosines[method] = measure(quantise[engine](frozenset()))
            done(1)
    best = max(cosines, key=lambda method: np.nan_to_num(cosines[method], nan=-1.0))
    return Quantisers(found[best], best, cosines)


def _save(folder: Path, quantise: dict[str, Quantise], kept: frozenset[str]) -> onnx.ModelProto:
    """Write both graphs; return the one for CPUs."""
    made = {engine: quantise[engine](kept) for engine in GRAPHS}
    for engine, name in GRAPHS.items():
        onnx.save(made[engine], folder / name)
    return made["onnxruntime"]


def _kept(request: Request, graphs: _Graphs, quantise: dict[str, Quantise], photos: Photos, progress: Progress) -> Kept:
    """Find the fewest layers whose floats bring the graph that runs up to the gate."""
    engine, groups = request.load.engine, groups_of(graphs.model)
    least = request.min_cosine + MARGIN * (1.0 - request.min_cosine)
    with progress.step("find sensitive layers", len(groups)) as done:
        return keep_fewest(groups, quantise[engine], _measure(graphs, photos, engine), least, done)


def _measure(graphs: _Graphs, photos: Photos, engine: str) -> Measure:
    """Return what measures a graph of this engine against float, on photos that set the ranges."""
    crops = photos.ranges[:PROBE]
    return cosine_to(features_of(graphs.model, crops), crops, as_written=engine == "tensorrt")


def _parity(folder: Path, exact: onnx.ModelProto, photos: Photos, progress: Progress) -> Parity:
    """Compare in the folder that is being written, the float graph standing there only meanwhile."""
    float_graph = folder / FLOAT_GRAPH
    onnx.save(exact, float_graph)
    try:
        with progress.step("compare INT8 with float", len(photos.held_out)) as done:
            return measure_parity(
                float_graph, (folder / GRAPH, folder / TRT_GRAPH), photos.held_out, photos.are_same, done
            )
    finally:
        float_graph.unlink()


def _info(request: Request, graphs: _Graphs, photos: Photos, report: dict[str, Any], ledger: Ledger) -> BuildInfo:
    return BuildInfo(
        engine=request.load.engine,
        backbone=request.model.stem,
        backbone_sha256=hashlib.sha256(request.model.read_bytes()).hexdigest(),
        input=graphs.spec,
        feature_dimension=graphs.parts[-1].stop,
        max_batch=request.load.max_batch,
        taps=tuple(tap.tensor for tap in graphs.taps),
        device=request.device.module,
        images=len(photos.ranges),
        report=report,
        precision=request.precision,
        network_mib=round(ledger.network_mib, 1),
    )
