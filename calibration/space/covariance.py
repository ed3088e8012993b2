"""Covariances of few photos in many directions: Ledoit & Wolf's shrinkage towards a multiple of the identity.

Ledoit & Wolf, J. Multivariate Analysis 88, 2004. The intensity is the one that minimises the expected squared error of
the covariance, estimated from the rows themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["intensity", "shrunk_covariance", "whitening_of"]

Floats = NDArray[np.float32]


def intensity(covariance: Floats, fourth_powers: float, freedom: int, size: int) -> float:
    """Return the intensity for `covariance` (F, F) of `freedom` residuals whose |r|^4 sum to `fourth_powers`.

    `size` is F. R'R / freedom may as well be R R' / freedom, (N, N): trace and squares are the same.
    """
    if freedom < 1:
        return 1.0
    square = float(np.einsum("ij,ij->", covariance, covariance, dtype=np.float64))
    level = float(np.trace(covariance, dtype=np.float64)) / size
    distance = square / size - level * level
    noise = (fourth_powers / freedom - square) / (freedom * size)
    return float(np.clip(noise / distance, 0.0, 1.0)) if distance > 0 else 1.0


def shrunk_covariance(residuals: NDArray[np.floating], freedom: int) -> NDArray[np.float64]:
    """Return the covariance (D, D) of centred residuals (N, D) with `freedom` degrees of freedom, never singular."""
    size = residuals.shape[1]
    covariance = (residuals.T @ residuals).astype(np.float64) / max(freedom, 1)
    fourth = float(np.square(np.einsum("nd,nd->n", residuals, residuals, dtype=np.float64)).sum())
    share = intensity(covariance.astype(np.float32), fourth, freedom, size)
    level = float(np.trace(covariance)) / size
    if not level > 0:
        return np.eye(size)
    return np.asarray((1.0 - share) * covariance + max(share, 1e-4) * level * np.eye(size), np.float64)


def whitening_of(covariance: NDArray[np.float64]) -> Floats:
    """Return W (D, D) with W W' = covariance^-1."""
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)).T, np.float32)
