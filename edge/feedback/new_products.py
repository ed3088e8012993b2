"""How much of the catalogue came after the calibration. Pure.

The bundle records every enrolment since it was calibrated. Growth of 5 to 10 % is where recalibrating pays; each level
is told once for a bundle.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["reached"]


def reached(new: int, products: int, levels: Sequence[float]) -> float | None:
    """Return the highest of the `levels` (shares) that `new` of `products` have reached, None below the lowest.

    The share is of the products that the calibration saw, `products - new`.
    """
    seen = products - new
    share = new / seen if seen > 0 else float(new > 0)
    return max((level for level in levels if new and share >= level), default=None)
