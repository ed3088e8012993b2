"""Which accepted things a person looks at all the same. Pure: the same start and number give the same draw.

What is sent to review is no sample of what is accepted: it holds none of it. So a share of the accepted things, drawn
without looking at them, is marked `audit`, at the first `accept` of a track, which is what the shopper is charged for.
The draw is BLAKE2b of epoch and seq, uniform over 64 bits, so a recording replays to the same marks and whoever knows
the epoch can check them. Which accept is the first, the track itself knows (`edge.track`): nothing is remembered here.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["is_drawn"]


def is_drawn(epoch: str, seq: int, share: float) -> bool:
    """Say whether decision `seq` of `epoch` is in the audited `share` (0 to 1)."""
    digest = blake2b(f"{epoch}:{seq}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64
