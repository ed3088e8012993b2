"""What a degraded device accepts: a part of what it accepts otherwise, certified for stricter limits.

A stricter promise has cut points of its own, but these need not lie inside the others: along a path of
`calibration.rules.cut_path` confidence falls while the unknown detector may be asked for more. And what both accept is
certified by neither. So the path is bent first: a step is as strict in either way as every step behind it. Then it lies
inside whichever step was taken behind it, and inside its own; it is fixed by photos that do not certify, like the path
it comes from, so it may be walked as a fixed sequence of tests, at the full level (Learn then Test: Angelopoulos et al.
2021, arXiv 2110.01052). Of the certified steps up to the one that was taken the one that accepts most is taken.

How much stricter depends on the photos: half of either limit takes more than most catalogues have. So LEVELS are tested
one after the other, from the mildest on, each at the full level and only if the one before was certified (a fixed
sequence again), and the last certified one is promised. Where not even the first is, a degraded device accepts nothing.

Limits: the usual promise and this one hold at the stated certainty each, not both at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.rules.cut_path import EASY, Claims, Path, Sides, sums_along, walked

__all__ = ["LEVELS", "Strict", "strict_cuts"]

LEVELS = ((0.75, 1.0), (0.5, 1.0), (0.5, 0.5))  # of the accepted error, and of the look-alikes accepted


class Strict(NamedTuple):
    """The cut points of a degraded device, nearness by band, and its limits."""

    confidence: float
    nearest: tuple[float, ...]
    accept_error: float
    near_unknown: float


def strict_cuts(learn: Sides, certify: Sides, largest: float, walk: tuple[Claims, Path], taken: int) -> Strict | None:
    """Return the cut points for a degraded device, where step `taken` of the walk is the other's.

    None where nothing is certified for it.
    """
    claims, path = walk[0], _bent(walk[1])
    forecast = replace(sums_along(learn, path, largest), forecast=True)
    sums = sums_along(certify, path, largest)
    total, found = sums.total.sum(axis=(0, 1)), None
    for error, near in LEVELS:
        told = replace(claims, accept_error=claims.accept_error * error, near_unknown=claims.near_unknown * near)
        start = _start(forecast.p_value(told), told.miss)
        end = min(walked(sums.p_value(told), start, told.miss), taken + 1)
        if end <= start:
            break
        step = start + int(total[start:end].argmax())
        nearest = tuple(float(levels[step]) for levels in path.nearest)
        found = Strict(float(path.confidences[step]), nearest, told.accept_error, told.near_unknown)
    return found


def _start(forecast: NDArray[np.float64], miss: float) -> int:
    """Return the first step that is as good as passed, or the likeliest one."""
    easy = np.flatnonzero(forecast <= EASY * miss)
    return int(easy[0]) if len(easy) else int(forecast.argmin())


def _bent(path: Path) -> Path:
    """Return the path with every step inside all steps behind it; confidences fall as they are."""
    nearest = tuple(np.maximum.accumulate(band[::-1])[::-1] for band in path.nearest)
    return replace(path, nearest=nearest)
