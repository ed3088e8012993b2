"""Images for the golden features: integer arithmetic only, the same on every machine and for every numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def golden_images(side_px: int) -> NDArray[np.uint8]:
    """Three RGB images (3, side, side, 3): noise, smooth colours with a disk, and 8 x 8 blocks."""
    row, column, channel = np.ogrid[0:side_px, 0:side_px, 0:3]
    noise = _scatter((row * side_px + column) * 3 + channel)
    inside = (row - side_px // 2) ** 2 + (column - side_px // 2) ** 2 < (side_px // 3) ** 2
    smooth = np.concatenate(
        [
            np.broadcast_to(row * 255 // (side_px - 1), (side_px, side_px, 1)),
            np.broadcast_to(column * 255 // (side_px - 1), (side_px, side_px, 1)),
            np.where(inside, 220, 35),
        ],
        axis=2,
    )
    blocks = _scatter((row * 8 // side_px * 8 + column * 8 // side_px) * 3 + channel + 1_000_000)
    return np.stack([noise, smooth, blocks]).astype(np.uint8)


def network_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, S, S, 3) RGB bytes as the sidecar says: (pixel - 127) / 128, channels first."""
    return np.ascontiguousarray(((images.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2))


def _scatter(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """A byte per index by multiplicative hashing (Knuth, The Art of Computer Programming, 6.4)."""
    mixed = index.astype(np.uint64) * np.uint64(2654435761) % np.uint64(2**32)
    mixed = (mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519) % np.uint64(2**32)
    return (mixed >> np.uint64(24)).astype(np.int64)
