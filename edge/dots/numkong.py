"""Exact integer dot products with NumKong's int8 kernels (Apache-2.0, no dependencies): the only file that names it.

A query of up to LEVELS is two int8 planes, 128 * high + low, and both are looked up in one call: the int8 table, packed
once, is all that is held. The kernels run in the calling thread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.dots.plain import sum_type

__all__ = ["NumkongDots"]

_BITS = 7
_LANE = 16  # dimensions are padded to a multiple with zeros: 193 took 3.3 times as long as 192


class NumkongDots:
    """The (K, D) int8 table, packed. Raises ImportError where NumKong is not installed."""

    name = "numkong"

    def __init__(self, rows: NDArray[np.int8]) -> None:
        import numkong  # noqa: PLC0415  # an extra, needed by nothing else

        self._dots = numkong.dots_packed
        self._width = -(-rows.shape[1] // _LANE) * _LANE
        if self._width != rows.shape[1]:
            rows = np.pad(rows, ((0, 0), (0, self._width - rows.shape[1])))
        self._packed = numkong.dots_pack(np.ascontiguousarray(rows))
        self._sum = sum_type(rows)
        self.held_bytes = self._packed.nbytes

    def __call__(self, queries: NDArray[np.int16]) -> NDArray[np.signedinteger]:
        """Return (N, K) exact dot products of (N, D) queries in [-LEVELS, LEVELS]."""
        count, dimension = queries.shape
        high = (queries + (1 << (_BITS - 1))) >> _BITS  # low is in [-64, 63]
        planes = np.zeros((2 * count, self._width), np.int8)
        planes[:count, :dimension] = high
        planes[count:, :dimension] = queries - (high << _BITS)
        both: NDArray[np.int32] = np.asarray(self._dots(planes, self._packed))
        total: NDArray[np.signedinteger] = both[:count].astype(self._sum)
        total <<= _BITS
        total += both[count:]
        return total
