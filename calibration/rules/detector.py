"""Which unknown detector this catalogue gets: every method is tried on products that were taken out, one is chosen.

Protocol (OpenOOD's rules, arXiv 2306.09301, on the catalogue's own products)
- In each round some products are out of table and head (`calibration.rules.unseen`); their photos are unknown, the
  photos of the others that did not teach are known. Look-alikes (kind `near`: every FOLDS-th product is out, its
  sisters stay) and new brands (kind `brands`: whole groups are out) are told apart. Every product is out once per kind.
- A photo's score becomes a conformal p-value against the known photos of its round, so rounds with other heads can be
  put together, and `detected` at a budget a is the share of unknown photos with p <= a: the guarantee is on the known.
- Products are halved by the sha256 of their SKU: FIT photos of one half choose the method, CERTIFY photos of the other
  half give the figures, so that what certifies chose nothing, with intervals by a bootstrap over products (more photos
  of a product say little more about it).
- Methods that cost more than MAX_OPERATIONS a crop or MAX_BYTES of memory are shown and not offered. The baseline stays
  unless another method is better by WORTH at the budget, on the mean of the kinds.
Photos of unknown things and darkened, blurred, compressed photos of known ones (kind `shifted`: they are known, what is
detected of them is a false unknown) are measured with the final head and choose nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibration.rules.unseen import Round
from edge import lookup
from edge.ood import METHODS, Score, prepare
from edge.ood.method import Parameters
from edge.parameters import OodModel, PrototypeTable
from edge.types import Embeddings, Expected

__all__ = [
    "BASELINE",
    "BUDGETS",
    "ByMethod",
    "Interval",
    "KindFigure",
    "MethodFigure",
    "PValues",
    "choose",
    "figures_from_p_values",
    "joined_p_values",
    "p_values",
    "p_values_among",
    "p_values_from_rounds",
    "reports",
]

BASELINE = "max_cosine"
BUDGETS = (0.01, 0.05, 0.10)
WORTH = 0.005
MAX_OPERATIONS = 4_000_000  # of one crop: about a hundredth of a small backbone's
MAX_BYTES = 8 << 20
MOST_PHOTOS = 16_384  # of a round: nine methods on more photos of many products would take an hour and say no more
_BLOCK = 1024
_DRAWS = 200
_CERTAINTY = 0.95  # of the intervals

Floats = NDArray[np.float64]
Owners: TypeAlias = NDArray[np.int64]
ByMethod: TypeAlias = Mapping[str, "PValues"]
Seen: TypeAlias = tuple[Embeddings, Expected]  # (N, D), (N,)
Sizes: TypeAlias = tuple[int, int, int]  # products, prototypes, dimensions of a table


@dataclass(frozen=True, slots=True, eq=False)
class PValues:
    """Conformal p-values (N,) of unknown photos, small is strange, and the product or thing each shows (N,)."""

    p: Floats
    owner: NDArray[np.int64]

    def of(self, owners: NDArray[np.bool_]) -> PValues:
        """Return those of the owners that are True in (C,)."""
        chosen = owners[self.owner]
        return PValues(self.p[chosen], self.owner[chosen])


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval from a bootstrap over products."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class KindFigure:
    """How one kind of thing is told from enrolled products; `detected` is by false-unknown budget."""

    kind: str
    classes: int
    photos: int
    auroc: Interval
    fpr95: Interval
    detected: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class MethodFigure:
    """One method: what it costs on this table, and how it does, kind by kind."""

    method: str
    chosen: bool
    offered: bool
    operations: int
    memory_bytes: int
    kinds: tuple[KindFigure, ...]


def p_values(known: NDArray[np.float32], weights: Floats, unknown: NDArray[np.float32]) -> Floats:
    """Return the weighted conformal p-value of each unknown score (M,) among known ones (N,) with `weights` (N,).

    The known photos as strange or stranger, and the new one as heavy as the heaviest, over all: Tibshirani et al. 2019.
    """
    used = weights > 0
    known, weights = known[used], weights[used]
    if len(known) == 0:
        return np.ones(len(unknown))
    order = np.argsort(known, kind="stable")
    reached = np.concatenate([[0.0], np.cumsum(weights[order])])
    heaviest = float(weights.max())
    below = reached[np.searchsorted(known[order], unknown, side="left")]
    return np.asarray((reached[-1] - below + heaviest) / (reached[-1] + heaviest))


def p_values_from_rounds(rounds: Sequence[Round], labels: NDArray[np.int32], weights: Floats) -> ByMethod:
    """Return the p-values of every method for the photos outside each round; `labels` and `weights` (N,) of photos.

    A photo of weight 0 is left out, and of more than MOST_PHOTOS some, evenly.
    """
    found: dict[str, list[PValues]] = {name: [] for name in METHODS}
    some = np.linspace(0, len(labels) - 1, min(len(labels), MOST_PHOTOS)).astype(np.intp)
    labels, weights = labels[some], weights[some]
    for one in rounds:
        ready = {name: one.strangeness(name) for name in METHODS}
        outside = one.outside[some]
        for name, scores in _strangeness(one.table, ready, (one.embeddings[some], one.expected[some])).items():
            p = p_values(scores[~outside], weights[~outside], scores[outside])
            used = weights[outside] > 0
            found[name].append(PValues(p[used], labels[outside][used].astype(np.int64)))
    return {name: _joined(parts) for name, parts in found.items()}


def p_values_among(
    lesson: tuple[PrototypeTable, Parameters], known: tuple[Seen, Floats], things: tuple[Seen, Owners]
) -> ByMethod:
    """Return the p-values of every method for M things among N known photos with their weights (N,)."""
    table, parameters = lesson
    ready = {name: prepare(OodModel(name, 0.0, 0.0, parameters), table) for name in METHODS}
    inside, outside = _strangeness(table, ready, known[0]), _strangeness(table, ready, things[0])
    return {name: PValues(p_values(inside[name], known[1], outside[name]), things[1]) for name in METHODS}


def _strangeness(table: PrototypeTable, ready: Mapping[str, Score], seen: Seen) -> dict[str, NDArray[np.float32]]:
    """Return the score of every method for photos (N,), in blocks: N x C similarities would be gigabytes."""
    index, (embeddings, expected) = lookup.index_from_table(table), seen
    found = {name: np.empty(len(embeddings), np.float32) for name in ready}
    for start in range(0, len(embeddings), _BLOCK):
        part = slice(start, start + _BLOCK)
        similarities = lookup.similarities(index, embeddings[part])
        for name, score in ready.items():
            found[name][part] = score(similarities, embeddings[part], expected[part])
    return found


def choose(kinds: Mapping[str, ByMethod], skus: Sequence[str], budget: float, sizes: Sizes) -> str:
    """Return the method that detects most at `budget` of the products that choose, on the mean of the kinds.

    `kinds` maps kind to method to p-values; `sizes` are (C, K, D) of the table.
    """
    chooses = ~reports(skus)
    seen = [by_method for by_method in kinds.values() if len(by_method[BASELINE].of(chooses).p)]
    if not seen:
        return BASELINE
    rate = {
        name: float(np.mean([_detected(by_method[name].of(chooses), budget) for by_method in seen]))
        for name in METHODS
        if _offered(name, sizes)
    }
    best = max(rate, key=lambda name: (rate[name], name == BASELINE))
    return best if rate[best] >= rate[BASELINE] + WORTH else BASELINE


def figures_from_p_values(
    kinds: Mapping[str, ByMethod], chosen: str, sizes: Sizes, seed: int
) -> tuple[MethodFigure, ...]:
    """Return the figures of every method; the products that chose must have been left out of `kinds`."""
    figures = []
    for name, method in METHODS.items():
        parts = tuple(_kind(kind, by_method[name], seed) for kind, by_method in kinds.items() if len(by_method[name].p))
        memory = 4 * method.held_values(*sizes)
        figures.append(
            MethodFigure(name, name == chosen, _offered(name, sizes), method.operations(*sizes), memory, parts)
        )
    return tuple(figures)


def reports(skus: Sequence[str]) -> NDArray[np.bool_]:
    """Say for each product (C,) whether it gives figures; the others choose."""
    return np.array([hashlib.sha256(f"report {sku}".encode()).digest()[0] % 2 == 0 for sku in skus], bool)


def _offered(name: str, sizes: Sizes) -> bool:
    method = METHODS[name]
    return method.operations(*sizes) <= MAX_OPERATIONS and 4 * method.held_values(*sizes) <= MAX_BYTES


def joined_p_values(parts: Sequence[ByMethod]) -> ByMethod:
    """Return the p-values of all parts together, by method."""
    return {name: _joined([part[name] for part in parts]) for name in METHODS}


def _joined(parts: list[PValues]) -> PValues:
    if not parts:
        return PValues(np.zeros(0), np.zeros(0, np.int64))
    return PValues(np.concatenate([part.p for part in parts]), np.concatenate([part.owner for part in parts]))


def _detected(values: PValues, budget: float) -> float:
    """Return the mean over products of the share of their photos with p <= budget."""
    owners, position = np.unique(values.owner, return_inverse=True)
    counts = np.bincount(position, minlength=len(owners))
    return float((np.bincount(position, values.p <= budget, len(owners)) / counts).mean()) if len(owners) else 0.0


def _kind(kind: str, values: PValues, seed: int) -> KindFigure:
    owners, position = np.unique(values.owner, return_inverse=True)
    counts = np.bincount(position, minlength=len(owners)).astype(np.float64)
    photo = 1.0 / counts[position]
    generator = np.random.default_rng(seed)
    even = np.full(len(owners), 1.0 / len(owners))
    draws = [np.ones(len(owners)), *(generator.multinomial(len(owners), even) for _ in range(_DRAWS))]
    weights = [np.asarray(draw, np.float64)[position] * photo for draw in draws]
    order = np.argsort(values.p, kind="stable")
    rate = {
        f"{budget:.2f}": [float(weight @ (values.p <= budget) / weight.sum()) for weight in weights]
        for budget in BUDGETS
    }
    area = [float(1.0 - weight @ values.p / weight.sum()) for weight in weights]
    return KindFigure(
        kind=kind,
        classes=len(owners),
        photos=len(values.p),
        auroc=_interval(area),
        fpr95=_interval([_quantile(values.p[order], weight[order], 0.95) for weight in weights]),
        detected={budget: _interval(rates) for budget, rates in rate.items()},
    )


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    """Return the value that `share` of the weight stays at or under; `values` rise."""
    mass = np.cumsum(weights)
    return float(values[min(int(np.searchsorted(mass, share * mass[-1] - 1e-12)), len(values) - 1)])


def _interval(values: Sequence[float]) -> Interval:
    """Return the first value with the interval of the others."""
    low, high = np.quantile(np.array(values[1:]), [(1 - _CERTAINTY) / 2, (1 + _CERTAINTY) / 2])
    return Interval(values[0], float(low), float(high))
