"""What a detector of unknown things is, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.parameters import PrototypeTable
from edge.types import Embeddings, Expected, Similarities

__all__ = ["Method", "Parameters", "Score", "Scores", "class_means", "no_values"]

Scores: TypeAlias = NDArray[np.float32]  # (N,), higher is stranger
Score: TypeAlias = Callable[[Similarities, Embeddings, Expected], Scores]
Parameters: TypeAlias = Mapping[str, NDArray[np.float32]]


def no_values(classes: int, prototypes: int, dimension: int) -> int:  # noqa: ARG001  # the shape of the others
    """Hold nothing."""
    return 0


@dataclass(frozen=True, slots=True)
class Method:
    """`arrays` names the fitted arrays and how many axes of length D each has. The two counts take (C, K, D)."""

    name: str
    prepare: Callable[[PrototypeTable, Parameters], Score]
    operations: Callable[[int, int, int], int]
    held_values: Callable[[int, int, int], int] = no_values
    arrays: Mapping[str, int] = ()  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", dict(self.arrays))


def class_means(table: PrototypeTable) -> Embeddings:
    """Return (C, D): the mean direction of each class's prototypes, of unit length."""
    first = np.flatnonzero(np.diff(table.owners, prepend=-1))
    sums = np.add.reduceat(table.prototypes.astype(np.float32), first, axis=0)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.maximum(norms, 1e-12), np.float32)
