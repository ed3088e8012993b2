"""The messages between outbox and collector: what was encoded is decoded, anything else is an error."""

from __future__ import annotations

import pytest

from edge.errors import InputError
from edge.outbox.wire import acknowledged, acknowledgement, refusal, refused, row_frame, row_of


@pytest.mark.parametrize("rows", [[1], [1, 2, 3], [2**62, 0]])
def test_the_wire_gives_back_what_it_took(rows: list[int]) -> None:
    assert acknowledged(acknowledgement(rows)) == rows
    assert [row_of(row_frame(row)) for row in rows] == rows


@pytest.mark.parametrize("why", ["", "not you", "x" * 1_000, "a\nb\x00c", "\u20ac"])
def test_a_refusal_is_one_line_and_no_acknowledgement_to_whoever_knows_none(why: str) -> None:
    frames = refusal(why, [7, 2**62])
    told = refused(frames)
    assert told is not None
    assert told.why.isprintable()
    assert len(told.why) == min(len(why), 400)
    assert told.rows == [7, 2**62]
    assert refused([frames[0], b""]) == (told.why, ()), "as collectors of before refuse"
    with pytest.raises(InputError):
        refused([frames[0], b"odd", b""])
    with pytest.raises(InputError):
        acknowledged(frames[-1])
    assert refused([acknowledgement([1])]) is None


@pytest.mark.parametrize("frame", [b"", b"x", b"123456789"])
def test_other_frames_are_refused(frame: bytes) -> None:
    with pytest.raises(InputError):
        acknowledged(frame)
    with pytest.raises(InputError):
        row_of(frame)
