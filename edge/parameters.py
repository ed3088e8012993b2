"""What calibration fitted and the device obeys: frozen arrays, one structure per stage, one row per class.

C classes (SKUs), K prototypes, D dimensions of the embedding. The order of the classes is that of `ClassInfo` in the
bundle. Every per-class array has shape (C,); a value that must never be reached is +inf (-inf for an upper
limit), never NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClassInfo", "ConfidenceModel", "Cuts", "OodModel", "PrototypeTable", "QualityLimits"]


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One product. `status` is active, new or discontinued; `tier` names the group its cut points come from."""

    sku: str
    name: str
    category: str
    barcode: str
    status: str
    tier: str


@dataclass(frozen=True, slots=True, eq=False)
class PrototypeTable:
    """The int8 prototypes: row k stands for `prototypes[k] * scale`, nearly of unit length.

    `owners[k]` is the class of row k; rows are sorted by owner and every class owns at least one row.
    """

    prototypes: NDArray[np.int8]  # (K, D)
    scale: float
    owners: NDArray[np.int32]  # (K,), ascending from 0 to C - 1


@dataclass(frozen=True, slots=True, eq=False)
class OodModel:
    """A score above `threshold` is unknown; `false_unknown_budget` is the share of known crops that it costs.

    `parameters` are the method's own arrays, float32; none has an axis over the classes.
    """

    method: str  # a name of edge.ood
    threshold: float
    false_unknown_budget: float
    parameters: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ConfidenceModel:
    """P(best is right) = sigmoid(bias + class_offset + similarity_weight * s1 + margin_weight * (s1 - s2))."""

    similarity_weight: float
    margin_weight: float
    bias: float
    class_offset: NDArray[np.float32]  # (C,)


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Per-class cut points. A class that is not certified has +inf in `accept_confidence`.

    `strict_confidence` and `strict_strangeness` take the place of the two accept cut points while the device is
    degraded: certified for a stricter promise, and of no class looser than those.
    `set_gap` makes the verify set: every product whose similarity is within `set_gap` of the best, conformal at
    `set_error`; a set of more than `max_set` products is for a person.
    """

    accept_confidence: NDArray[np.float32]  # (C,)
    accept_strangeness: NDArray[np.float32]  # (C,), the largest score of the detector; -inf where nothing is certified
    strict_confidence: NDArray[np.float32]  # (C,), +inf where the stricter promise certifies nothing
    strict_strangeness: NDArray[np.float32]  # (C,), -inf there
    verify_confidence: NDArray[np.float32]  # (C,)
    source: tuple[str, ...]  # (C,), where the cut points come from: class, isolated, global, new or none
    twin: NDArray[np.int32]  # (C,), index of the product it cannot be told from, or -1
    successor: NDArray[np.int32]  # (C,), index of the product that replaced a discontinued one, or -1
    isolated_below: float  # products whose centre has a lower cosine to every other one stand alone; -inf: none does
    set_gap: float
    set_error: float
    max_set: int


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Crops under these limits never reach accept: the shorter side in pixels, and the variance of the Laplacian."""

    min_side_px: int
    min_sharpness: float
