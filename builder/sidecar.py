"""How a backbone wants its pixels: read from a YAML file beside it, or from the metadata of the ONNX file.

    color: rgb              # order of the channels the network was trained on: rgb or bgr
    mean: [127, 127, 127]   # network input = (pixel - mean) / std, pixels 0 to 255
    std: [128, 128, 128]    # mean and std are always given in the order r, g, b
    layout: nchw            # nchw or nhwc
    resize: stretch         # stretch, letterbox or crop, see edge.preprocess

There is no default: a network fed with wrong means still answers, only worse, and nothing would tell.
Looked for in this order: the file given with --preprocess, MODEL.yaml beside MODEL.onnx, metadata `shelfedge.color` ...
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import onnx
from msgspec import Meta, Struct

from edge import yaml_file
from edge.errors import ModelError

__all__ = ["PREFIX", "Preprocess", "read_preprocess"]

PREFIX = "shelfedge."
KEYS = ("color", "mean", "std", "layout", "resize")

Level: TypeAlias = Annotated[float, Meta(ge=-1024, le=1024)]
Spread: TypeAlias = Annotated[float, Meta(gt=0, le=1024)]


class Preprocess(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """(pixel - mean) / std in `color` order and `layout`; `mean` and `std` stand in the order r, g, b."""

    color: Literal["rgb", "bgr"]
    mean: tuple[Level, Level, Level]
    std: tuple[Spread, Spread, Spread]
    layout: Literal["nchw", "nhwc"]
    resize: Literal["stretch", "letterbox", "crop"]


def read_preprocess(path: Path, model: onnx.ModelProto, given: Path | None) -> Preprocess:
    """Return how the model at `path` wants its pixels; raises ConfigError (the file) or ModelError (none, metadata)."""
    beside = path.with_suffix(".yaml")
    if given is not None or beside.exists():
        return yaml_file.load(given or beside, Preprocess)
    metadata = {p.key[len(PREFIX) :]: p.value for p in model.metadata_props if p.key.startswith(PREFIX)}
    found = {key: metadata[key] for key in KEYS if key in metadata}
    if not found:
        raise ModelError(
            f"{path}: nothing says how it wants its pixels; write {beside.name} beside it with this line, the values "
            f"corrected to those of its training: {_template(model)}"
        )
    return _from_metadata(path, found)


def _from_metadata(path: Path, found: dict[str, str]) -> Preprocess:
    plain = {key: _json_or_text(value) for key, value in found.items()}
    try:
        return msgspec.convert(plain, Preprocess)
    except msgspec.ValidationError as error:
        what = f"metadata {PREFIX}*: {error}"
        raise ModelError(f"{path}: {what}; expected the keys {', '.join(KEYS)}, lists as JSON") from None


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _template(model: onnx.ModelProto) -> str:
    """Return a sidecar in one line of YAML, the layout read off the graph's input."""
    weights = {tensor.name for tensor in model.graph.initializer}
    shapes = [i.type.tensor_type.shape.dim for i in model.graph.input if i.name not in weights]
    is_last = bool(shapes) and len(shapes[0]) == 4 and shapes[0][3].dim_value == 3
    layout = "nhwc" if is_last else "nchw"
    return f"{{color: rgb, mean: [127, 127, 127], std: [128, 128, 128], layout: {layout}, resize: stretch}}"
