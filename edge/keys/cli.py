"""`edge-keys make | allow | remove | list | show`: key pairs, who may come in, and what people compare.

A secret stays on the machine that it was made on; public halves go round. Nothing is ever written over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edge.command import Parser, run
from edge.errors import InputError
from edge.keys.pair import (
    PUBLIC,
    SECRET,
    check_name,
    fingerprint,
    key_text,
    make_pair,
    read_pair,
    read_public,
    write_new,
)
from edge.writing import cannot_write

__all__ = ["main"]

PROG = "edge-keys"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-keys`."""
    return run(PROG, _main, argv)


def _main(argv: Sequence[str]) -> int:
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]](argv[1:])
    parser = Parser(PROG, "CURVE keys for the sockets that leave this machine.", f"{PROG} make cart-0001 --dir keys")
    parser.add_argument("command", choices=COMMANDS, help=f"each has its own help: {PROG} make --help")
    parser.parse_args(argv)
    return 0


def _make(argv: Sequence[str]) -> int:
    parser = Parser(f"{PROG} make", "Make the key pair of one device or peer.", f"{PROG} make cart-0001 --dir keys")
    parser.add_argument("name", help="whose it is: letters, digits, dot, dash, underscore")
    parser.add_argument("--dir", type=Path, default=Path(), help="where to write (the working directory)")
    arguments = parser.parse_args(argv)
    pair = make_pair(arguments.name, arguments.dir)
    print(f"{arguments.dir / (pair.name + SECRET)}: secret, stays on this machine")
    print(f"{arguments.dir / (pair.name + PUBLIC)}: public, for whom it speaks with")
    print(f"fingerprint {fingerprint(pair.public)}")
    return 0


def _allow(argv: Sequence[str]) -> int:
    parser = Parser(
        f"{PROG} allow", "Let a public key in, under its name.", f"{PROG} allow till-3.pub --in keys/subscribers"
    )
    parser.add_argument("file", type=Path, help=f"NAME{PUBLIC} of whom to let in")
    parser.add_argument(
        "--in", dest="folder", type=Path, required=True, metavar="DIR", help="the list, made if need be"
    )
    parser.add_argument("--name", help="under another name than that of the file")
    arguments = parser.parse_args(argv)
    folder, name = arguments.folder, arguments.name or arguments.file.stem
    check_name(name)
    public = read_public(arguments.file)
    known = _listed(folder) if folder.exists() else {}
    for other, key in known.items():
        if key == public:
            raise InputError(f"{folder}: this key is let in already, as {other}; remove that first to rename it")
    if name in known:
        raise InputError(f"{folder}: another key is let in as {name}; choose another --name, or remove that first")
    write_new(folder / f"{name}{PUBLIC}", key_text(public), 0o644)
    print(f"{folder}: {name} is let in, fingerprint {fingerprint(public)}")
    return 0


def _remove(argv: Sequence[str]) -> int:
    parser = Parser(
        f"{PROG} remove",
        "Let a key in no more. A connection that it has stays until it ends.",
        f"{PROG} remove till-3 --in keys/subscribers",
    )
    parser.add_argument("name", help="as `list` shows it")
    parser.add_argument("--in", dest="folder", type=Path, required=True, metavar="DIR", help="the list")
    arguments = parser.parse_args(argv)
    check_name(arguments.name)
    path = arguments.folder / f"{arguments.name}{PUBLIC}"
    try:
        path.unlink()
    except FileNotFoundError:
        there = ", ".join(sorted(one.stem for one in arguments.folder.glob(f"*{PUBLIC}"))[:10]) or "nobody"
        raise InputError(f"{path}: no such key, expected one of: {there}") from None
    except OSError as error:
        raise cannot_write(path, error, "change its permissions") from None
    print(f"{arguments.folder}: {arguments.name} is let in no more")
    return 0


def _list(argv: Sequence[str]) -> int:
    parser = Parser(f"{PROG} list", "Show who is let in.", f"{PROG} list keys/subscribers")
    parser.add_argument("folder", type=Path, metavar="DIR", help="the list")
    folder = parser.parse_args(argv).folder
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one that {PROG} allow --in made")
    for name, public in sorted(_listed(folder).items()):
        print(f"{name:<24} {fingerprint(public)}")
    return 0


def _show(argv: Sequence[str]) -> int:
    parser = Parser(f"{PROG} show", "Show the fingerprint of a key, to compare it.", f"{PROG} show till-3.pub")
    parser.add_argument("file", type=Path, help=f"NAME{PUBLIC} or NAME{SECRET}")
    file = parser.parse_args(argv).file
    public = read_pair(file).public if file.suffix == SECRET else read_public(file)
    print(f"{file.stem:<24} {fingerprint(public)}")
    return 0


def _listed(folder: Path) -> dict[str, bytes]:
    return {path.stem: read_public(path) for path in folder.glob(f"*{PUBLIC}")}


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "make": _make,
    "allow": _allow,
    "remove": _remove,
    "list": _list,
    "show": _show,
}
