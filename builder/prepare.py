"""From a backbone to graphs with features: everything before a build is judged.

check -> (another input size) -> optimise -> fold the preprocessing -> find taps -> pool them      `float_graphs`
      -> photos -> scale -> find ranges                                                            `prepare`
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx

from builder.budget import Ledger, Load
from builder.bytes_to_float import float_input
from builder.features import Part, append_features, mean_square, scale_from_energy, set_scale
from builder.fold import Folded, fold
from builder.half import rest_in_half
from builder.input_size import with_size
from builder.modelopt import modelopt_graph
from builder.onnx_checks import load_backbone, size_of
from builder.optimise import moved, optimised
from builder.photos import Photos, in_batches, list_photos, read_photos
from builder.quantise import cpu_graph, trt_graph
from builder.ranges import METHODS, Ranges, find_ranges
from builder.sensitivity import Measure, Quantise, cosine_to, features_of
from builder.sidecar import read_preprocess
from builder.taps import Tap, find_taps, named_taps
from edge.build_folder import InputSpec
from edge.device import DeviceConfig

__all__ = ["BEST", "HALF_REST", "Graphs", "Prepared", "Progress", "Request", "float_graphs", "prepare"]

BEST, HALF_REST = "best", "float16"
PROBE = 128  # photos of those that set the ranges, at most, that choose ranges and layers; the gates are on others


class Progress(Protocol):
    """Shows what is planned and how far a step is: `step` yields a function to call with the number of photos done."""

    def tell(self, planned: Ledger) -> None:
        """Show the ledger before anything is built."""

    def step(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Begin a step over `total` photos."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to build and what is still acceptable. `precision` is int8 or float32, `ranges` one of METHODS or BEST,
    `rest` float32 or float16: what layers are that INT8 leaves in float, in the graph for TensorRT. `modelopt` is a
    Python that has nvidia-modelopt, where that makes TensorRT's graph.

    `size` is the side of the input in pixels, None for the network's own. `labelled` is where photos of known products
    lie (None: `images`, where it has a folder per product), and `labelled_photos` how many are measured at most, 0 for
    none. `max_loss` and `max_tier_loss` are what may be recognised less than in float, in points.
    """

    model: Path
    images: Path
    device: DeviceConfig
    out: Path
    load: Load
    preprocess: Path | None = None
    size: int | None = None
    taps: tuple[str, ...] = ()
    photos: int = 192
    seed: int = 0
    min_cosine: float = 0.95
    precision: str = "int8"
    ranges: str = "minmax"
    rest: str = "float32"
    modelopt: Path | None = None
    labelled: Path | None = None
    labelled_photos: int = 2000
    max_loss: float = 0.5
    max_tier_loss: float = 1.0

    @property
    def is_int8(self) -> bool:
        """Whether the graphs are quantised."""
        return self.precision == "int8"

    @property
    def as_written(self) -> bool:
        """Whether the graph that runs is measured without fusing, as TensorRT's reference is."""
        return self.load.engine == "tensorrt"


