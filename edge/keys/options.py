"""The options with which a command says whom it speaks with: keys, or in so many words none."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from edge.address import is_local
from edge.errors import InputError
from edge.keys.allowed import AllowList
from edge.keys.door import Door
from edge.keys.line import Caller
from edge.keys.pair import read_pair, read_public

__all__ = ["add_caller", "add_door", "caller_from", "door_from"]


def add_door(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that listens."""
    parser.add_argument("--own", type=Path, metavar="FILE", help="our NAME.secret, of edge-keys; with --allowed")
    parser.add_argument("--allowed", type=Path, metavar="DIR", help="the public keys that are let in")
    parser.add_argument("--insecure", action="store_true", help="listen beyond this machine, unencrypted and unchecked")


def add_caller(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that connects."""
    parser.add_argument("--own", type=Path, metavar="FILE", help="our NAME.secret, of edge-keys; with --peer")
    parser.add_argument("--peer", type=Path, metavar="FILE", help="the NAME.pub of the daemon")
    parser.add_argument("--insecure", action="store_true", help="leave this machine unencrypted and unchecked")


def door_from(arguments: argparse.Namespace, name: str, option: str, endpoint: str) -> Door | None:
    """Return the door of a socket that listens where `option` says; None for a plain one. Raises InputError."""
    if not _has_keys(arguments, "allowed", option, endpoint):
        return None
    return Door(name, read_pair(arguments.own), AllowList(arguments.allowed), time.monotonic_ns)


def caller_from(arguments: argparse.Namespace, option: str, endpoint: str) -> Caller | None:
    """Return with which keys to connect where `option` says; None for a plain socket. Raises InputError."""
    if not _has_keys(arguments, "peer", option, endpoint):
        return None
    return Caller(read_pair(arguments.own), read_public(arguments.peer))


def _has_keys(arguments: argparse.Namespace, other: str, option: str, endpoint: str) -> bool:
    given = {arguments.own is not None, getattr(arguments, other) is not None}
    if given == {True, False}:
        raise InputError(f"--own and --{other} belong together, found one of the two; give both or neither")
    if True in given and arguments.insecure:
        raise InputError(f"--insecure, but --own and --{other} too; give the keys or --insecure")
    if True in given and endpoint.startswith("ipc://"):
        raise InputError(
            f"{option} {endpoint}: an ipc path stays plain, its file permissions guard it; leave the keys out"
        )
    if given == {False} and not arguments.insecure and not is_local(endpoint):
        found = "reaches beyond this machine, and what goes there is neither encrypted nor checked"
        raise InputError(f"{option} {endpoint}: {found}; give --own and --{other}, use 127.0.0.1, or add --insecure")
    return True in given
