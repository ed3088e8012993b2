"""What `edge-build` leaves for `edge-calibrate`: a sealed folder with two quantised graphs and what is known of each.

One is for CPUs, one for TensorRT; the engine that the build is for says which is used. Each takes uint8 (N, H, W, 3)
BGR crops as input `images` and returns float32 (N, F) as output `features`, rows of unit length: colour order,
normalisation and layout are inside it, so only the resize is left to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from edge.errors import BundleError
from edge.sealed import open_sealed, write_sealed

__all__ = ["GRAPH", "GRAPHS", "KIND", "TRT_GRAPH", "BuildFolder", "BuildInfo", "InputSpec", "read_build", "write_build"]

KIND, SCHEMA = "build", 1
GRAPH, TRT_GRAPH = "model.cpu.onnx", "model.trt.onnx"
GRAPHS = {"onnxruntime": GRAPH, "tensorrt": TRT_GRAPH}  # what each engine runs


class InputSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a crop becomes the engine's input: resized with OpenCV to height x width by `resize`.

    stretch: both sides freely. letterbox: aspect kept, padded with grey 127. crop: aspect kept, the middle cut out.
    """

    height_px: Annotated[int, Meta(ge=1, le=16_384)]
    width_px: Annotated[int, Meta(ge=1, le=16_384)]
    resize: Annotated[str, Meta(pattern="^(stretch|letterbox|crop)$")]


class BuildInfo(Struct, frozen=True, kw_only=True):
    """The manifest content of a build folder. `backbone_sha256` is of the ONNX file that was given.

    `precision` is int8, or float32 of a build that others are compared with. `network_mib` is what a process with this
    network takes without products and cameras, an estimate.
    """

    engine: str
    backbone: str
    backbone_sha256: str
    input: InputSpec
    feature_dimension: Annotated[int, Meta(ge=1)]
    max_batch: Annotated[int, Meta(ge=1, le=1024)]
    taps: tuple[str, ...]
    device: str
    images: int
    report: dict[str, Any]
    precision: Annotated[str, Meta(pattern="^(int8|float32)$")] = "int8"
    network_mib: Annotated[float, Meta(ge=0)] = 0.0


@dataclass(frozen=True, slots=True)
class BuildFolder:
    """A verified build: its id, its folder, its information and the graph that its engine runs."""

    id: str
    path: Path
    info: BuildInfo
    graph: Path


@contextmanager
def write_build(path: Path, content: dict[str, Any]) -> Iterator[Path]:
    """Yield a folder to put the graphs into and seal it; `content` (of BuildInfo) may be filled inside the block."""
    with write_sealed(path, KIND, SCHEMA, content) as staging:
        yield staging


def read_build(path: Path) -> BuildFolder:
    """Verify and read a build folder; raises BundleError naming the file."""
    sealed = open_sealed(path, KIND, SCHEMA)
    try:
        info = msgspec.convert(dict(sealed.content), BuildInfo)
    except msgspec.ValidationError as error:
        raise BundleError(f"{path}: build of another version ({error}); run edge-build again") from None
    if info.engine not in GRAPHS:
        raise BundleError(f"{path}: for the engine {info.engine}, expected {' or '.join(GRAPHS)}; run edge-build again")
    return BuildFolder(sealed.id, path, info, sealed.file(GRAPHS[info.engine]))
