"""What a degraded device accepts: a part of what it accepts otherwise, certified for half of either limit.

A stricter promise has cut points of its own, but these need not lie inside the others: along a path of
`calibration.rules.cut_path` confidence falls while the score of the unknown detector may be asked for more. So the
path is bent first: a step is as strict in either way as every step behind it. Then it lies inside whichever step was
taken behind it, and inside its own; it is fixed by photos that do not certify, like the path it comes from, so it may
be walked as a fixed sequence of tests of the stricter claims, at the full level (Learn then Test: Angelopoulos et al.
2021, arXiv 2110.01052). Of the certified steps up to the one that was taken the one that accepts most is the degraded
device's.

Limits: the two promises hold at the stated certainty each, not both at once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration.rules.cut_path import EASY, Claims, Path, Sides, sums_along, walked

__all__ = ["DEGRADED", "strict_cuts", "stricter"]

DEGRADED = 0.5  # of the accepted error, and of the look-alikes accepted


def stricter(claims: Claims) -> Claims:
    """Return what a degraded device promises."""
    error, near = claims.accept_error * DEGRADED, claims.near_unknown * DEGRADED
    return replace(claims, accept_error=error, near_unknown=near)


def strict_cuts(
    learn: Sides, certify: Sides, largest: float, walk: tuple[Claims, Path], taken: int
) -> tuple[float, tuple[float, ...]] | None:
    """Return confidence and nearness by band for a degraded device, where step `taken` of the walk is the other's.

    None where nothing is certified for it.
    """
    claims, path = stricter(walk[0]), _bent(walk[1])
    forecast = replace(sums_along(learn, path, largest), forecast=True).p_value(claims)
    easy = np.flatnonzero(forecast <= EASY * claims.miss)
    start = int(easy[0]) if len(easy) else int(forecast.argmin())
    sums = sums_along(certify, path, largest)
    end = min(walked(sums.p_value(claims), start, claims.miss), taken + 1)
    if end <= start:
        return None
    step = start + int(sums.total.sum(axis=(0, 1))[start:end].argmax())
    return float(path.confidences[step]), tuple(float(nearest[step]) for nearest in path.nearest)


def _bent(path: Path) -> Path:
    """Return the path with every step inside all steps behind it; confidences fall as they are."""
    nearest = tuple(np.maximum.accumulate(band[::-1])[::-1] for band in path.nearest)
    return replace(path, nearest=nearest)
