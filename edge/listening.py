"""What libzmq does by itself where it listens, and must not.

It takes an ipc path away from whatever stands there: here never from a file or from somebody who listens, and the path
is gone afterwards. And it lets peers in that speak ZMTP 1 or 2.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import zmq

from edge.errors import InputError, PublishError

__all__ = ["refuse_old_protocols", "refuse_taken", "remove"]


def refuse_old_protocols(socket: zmq.Socket[bytes]) -> None:
    """Have whoever speaks ZMTP 1 or 2 hung up on at a plain `socket`, which is not bound yet; behind a door they are.

    Such a peer that introduces itself while the socket is being closed ends the process (libzmq 4.3.5,
    `process_routing_id_msg`: its pipe is gone, and that is asserted). A ZAP domain refuses them; nobody is asked.
    """
    socket.setsockopt(zmq.ZAP_DOMAIN, b"plain")


def refuse_taken(endpoint: str, key: str) -> None:
    """Raise InputError where a file stands, PublishError where somebody listens; a dead socket is no hindrance.

    `key` is what a person changes to mend it.
    """
    path = _path(endpoint)
    if path is None or not os.path.lexists(path):
        return
    if not path.is_socket():
        found = "a file or a folder stands there, which would be lost"
        raise InputError(f"cannot listen on {endpoint}: {found}; change {key}")
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.settimeout(1.0)
        probe.connect(str(path))
        raise PublishError(f"cannot listen on {endpoint}: another process does; stop it or change {key}")


def remove(endpoint: str) -> None:
    """Take the socket file of an endpoint that was listened on away."""
    path = _path(endpoint)
    if path is not None:
        with suppress(OSError):
            path.unlink()


def _path(endpoint: str) -> Path | None:
    """Return the path of an ipc endpoint, None for another one and for an abstract name."""
    scheme, _, name = endpoint.partition("://")
    return Path(name) if scheme == "ipc" and not name.startswith("@") else None
