"""What goes to verify and what to a person: the verify set and the least confidence for it.

The set holds every product within `set_gap` of the best candidate; a set larger than MAX_SET is for a person, and so is
a photo of low confidence. Gap and least confidence are chosen together on the photos that are left after accept (they
are harder than the average, and a gap fitted on all photos would promise them too much): the gap is a split-conformal
quantile (Angelopoulos & Bates 2021, arXiv 2107.07511) of how far the true product lies behind the best, at SET_ERROR or
tighter, the confidence the least at which the sets that do go to verify hold the true product as often as stated, one
photo of the largest weight counted against it; of these pairs the one that sends most to verify is taken.

Limits: coverage is stated for all verify photos together; the few pairs are compared on the photos that set them, which
is below the resolution of the coverage that the report measures on test photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.rules.conformal import conformal_quantile
from calibration.rules.scores import Scores
from edge.pipeline import CANDIDATES

__all__ = ["MAX_SET", "SET_ERROR", "VerifyRule", "verify_from_scores"]

MAX_SET = CANDIDATES
SET_ERROR = 0.05
_TIGHTER = (1.0, 0.8, 0.6, 0.4, 0.2)
WIDEST = 2.0  # the difference of two cosines: every product is in the set

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VerifyRule:
    """`confidence` is the least P(correct) for verify, +inf when no set can be trusted; shares are weighted."""

    set_gap: float
    confidence: float
    photos: int
    share: float
    coverage: float
    mean_size: float


def verify_from_scores(
    scores: Scores, weights: Floats, confidence: NDArray[np.float32], left: NDArray[np.bool_]
) -> VerifyRule:
    """Return the rule; `left` (N,) are the photos that may go to verify: not accepted, not unknown, good pictures."""
    misses = [SET_ERROR * part for part in _TIGHTER]
    gaps = [min(conformal_quantile(scores.own_gap[left], weights[left], miss), WIDEST) for miss in misses]
    rules = [_at_gap(scores, weights, confidence, left, gap) for gap in gaps]
    return rules[int(np.argmax([rule.share for rule in rules]))]


def _at_gap(
    scores: Scores, weights: Floats, confidence: NDArray[np.float32], left: NDArray[np.bool_], gap: float
) -> VerifyRule:
    """Return the rule with the least confidence that this gap allows."""
    size = scores.set_size(gap)
    usable = np.flatnonzero(left & (size <= MAX_SET) & (weights > 0))
    order = usable[np.argsort(-confidence[usable], kind="stable")]
    inside = scores.own_gap[order] <= np.float32(gap)
    mass = np.cumsum(weights[order])
    held = np.cumsum(weights[order] * inside)
    heaviest = float(weights.max(initial=0.0))
    last_of_value = np.append(np.diff(confidence[order]) != 0, True)[: len(order)]
    good = np.flatnonzero((held >= (1.0 - SET_ERROR) * (mass + heaviest)) & last_of_value)
    if len(good) == 0:
        return VerifyRule(gap, np.inf, 0, 0.0, 0.0, 0.0)
    last = int(good[-1])
    mean_size = float(np.average(size[order[: last + 1]], weights=weights[order[: last + 1]]))
    share, coverage = float(mass[last] / weights.sum()), float(held[last] / mass[last])
    return VerifyRule(gap, float(confidence[order[last]]), last + 1, share, coverage, mean_size)
