"""What goes between an outbox and its collector: the two messages, encoder and decoder in one file.

    outbox -> collector   [row, payload]   row: 8 bytes, big-endian; payload: a decision or an event, as published
    collector -> outbox   [rows]           8 bytes a row: these are on the collector's disk
    collector -> outbox   [why, ""]        something was refused, and is not on its disk; UTF-8, to be read by a person

The empty frame behind `why` is what no acknowledgement has, also to an outbox that knows no refusals.

Over DEALER and ROUTER (ZeroMQ RFC 28, REQREP), so any number of devices may deliver to one collector.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from edge.errors import InputError

__all__ = ["acknowledgement", "acknowledged", "refusal", "refused", "row_frame", "row_of"]

MAX_WHY = 400  # characters

_ROW = struct.Struct(">q")


def row_frame(row: int) -> bytes:
    """Return the frame of one row number."""
    return _ROW.pack(row)


def row_of(frame: bytes) -> int:
    """Return the row number; raises InputError for a frame that holds none."""
    if len(frame) != _ROW.size:
        raise InputError(f"row number of {len(frame)} bytes, expected {_ROW.size}; another program delivers here?")
    return int(_ROW.unpack(frame)[0])


def acknowledgement(rows: Sequence[int]) -> bytes:
    """Return the frame that acknowledges these rows."""
    return b"".join(_ROW.pack(row) for row in rows)


def acknowledged(frame: bytes) -> list[int]:
    """Return the rows of an acknowledgement; raises InputError for a frame that holds none."""
    if not frame or len(frame) % _ROW.size:
        raise InputError(f"acknowledgement of {len(frame)} bytes, expected 8 a row; another program answers here?")
    return [int(row) for (row,) in _ROW.iter_unpack(frame)]


def refusal(why: str) -> list[bytes]:
    """Return the frames that refuse."""
    return [why[:MAX_WHY].encode(), b""]


def refused(frames: Sequence[bytes]) -> str | None:
    """Return why something was refused, on one line; None for frames that refuse nothing."""
    if len(frames) != 2 or frames[1]:
        return None
    return "".join(c if c.isprintable() else "?" for c in frames[0].decode("utf-8", "replace"))[:MAX_WHY]
