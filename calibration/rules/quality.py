"""The worst picture that the figures still hold for: crops smaller or less sharp than those validated are not accepted.

The sharpness limit is a low quantile of the validation crops at the engine's input size, so nearly all photos of the
kind that was validated pass. The size limit is a quarter of the input's shorter side (below that the resize invents
three pixels of four in each direction), or less where the validation photos themselves are smaller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.build_folder import InputSpec
from edge.parameters import QualityLimits

__all__ = ["QUANTILE", "quality_from_photos"]

QUANTILE = 0.005


def quality_from_photos(spec: InputSpec, sides_px: NDArray[np.int64], sharpness: NDArray[np.float64]) -> QualityLimits:
    """Return the limits for validation photos with shorter sides (N,) and sharpness (N,) of the fitted crop."""
    quarter = max(min(spec.height_px, spec.width_px) // 4, 1)
    if len(sides_px) == 0:
        return QualityLimits(quarter, 0.0)
    smallest = int(np.quantile(sides_px, QUANTILE, method="lower"))
    return QualityLimits(max(min(quarter, smallest), 1), float(np.quantile(sharpness, QUANTILE, method="lower")))