@dataclass(frozen=True, slots=True, eq=False)
class Graphs:
    """The float graph with features, and what it was made of."""

    folded: Folded
    model: onnx.ModelProto
    taps: tuple[Tap, ...]
    parts: tuple[Part, ...]
    spec: InputSpec


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Graphs with their scale, and what makes the graph of each engine, some nodes left in float.

    `method` says how ranges were found, `cosines` what each way gave where they were compared.
    """

    graphs: Graphs
    photos: Photos
    by_engine: dict[str, Quantise]
    method: str
    cosines: dict[str, float]

    def measure(self, engine: str) -> Measure:
        """Return what measures a graph of this engine against float, on photos that set the ranges."""
        return _measure(self.graphs, self.photos, engine)


def float_graphs(request: Request) -> Graphs:
    """Return the float graph; no photo is needed. Raises ModelError, ConfigError."""
    given = load_backbone(request.model)
    preprocess = read_preprocess(request.model, given, request.preprocess)
    size = size_of(request.model, given, preprocess.layout)
    if request.size is not None and (request.size, request.size) != size:
        size = (request.size, request.size)
        given = with_size(request.model, given, preprocess.layout, size)
    plain = optimised(request.model, given, request.taps)
    folded = fold(plain, preprocess, size)
    names = [moved(name) for name in request.taps]
    taps = named_taps(request.model, plain, names) if names else find_taps(request.model, plain)
    model, parts = append_features(folded.model, taps)
    spec = InputSpec(height_px=size[0], width_px=size[1], resize=preprocess.resize)
    return Graphs(folded, model, taps, parts, spec)


def prepare(request: Request, graphs: Graphs, progress: Progress) -> Prepared:
    """Read photos, set the scale of `graphs` in place, find ranges. Raises InputError, ModelError."""
    photos = _photos(request, graphs.spec, progress)
    with progress.step("scale features", len(photos.ranges)) as done:
        energy = mean_square(graphs.model, in_batches(photos.ranges), done)
    set_scale(graphs.model, scale_from_energy(energy, graphs.parts))
    if not request.is_int8:  # all nodes are left in float
        plain: dict[str, Quantise] = {
            "onnxruntime": lambda _: graphs.model,
            "tensorrt": lambda _: float_input(graphs.model),
        }
        return Prepared(graphs, photos, plain, "none", {})
    methods = tuple(METHODS) if request.ranges == BEST else (request.ranges,)
    found = {
        method: _with_ranges(request, graphs, photos, _ranges(request, graphs, photos, progress, method))
        for method in methods
    }
    if len(found) == 1:
        return Prepared(graphs, photos, next(iter(found.values())), methods[0], {})
    cosines = _compared(request.load.engine, graphs, found, photos, progress)
    best = max(cosines, key=lambda method: np.nan_to_num(cosines[method], nan=-1.0))
    return Prepared(graphs, photos, found[best], best, cosines)


def _photos(request: Request, spec: InputSpec, progress: Progress) -> Photos:
    paths = list_photos(request.images, request.seed)
    with progress.step("read photos", min(len(paths), request.photos * 3 // 2)) as done:
        return read_photos(request.images, paths, spec, request.photos, lambda: done(1))


def _ranges(request: Request, graphs: Graphs, photos: Photos, progress: Progress, method: str) -> Ranges:
    with progress.step(f"find ranges, {method}", len(photos.ranges)) as done:
        return find_ranges(request.model, graphs.model, in_batches(photos.ranges), done, method)


def _with_ranges(request: Request, graphs: Graphs, photos: Photos, ranges: Ranges) -> dict[str, Quantise]:
    rest = rest_in_half if request.rest == HALF_REST else _as_it_is

    def for_tensorrt(kept: frozenset[str]) -> onnx.ModelProto:
        if request.modelopt is None:
            return rest(trt_graph(request.model, graphs.model, ranges, kept))
        how = request.modelopt, request.ranges
        return rest(modelopt_graph(request.model, graphs.model, photos.ranges, how, kept))

    return {
        "onnxruntime": lambda kept: cpu_graph(request.model, graphs.folded, graphs.model, ranges, kept),
        "tensorrt": for_tensorrt,
    }


def _as_it_is(model: onnx.ModelProto) -> onnx.ModelProto:
    return model


def _compared(
    engine: str, graphs: Graphs, found: dict[str, dict[str, Quantise]], photos: Photos, progress: Progress
) -> dict[str, float]:
    """Return the mean cosine to float of the features that each method gives."""
    measure, cosines = _measure(graphs, photos, engine), {}
    with progress.step("compare ranges", len(found)) as done:
        for method, quantise in found.items():
            cosines[method] = measure(quantise[engine](frozenset()))
            done(1)
    return cosines


def _measure(graphs: Graphs, photos: Photos, engine: str) -> Measure:
    crops = photos.ranges[:PROBE]
    return cosine_to(features_of(graphs.model, crops), crops, as_written=engine == "tensorrt")
