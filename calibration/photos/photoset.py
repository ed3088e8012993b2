"""Some photos as arrays, one row per photo: what every fit and every measurement takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["NONE", "Photoset", "joined"]

NONE = -1  # no class


@dataclass(frozen=True, slots=True, eq=False)
class Photoset:
    """Some photos, n of them: rows of the feature store, classes (NONE for unknown things), and how good they are.

    `kinds` are the labels as the folders name them: SKUs, or kinds of unknown things.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int32]
    digests: tuple[bytes, ...]
    sides_px: NDArray[np.int64]
    sharpness: NDArray[np.float64]
    kinds: tuple[str, ...]
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @staticmethod
    def none() -> Photoset:
        """Return no photo."""
        nothing = np.zeros(0, np.int64)
        return Photoset(nothing, nothing.astype(np.int32), (), nothing, np.zeros(0), (), ())

    def take(self, chosen: NDArray[np.intp]) -> Photoset:
        """Return some of the photos, by position."""
        return Photoset(
            self.rows[chosen],
            self.labels[chosen],
            tuple(self.digests[i] for i in chosen),
            self.sides_px[chosen],
            self.sharpness[chosen],
            tuple(self.kinds[i] for i in chosen),
            tuple(self.paths[i] for i in chosen),
        )


def joined(photosets: Sequence[Photoset]) -> Photoset:
    """Return the photos of all sets, at least one, in order."""
    return Photoset(
        np.concatenate([photos.rows for photos in photosets]),
        np.concatenate([photos.labels for photos in photosets]),
        tuple(chain.from_iterable(photos.digests for photos in photosets)),
        np.concatenate([photos.sides_px for photos in photosets]),
        np.concatenate([photos.sharpness for photos in photosets]),
        tuple(chain.from_iterable(photos.kinds for photos in photosets)),
        tuple(chain.from_iterable(photos.paths for photos in photosets)),
    )
