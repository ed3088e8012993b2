"""Which frame gives way when the ring is full, and why a frame was never decided on: two closed lists."""

from __future__ import annotations

from enum import Enum

__all__ = ["RING_REASONS", "DropPolicy", "DropReason", "policy_of"]


class DropPolicy(str, Enum):
    """The values of `when_full`, without `auto`."""

    DROP_OLDEST = "drop_oldest"  # the oldest unread frame gives way to the new one
    DROP_NEWEST = "drop_newest"  # the new frame is given up
    WAIT = "wait"  # the source waits; nothing is ever dropped


class DropReason(str, Enum):
    """Why a frame of a camera was not decided on. Counters and alerts hang on these words: they never change."""

    NEWER_FRAME = "newer_frame"  # it gave way to a newer one
    NO_SLOT = "no_slot"  # it found every slot taken, or all too small and no room for larger ones
    REPEATED = "repeated"  # the same picture as one before it: a live camera's noise never repeats
    DAMAGED = "damaged"  # a live camera's, or built on one that was: a decoder would have made something up
    TOO_OLD = "too_old"  # older than max_age_ms when its turn came
    THINNED = "thinned"  # a degraded device takes one frame in so many
    UNASKED = "unasked"  # not even decoded: it would have given way to a newer one before its turn
    UNREAD = "unread"  # it lay in the ring when the camera was opened again or left


# Counted in the ring, in this order; thinned frames that lay there already are counted by the reader.
RING_REASONS = (
    DropReason.NEWER_FRAME,
    DropReason.NO_SLOT,
    DropReason.REPEATED,
    DropReason.DAMAGED,
    DropReason.THINNED,
    DropReason.UNASKED,
)


def policy_of(when_full: str, is_live: bool) -> DropPolicy:
    """Return what `when_full` means for a source: with `auto` a live one drops its oldest frame and a file waits."""
    if when_full != "auto":
        return DropPolicy(when_full)
    return DropPolicy.DROP_OLDEST if is_live else DropPolicy.WAIT
