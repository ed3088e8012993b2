"""What goes between who knows better and the daemon: a verdict and its answer, encoder and decoder in one file.

    sender -> daemon   {"decision_id": "cart-7:1f09c2d4aa10:42", "true_sku": "sku-000012", "source": "barcode"}
    daemon -> sender   {"decision_id": "cart-7:1f09c2d4aa10:42", "result": "taken", "why": ""}

Or {"ask": "accuracy"}, which is answered with the figures of the last window. `true_sku` is `unknown` for a thing that
is in no catalogue. One JSON object a message, over REQ or DEALER to a ROUTER (ZeroMQ RFC 28); an empty frame before it,
as REQ sends, comes back. The answer is sent after the commit, so `taken` survives a power cut.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from edge.errors import InputError

__all__ = ["MAX_BYTES", "NOT_ENROLLED", "RESULTS", "SOURCES", "Answer", "Ask", "Verdict", "decision_key", "decode"]

MAX_BYTES = 4_096
MAX_SEQ = 2**63 - 1
NOT_ENROLLED = "unknown"

# source -> its rank: a verdict replaces one of lower rank that says otherwise
SOURCES: dict[str, int] = {"weight": 0, "barcode": 1, "cashier": 2, "reviewer": 3}

# result -> what it means to the sender
RESULTS: dict[str, str] = {
    "taken": "committed; done",
    "replaced": "committed in the place of a weaker source that said otherwise; done",
    "again": "the same was known already; done",
    "contradicts": "another truth of an equal or stronger source is known and stays; done",
    "late": "another truth was known and is counted in a window that is closed; it stays; done",
    "unknown_decision": "no such decision is remembered here: of another device, never published, or too old",
    "malformed": "not a verdict; `why` says what is wrong; do not send it again as it is",
    "not_kept": "the disk refuses, or too much waits; send it again later",
}

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]


class Verdict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The truth about one decision. `true_sku` is a SKU or `unknown`; who says so is `source`."""

    decision_id: Text
    true_sku: Text
    source: Annotated[str, Meta(pattern="^(weight|barcode|cashier|reviewer)$")]


class Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question: `accuracy` is answered with an AccuracyReport."""

    ask: Annotated[str, Meta(pattern="^accuracy$")]


class Answer(Struct, frozen=True, kw_only=True):
    """What became of a verdict: a key of RESULTS."""

    decision_id: str
    result: str
    why: str = ""


_verdict = msgspec.json.Decoder(Verdict)
_ask = msgspec.json.Decoder(Ask)


def decode(payload: bytes) -> Verdict | Ask:
    """Return what was sent; raises InputError for anything else."""
    if len(payload) > MAX_BYTES:
        raise InputError(f"message of {len(payload)} bytes, expected at most {MAX_BYTES}")
    try:
        return _ask.decode(payload) if payload.startswith(b'{"ask"') else _verdict.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"no verdict: {error}; expected decision_id, true_sku and source") from None


def decision_key(decision_id: str) -> tuple[str, str, int]:
    """Return device, epoch and seq of a decision id; raises InputError for what is none."""
    device_id, _, rest = decision_id.partition(":")
    epoch, _, seq = rest.partition(":")
    if not (device_id and epoch and seq.isascii() and seq.isdigit() and len(seq) < 20 and int(seq) <= MAX_SEQ):
        raise InputError(f"decision_id {decision_id[:80]!r}, expected DEVICE:EPOCH:SEQ as in the decision")
    return device_id, epoch, int(seq)
