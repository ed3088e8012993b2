"""Keys made in a folder, and what stands at both ends of a socket."""

from __future__ import annotations

import time
from pathlib import Path

import zmq

from edge.keys.allowed import AllowList
from edge.keys.door import Door
from edge.keys.line import Caller
from edge.keys.pair import KeyPair, key_text, make_pair, write_new

WAIT_MS = 20_000


def allow(pair: KeyPair, folder: Path) -> None:
    write_new(folder / f"{pair.name}.pub", key_text(pair.public), 0o644)


def door(tmp_path: Path, own: KeyPair, *let_in: KeyPair, name: str = "publish") -> Door:
    folder = tmp_path / "allowed"
    folder.mkdir(exist_ok=True)
    for pair in let_in:
        allow(pair, folder)
    return Door(name, own, AllowList(folder), time.monotonic_ns)


def pairs(tmp_path: Path, *names: str) -> list[KeyPair]:
    return [make_pair(name, tmp_path / "keys") for name in names]


def connected(
    context: zmq.Context, kind: int, endpoint: str, own: KeyPair | None, peer: bytes | None = None
) -> zmq.Socket:
    """Return a socket of another program: with keys where `own` is given, plain otherwise."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, WAIT_MS)
    if kind == zmq.SUB:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    if own is not None and peer is not None:
        Caller(own, peer).secure(socket)
    socket.connect(endpoint)
    return socket


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
