"""The command `edge-render`: synthetic products as catalogue folders, shelves, carts and a cart clip.

Arguments only; `orders` runs them. The drawing modules, and Pillow with them, are imported when a sub-command runs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from calibration.render.identity import MOST_SKUS
from edge import command
from edge.errors import InputError

__all__ = ["main"]

MOST_WORKERS = 256
_EXAMPLE = "edge-render catalogue --skus 50 --seed 1 --out shop"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-render`; return its exit code."""
    return command.run("edge-render", _main, argv)


def _main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    try:
        from calibration.render import orders  # noqa: PLC0415  # --help needs no Pillow
    except ModuleNotFoundError as error:
        raise InputError(f"the package {error.name} is not installed; run: pip install 'shelfedge[render]'") from error
    return orders.RUNS[options.command](options)


def _parser() -> command.Parser:
    parser = command.Parser("edge-render", "Render synthetic products with exact ground truth.", _EXAMPLE)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_catalogue(commands)
    _add_shelf(commands)
    _add_cart(commands)
    _add_clip(commands)
    return parser


def _add_catalogue(commands: argparse._SubParsersAction[command.Parser]) -> None:
    parser = commands.add_parser(
        "catalogue",
        help="a catalogue folder: skus.csv and photos",
        description="Write a catalogue folder: skus.csv, reference, validation and test photos, unknown things.",
        example="edge-render catalogue --skus 1000 --seed 7 --test 4 --unknown 150 --out shop",
    )
    _add_common(parser)
    parser.add_argument("--reference", type=_span, default=(3, 20), metavar="MIN,MAX", help="default 3,20")
    parser.add_argument("--validation", type=_span, default=(6, 40), metavar="MIN,MAX", help="default 6,40")
    parser.add_argument("--test", type=_span, default=(4, 4), metavar="N", help="photos per product, default 4")
    parser.add_argument(
        "--photos", type=_flat, metavar="flat:R,V,T", help="the same number of photos for every product"
    )
    parser.add_argument("--unknown", type=_count, default=60, metavar="N", help="photos per kind, default 60")
    parser.add_argument(
        "--workers", type=_workers, default=min(os.cpu_count() or 1, MOST_WORKERS), metavar="N", help="processes"
    )
    parser.add_argument("--size", type=_size, default=224, metavar="PX", help="long edge of a photo, default 224")


def _add_shelf(commands: argparse._SubParsersAction[command.Parser]) -> None:
    parser = commands.add_parser(
        "shelf",
        help="pictures of shelves, with boxes and slots",
        description="Write pictures of shelves and truth.json: the box of every pack, the polygon of every slot.",
        example="edge-render shelf --skus 200 --seed 7 --scenes 4 --out shelves",
    )
    _add_common(parser)
    parser.add_argument("--scenes", type=_positive, default=4, metavar="N", help="pictures, default 4")
    parser.add_argument("--unknown", type=_things, default=2, metavar="N", help="unknown packs per picture, default 2")


def _add_cart(commands: argparse._SubParsersAction[command.Parser]) -> None:
    parser = commands.add_parser(
        "cart",
        help="still pictures of a cart's basket, with boxes",
        description="Write pictures of a basket with several packs in it and truth.json with the box of each.",
        example="edge-render cart --skus 200 --seed 7 --scenes 8 --products 5 --out carts",
    )
    _add_common(parser)
    parser.add_argument("--scenes", type=_positive, default=4, metavar="N", help="pictures, default 4")
    parser.add_argument(
        "--products", type=_things, default=4, metavar="N", help="enrolled packs per picture, default 4"
    )
    parser.add_argument("--unknown", type=_things, default=1, metavar="N", help="other things per picture, default 1")


def _add_clip(commands: argparse._SubParsersAction[command.Parser]) -> None:
    parser = commands.add_parser(
        "clip",
        help="a video of a basket being filled, with the truth of every frame",
        description="Write clip.avi (or the .avi or .mp4 file that --out names) and the truth of every frame.",
        example="edge-render clip --skus 50 --seed 7 --products 8 --unknown 4 --out demo",
    )
    _add_common(parser)
    parser.add_argument("--products", type=_things, default=8, metavar="N", help="enrolled products, default 8")
    parser.add_argument("--unknown", type=_things, default=4, metavar="N", help="events of other kinds, default 4")
    parser.add_argument("--frames", type=_positive, metavar="N", help="stop after N frames")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skus", "--catalogue-skus", type=_skus, default=50, metavar="N", help="products enrolled, default 50"
    )
    parser.add_argument("--seed", type=_count, default=1, metavar="S", help="default 1")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")


def _count(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more, below a thousand million")
    return int(text)


def _positive(text: str) -> int:
    number = _count(text)
    if number == 0:
        raise argparse.ArgumentTypeError("0 is too few; 1 or more is wanted")
    return number


def _workers(text: str) -> int:
    number = _positive(text)
    if number > MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{number} processes; 1 to {MOST_WORKERS} can be started")
    return number


def _skus(text: str) -> int:
    number = _positive(text)
    if number > MOST_SKUS:
        raise argparse.ArgumentTypeError(f"{number} products; 1 to {MOST_SKUS} can be made")
    return number


def _things(text: str) -> int:
    number = _count(text)
    if number > 2000:
        raise argparse.ArgumentTypeError(f"{number} things; 0 to 2000 can be shown")
    return number


def _size(text: str) -> int:
    number = _count(text)
    if not 64 <= number <= 1024:
        raise argparse.ArgumentTypeError(f"{number} px; 64 to 1024 can be drawn")
    return number


def _span(text: str) -> tuple[int, int]:
    parts = [_count(part) for part in text.split(",")]
    if len(parts) not in {1, 2} or parts[0] > parts[-1] or parts[-1] > 9999:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted MIN,MAX with MIN <= MAX <= 9999")
    return parts[0], parts[-1]


def _flat(text: str) -> tuple[tuple[int, int], ...]:
    kind, _, numbers = text.partition(":")
    counts = [_count(part) for part in numbers.split(",")] if kind == "flat" else []
    if len(counts) != 3:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted flat:R,V,T, such as flat:5,10,4")
    return tuple((count, count) for count in counts)


if __name__ == "__main__":
    raise SystemExit(main())
