"""Which accepted things a person looks at all the same. Pure: the same start and number give the same draw.

What is sent to review is no sample of what is accepted: it holds none of it. So a share of the accepted things, drawn
without looking at them, is marked `audit`, at the first `accept` of a track, which is what the shopper is charged for.
The draw is BLAKE2b of epoch and seq, uniform over 64 bits, so a recording replays to the same marks and whoever knows
the epoch can check them.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

__all__ = ["Auditor", "is_drawn"]

REMEMBERED = 4_096  # tracks: a camera has at most 256 at once, a daemon at most 16 cameras


def is_drawn(epoch: str, seq: int, share: float) -> bool:
    """Say whether decision `seq` of `epoch` is in the audited `share` (0 to 1)."""
    digest = blake2b(f"{epoch}:{seq}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


class Auditor:
    """Draws at the first `accept` of each track of one start of a daemon."""

    def __init__(self, epoch: str, share: float) -> None:
        self._epoch = epoch
        self._share = share
        self._accepted: OrderedDict[tuple[str, int], None] = OrderedDict()

    def draws(self, camera_id: str, track: int, seq: int) -> bool:
        """Say whether the accepted decision `seq` is marked; only the first one of a track can be."""
        thing = (camera_id, track)
        if thing in self._accepted:
            self._accepted.move_to_end(thing)
            return False
        self._accepted[thing] = None
        if len(self._accepted) > REMEMBERED:
            self._accepted.popitem(last=False)
        return is_drawn(self._epoch, seq, self._share)
