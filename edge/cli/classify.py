"""`edge-classify`: decisions about still pictures of single products."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

import edge.one_thread  # noqa: F401  # before anything that imports NumPy
from edge.assembly import engine_of
from edge.bundle import read_bundle
from edge.capture.stills import SUFFIXES, read_still
from edge.cli.desk import engine_here, warn_degraded
from edge.command import Parser, run, whole_number
from edge.config import MAX_THREADS
from edge.errors import InputError
from edge.pipeline import Pipeline
from edge.types import Decision
from edge.writing import whole_file

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-classify`."""
    return run("edge-classify", _classify, argv)


def _classify(argv: Sequence[str]) -> int:
    parser = Parser(
        "edge-classify",
        "Decide about still pictures of single products.",
        "edge-classify --bundle bundles/current --images photos/ --out decisions.jsonl",
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", nargs="+", required=True, metavar="PATH", help="pictures, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="one JSON object a line")
    parser.add_argument("--threads", type=whole_number(1, MAX_THREADS), default=1, help="CPU threads of one inference")
    arguments = parser.parse_args(argv)
    bundle = read_bundle(arguments.bundle)
    paths = [path for given in arguments.images for path in _pictures(given)]
    _refuse_overwriting(arguments.out, paths)
    with whole_file(arguments.out) as out, engine_of(bundle, engine_here(arguments.threads)) as engine:
        warn_degraded("edge-classify", engine)
        pipeline = Pipeline(bundle, engine)
        decided = sum(_decide_still(path, pipeline, out) for path in _shown(paths))
        if not decided:
            raise InputError(f"none of {len(paths)} pictures could be read; expected JPEG, PNG, BMP or WebP")
    unreadable = len(paths) - decided
    print(f"{decided} decisions in {arguments.out}" + (f", {unreadable} unreadable" if unreadable else ""))
    return 0


def _decide_still(path: str, pipeline: Pipeline, out: BinaryIO) -> bool:
    """Write the decision about one picture; False, with a warning, where it cannot be read."""
    try:
        image = read_still(Path(path))
    except InputError as error:
        print(f"edge-classify: warning: {error}", file=sys.stderr)
        return False
    out.write(_decision_line(path, pipeline.decide([image])[0]))
    return True


def _shown(paths: Sequence[str]) -> Iterator[str]:
    """Yield the paths; show how far they are on a terminal."""
    from rich.console import Console  # noqa: PLC0415  # the daemon, which shares this file, need not load it
    from rich.progress import Progress  # noqa: PLC0415  # the same

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(paths, description="deciding")


def _refuse_overwriting(out: Path, paths: Sequence[str]) -> None:
    if out.exists() and any(os.path.samefile(out, path) for path in paths):
        raise InputError(f"{out}: is one of the pictures to decide about; choose another --out")


def _pictures(given: str) -> Iterator[str]:
    """Yield a picture, or the pictures below a folder in sorted order: the given path joined with the path below it."""
    folder = Path(given)
    if folder.is_dir():
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not found:
            raise InputError(f"{given}: no pictures below this folder; expected {', '.join(sorted(SUFFIXES))}")
        yield from (os.path.join(given, path.relative_to(folder)) for path in found)
    elif folder.is_file():
        yield given
    else:
        raise InputError(f"{given}: no such file or folder")


def _decision_line(path: str, decision: Decision) -> bytes:
    line = {
        # A name that is not UTF-8 is no JSON: its odd bytes are shown as \\xNN.
        "image": os.fsencode(path).decode(errors="backslashreplace"),
        "route": decision.route.value,
        "sku": decision.sku,
        "confidence": decision.confidence,
        "ood_score": decision.ood_score,
        "candidates": [{"sku": c.sku, "similarity": c.similarity} for c in decision.candidates],
        "verify_set": decision.verify_set,
        "reasons": [reason.value for reason in decision.reasons],
    }
    return msgspec.json.encode(line) + b"\n"
