"""What goes between an outbox and its collector: the two messages, encoder and decoder in one file.

    outbox -> collector   [row, payload]   row: 8 bytes, big-endian; payload: a decision or an event, as published
    collector -> outbox   [rows]           8 bytes a row: these are on the collector's disk
    collector -> outbox   [why, rows, ""]  these were refused, and are not on its disk; `why` is UTF-8, for a person

The empty frame at the end is what no acknowledgement has, also to an outbox that knows no refusals. Collectors of
before leave the rows out.

Over DEALER and ROUTER (ZeroMQ RFC 28, REQREP), so any number of devices may deliver to one collector.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from edge.errors import InputError

__all__ = ["Refusal", "acknowledgement", "acknowledged", "refusal", "refused", "row_frame", "row_of"]

MAX_WHY = 400  # characters

_ROW = struct.Struct(">q")


class Refusal(NamedTuple):
    """Why, on one line, and which rows; none where the collector does not say which."""

    why: str
    rows: Sequence[int]


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


def refusal(why: str, rows: Sequence[int]) -> list[bytes]:
    """Return the frames that refuse these rows."""
    return [why[:MAX_WHY].encode(), acknowledgement(rows), b""]


def refused(frames: Sequence[bytes]) -> Refusal | None:
    """Return what was refused, None for frames that refuse nothing; raises InputError for odd rows."""
    if len(frames) not in (2, 3) or frames[-1]:
        return None
    why = "".join(c if c.isprintable() else "?" for c in frames[0].decode("utf-8", "replace"))[:MAX_WHY]
    return Refusal(why, acknowledged(frames[1]) if len(frames) == 3 else ())
