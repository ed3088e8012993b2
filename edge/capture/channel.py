"""Messages between parent and capture child: everything but the pixels.

A SOCK_SEQPACKET pair: one packet is one message, the memory of a ring travels beside it (SCM_RIGHTS), and the end of
one side is the end of file of the other. A message is one JSON object with a `kind`; a nudge is one byte that says
"look at the ring again". Nothing here blocks without a limit but `wait`, which ends when the other side dies.

    parent -> child   open (what to open), grant (take so much memory), nudge (a slot was given back)
    child -> parent   ask (for memory, since when; 0 for none any more), ring (here is the memory),
                      nudge (a frame is ready), pausing, warning, ended, failed
"""

from __future__ import annotations

import json
import select
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Channel", "Gone", "Message"]

_NUDGE = b"!"
_MAX_BYTES = 16 * 1024
_INT = struct.Struct("i")
_BESIDE_BYTES = socket.CMSG_SPACE(_INT.size)  # room for one descriptor
_RIGHTS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)
_SEND_LIMIT_MS = 2_000


class Gone(Exception):  # noqa: N818  # the ordinary end of a channel
    """The other side closed its end or died."""


@dataclass(frozen=True, slots=True)
class Message:
    """What came: its kind, its fields, and a descriptor that the receiver now owns, or -1."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    descriptor: int = -1


class Channel:
    """One end of the pair."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """Return the parent's end, and the socket that the child inherits."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def fileno(self) -> int:
        """Return the descriptor to wait on, -1 once closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; the other side sees the end of file."""
        self._socket.close()

    def send(self, kind: str, descriptor: int = -1, **fields: str | int | bool | list[int]) -> None:
        """Send a message, and `descriptor` with it. Raises Gone when the other side is gone or reads nothing."""
        packet = json.dumps({"kind": kind, **fields}).encode()
        descriptors = [descriptor] if descriptor >= 0 else []
        while True:
            try:
                socket.send_fds(self._socket, [packet], descriptors)
                return
            except BlockingIOError:
                if not self._poll(select.POLLOUT, _SEND_LIMIT_MS):
                    raise Gone from None
            except OSError:
                raise Gone from None

    def nudge(self) -> None:
        """Wake the other side. A full socket holds nudges enough; Gone when the other side is gone."""
        try:
            self._socket.send(_NUDGE)
        except BlockingIOError:
            return
        except OSError:
            raise Gone from None

    def receive(self) -> Message | None:
        """Return the next message, None when none is waiting. Raises Gone at the end, ValueError for nonsense."""
        while True:
            try:
                # Not socket.recv_fds: Python 3.11 drops its flags, and the descriptor would leak.
                packet, beside, _, _ = self._socket.recvmsg(_MAX_BYTES, _BESIDE_BYTES, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                continue  # told once when the other side ended with nudges unread; its messages are still here
            except OSError:
                raise Gone from None
            if not packet:
                raise Gone
            descriptors = [_INT.unpack(data)[0] for level, kind, data in beside if (level, kind) == _RIGHTS]
            return _decode(packet, descriptors[0] if descriptors else -1)

    def wait(self) -> None:
        """Sleep until a message or the end of the other side is there."""
        self._poll(select.POLLIN, None)

    def _poll(self, event: int, limit_ms: int | None) -> bool:
        poller = select.poll()
        poller.register(self._socket, event)
        return bool(poller.poll(limit_ms))


def _decode(packet: bytes, descriptor: int) -> Message:
    if packet == _NUDGE:
        return Message("nudge")
    fields = json.loads(packet)
    if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str):
        raise ValueError("no object with a kind")
    return Message(fields.pop("kind"), fields, descriptor)
