"""What a graph recognises of labelled photos: each judged by a head that it did not teach.

The photos of a product are dealt in turn over FOLDS parts; each part is looked up in the table that the other parts
teach (`builder.discriminant`), by the device's own lookup. Every graph is dealt the same parts, so two graphs can be
compared photo by photo. A graph that was measured once is known by its bytes and not run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from builder.discriminant import dot_products, embeddings_from, table_from
from builder.labelled import Labelled, read_labelled
from builder.sensitivity import session_of
from edge import lookup
from edge.build_folder import InputSpec
from edge.types import Embeddings

__all__ = ["Best", "Judge", "Shape", "best_of"]

FOLDS = 3
BLOCK = 1024

Best: TypeAlias = NDArray[np.int32]  # (N,), the best class of each photo
Advance: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """The length of an embedding and the most prototypes of a product."""

    dimension: int
    prototypes: int


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Measures graphs on the same photos, at each of `shapes`."""

    labelled: Labelled
    shapes: tuple[Shape, ...]
    _known: dict[str, dict[Shape, Best]] = field(default_factory=dict)

    def best(self, model: onnx.ModelProto, spec: InputSpec, *, as_written: bool, advance: Advance) -> dict[Shape, Best]:
        """Return the best class of each photo by a graph with features; `advance` hears how many photos were run."""
        data = model.SerializeToString()
        key = f"{hashlib.sha256(data).hexdigest()} {spec} {as_written}"
        if key not in self._known:
            rows = self._features(data, spec, as_written, advance)
            self._known[key] = best_of(rows, self.labelled.labels, self.shapes)
        return self._known[key]

    def _features(self, data: bytes, spec: InputSpec, as_written: bool, advance: Advance) -> Embeddings:
        session = session_of(data, as_written=as_written)
        name, rows = session.get_inputs()[0].name, []
        for crops in read_labelled(self.labelled, spec):
            rows.append(session.run(None, {name: crops})[0])
            advance(len(crops))
        found: Embeddings = np.concatenate(rows)
        return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.float32(0))


def best_of(features: Embeddings, labels: Best, shapes: Sequence[Shape]) -> dict[Shape, Best]:
    """Return for each shape the best class (N,) of each photo, by heads that the photo did not teach.

    Every class has at least two photos.
    """
    products = dot_products(features)
    found = {shape: np.zeros(len(labels), np.int32) for shape in shapes}
    most = max(shape.dimension for shape in shapes)
    for judged, taught in _parts(labels):
        rows = embeddings_from(products, taught, labels[taught], most)
        for shape in shapes:
            cut = _first(rows, shape.dimension)
            index = lookup.index_from_table(table_from(cut[taught], labels[taught], shape.prototypes))
            for start in range(0, len(judged), BLOCK):
                block = judged[start : start + BLOCK]
                found[shape][block] = lookup.similarities(index, cut[block]).argmax(axis=1)
    return found


def _parts(labels: Best) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield (judged, taught) positions; with two photos of a class each part still has one to teach with."""
    part = np.zeros(len(labels), np.int8)
    for label in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == label)
        part[members] = np.arange(len(members)) % FOLDS
    for number in range(FOLDS):
        yield np.flatnonzero(part == number), np.flatnonzero(part != number)


def _first(rows: Embeddings, dimension: int) -> Embeddings:
    cut = rows[:, :dimension]
    norms = np.linalg.norm(cut, axis=1, keepdims=True)
    return np.asarray(np.where(norms > 1e-12, cut / np.maximum(norms, 1e-12), 0.0), np.float32)
