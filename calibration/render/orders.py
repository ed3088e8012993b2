"""What `edge-render` does for each sub-command: claim the folder, write, show the progress, say what was made."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from calibration.render.cart import CartOrder
from calibration.render.claim import claim, claim_file, complete, manifest
from calibration.render.clip import ClipOrder
from calibration.render.folder import CatalogueOrder, write_catalogue
from calibration.render.recording import write_carts, write_clip, write_shelves
from calibration.render.shelf import ShelfOrder

__all__ = ["RUNS"]


def _catalogue(options: argparse.Namespace) -> int:
    reference, validation, test = options.photos or (options.reference, options.validation, options.test)
    order = CatalogueOrder(options.skus, options.seed, reference, validation, test, options.unknown, options.size)
    wanted = manifest("catalogue", order.arguments())
    if not claim(options.out, wanted):
        print(f"{options.out} is complete already")
        return 0
    total = _shown("rendering photos", write_catalogue(order, options.out, options.workers))
    complete(options.out, wanted, {"skus": order.skus, "photos": total, "unknown": 3 * order.unknown})
    print(f"{options.out}: {order.skus} products, {total} photos")
    return 0


def _shelf(options: argparse.Namespace) -> int:
    order = ShelfOrder(options.seed, options.skus, options.unknown)
    return _scenes(options, "shelf", asdict(order), lambda: write_shelves(order, options.scenes, options.out))


def _cart(options: argparse.Namespace) -> int:
    order = CartOrder(options.seed, options.skus, options.products, options.unknown)
    return _scenes(options, "cart", asdict(order), lambda: write_carts(order, options.scenes, options.out))


def _scenes(
    options: argparse.Namespace, name: str, arguments: dict[str, object], write: Callable[[], Iterable[tuple[int, int]]]
) -> int:
    wanted = manifest(name, {**arguments, "scenes": options.scenes})
    if not claim(options.out, wanted):
        print(f"{options.out} is complete already")
        return 0
    _shown(f"drawing {name} pictures", write())
    complete(options.out, wanted, {"scenes": options.scenes})
    print(f"{options.out}: {options.scenes} pictures, truth.json")
    return 0


def _clip(options: argparse.Namespace) -> int:
    order = ClipOrder(options.seed, options.skus, options.products, options.unknown, options.frames)
    wanted = manifest("clip", asdict(order))
    out: Path = options.out
    if out.suffix in {".avi", ".mp4"}:
        truth = out.with_suffix(".truth.json")
        if claim_file(out, truth, wanted):
            frames = _shown("filming", write_clip(order, out, truth, wanted))
            print(f"{out}: {frames} frames; {truth}")
            return 0
    elif claim(out, wanted):
        frames = _shown("filming", write_clip(order, out / "clip.avi", out / "truth.json"))
        complete(out, wanted, {"frames": frames})
        print(f"{out}: clip.avi of {frames} frames, truth.json")
        return 0
    print(f"{out} is complete already")
    return 0


def _shown(what: str, steps: Iterable[tuple[int, int]]) -> int:
    """Show the progress of (done, total) steps on standard error; return the last total."""

    total = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        for done, total in steps:
            progress.update(task, completed=done, total=total)
    return total


RUNS: dict[str, Callable[[argparse.Namespace], int]] = {
    "catalogue": _catalogue,
    "shelf": _shelf,
    "cart": _cart,
    "clip": _clip,
}
