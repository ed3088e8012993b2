"""Split-conformal quantiles for weighted photos: the least value that a new photo stays under with a stated
probability.

With equal weights the rank is ceil((n + 1)(1 - miss)) of n (Vovk et al. 2005); with weights the new photo is given the
largest of them (Tibshirani et al. 2019, arXiv 1904.06019). Too few photos for the rank give +inf: 19 are needed for 5
%.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["conformal_quantile"]


def conformal_quantile(values: NDArray[np.float32], weights: NDArray[np.float64], miss: float) -> float:
    """Return the quantile of `values` (N,) with `weights` (N,) >= 0 at 1 - `miss`."""
    used = weights > 0
    values, weights = values[used], weights[used]
    if len(values) == 0:
        return float("inf")
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    wanted = (1.0 - miss) * (reached[-1] + weights.max())
    position = int(np.searchsorted(reached, wanted * (1.0 - 1e-12)))
    return float(values[order[position]]) if position < len(values) else float("inf")
