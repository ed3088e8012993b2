"""The arrays that detectors need, fitted on the photos that teach: covariances, and the softmax temperature.

`parameters_of` picks those that one method reads. Covariances are of unit-length embeddings around their class's mean
(tied: one for all classes) and around the mean of all (background), shrunk as Ledoit & Wolf do. The temperature is the
one under which the similarities of photos that did not teach, as a softmax, have the greatest likelihood.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.rules.scores import Scores
from calibration.space.covariance import shrunk_covariance, whitening_of
from edge.ood import METHODS
from edge.ood.method import Parameters
from edge.types import Embeddings

__all__ = ["TEMPERATURES", "parameters_from_photos", "parameters_of", "temperature_from_scores"]

TEMPERATURES = tuple(0.01 * 2.0 ** (step / 2) for step in range(13))  # 0.01 to 0.64, of cosines


def parameters_from_photos(embeddings: Embeddings, labels: NDArray[np.int32], temperature: float) -> Parameters:
    """Return the arrays of every detector for embeddings (N, D) with classes (N,) in 0..C-1, each present."""
    order = np.argsort(labels, kind="stable")
    embeddings, labels = embeddings[order], labels[order]
    counts = np.bincount(labels)
    sums = np.add.reduceat(embeddings, np.concatenate([[0], np.cumsum(counts)[:-1]]), axis=0)
    residuals = embeddings - (sums / counts[:, None].astype(np.float32))[labels]
    centre = embeddings.mean(axis=0, dtype=np.float64)
    return {
        "temperature": np.array(temperature, np.float32),
        "whitening": whitening_of(shrunk_covariance(residuals, len(labels) - len(counts))),
        "background_whitening": whitening_of(shrunk_covariance(embeddings - centre, len(labels) - 1)),
        "background_mean": centre.astype(np.float32),
    }


def parameters_of(method: str, parameters: Parameters) -> Parameters:
    """Return the arrays that this method reads."""
    return {name: parameters[name] for name in METHODS[method].arrays}


def temperature_from_scores(scores: Scores, weights: NDArray[np.float64]) -> float:
    """Return the best of TEMPERATURES for photos that did not teach; only their few best classes are looked at."""
    used = (weights > 0) & (scores.own_gap < 2.5)
    if not used.any():
        return float(TEMPERATURES[len(TEMPERATURES) // 2])
    behind = (scores.top[used] - scores.similarity[used, None]).astype(np.float64)
    own = scores.own_gap[used].astype(np.float64)
    losses = []
    for temperature in TEMPERATURES:
        rest = np.exp(behind / temperature).sum(axis=1)
        losses.append(float(np.average(own / temperature + np.log(rest), weights=weights[used])))
    return float(TEMPERATURES[int(np.argmin(losses))])
