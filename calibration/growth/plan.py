"""What new products would do to those on sale, before they go live.

The catalogue is rehearsed twice (`calibration.growth.rehearsal`): as it is, and with the new products' photos in head
and table. Every validation photo of a product on sale is scored by a head that it did not teach, before and after.

- A product's loss is the mean fall of P(right) over its photos, P(right) = sigmoid(lead / SOFTNESS), lead being how far
  its own product is ahead of the best other one (negative when behind): a few photos that are nearly lost say more than
  none that is lost yet. The loss of plain counts is given beside it.
- It is endangered by the new product that took its photos, or else by the new one whose centroid lies nearest.
- Automation before and after is the share of its photos that certificates accept, on average over DRAWS of them.
- New products that become twins, and those that need more photos, with the reason.

Limits: products without validation photos have no loss (None) and come last. A new product without validation photos
cannot be told to be confused itself, only to confuse others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.fit import Settings
from calibration.growth.compressed import Space
from calibration.growth.rehearsal import Rehearsal, narrowed, rehearse
from calibration.growth.trial import accepted_photos
from calibration.photos.material import Material
from calibration.rules.lesson import Scored
from calibration.rules.scores import Scores
from calibration.rules.twins import TwinPair, twins_from_scores
from edge.build_folder import InputSpec
from edge.errors import CatalogueError
from edge.types import Embeddings

__all__ = ["Endangered", "Newcomer", "Plan", "leads", "plan_for"]

# Of 0.0001 to 0.2 the best, with 0.003 and 0.01, for the order of measured losses on three halves of one catalogue made
# for tuning: Spearman 0.43, and 0.39 at 0.03. Falls alone, neighbours' photos around the product's own centre and the
# nearest new centre were mixed in and gave 0.43 to 0.45, so they were not taken.
SOFTNESS = 0.005
DRAWS = 8
FEW_REFERENCE = 5  # fewer are the tail of a catalogue
FEW_VALIDATION = 6  # of these half certify
_BLOCK = 1024

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Endangered:
    """A product on sale; indices are classes of the joint material. Shares are of its `photos` validation photos."""

    product: int
    rival: int
    cosine: float
    photos: int
    loss: float | None
    top1: tuple[float, float]
    accept: tuple[float, float]
    taken: int


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A new product: `needs` says which photos it lacks and why, `twin` is a class of the joint material or None."""

    product: int
    nearest: int
    cosine: float
    reference_photos: int
    validation_photos: int
    top1: float | None
    twin: int | None
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All products on sale, the most endangered first; all new ones; shares of all photos before and after."""

    endangered: tuple[Endangered, ...]
    newcomers: tuple[Newcomer, ...]
    twins: tuple[TwinPair, ...]
    top1: tuple[float, float]
    accept: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Probed:
    """Validation photos of products on sale, in one order: `label` in the joint material, lead and share accepted."""

    digests: tuple[bytes, ...]
    label: NDArray[np.int32]
    best: NDArray[np.int32]
    lead: Floats
    accepted: Floats


def plan_for(joint: Material, new: NDArray[np.bool_], space: Space, spec: InputSpec, settings: Settings) -> Plan:
    """Return the plan; `new` (C,) flags the new products. Test photos are not looked at.

    Raises CatalogueError when products on sale have no validation photos.
    """
    nothing = np.zeros(0, np.intp)
    joint = replace(joint, test=joint.test.take(nothing))
    before = rehearse(narrowed(joint, ~new), space, settings)
    after = rehearse(joint, space, settings)
    if before is None or after is None:
        raise CatalogueError(
            "no two products on sale with validation photos, expected some: what new products would do to them is "
            "measured on these photos"
        )
    old = np.flatnonzero(~new)
    first = _probed(before, old, spec, settings)
    second = _probed(after, np.arange(len(new)), spec, settings)
    order = {digest: index for index, digest in enumerate(second.digests)}
    second = _taken(second, np.array([order[digest] for digest in first.digests], np.intp))
    rival = _nearest(after.centres, old, np.flatnonzero(new))
    mine = _members(first.label, len(new))
    threatened = [
        _endangered((int(c), int(near)), mine[c], (first, second), new, after.centres)
        for c, near in zip(old, rival, strict=True)
    ]
    twins = tuple(twins_from_scores(after.centres, after.validation.scores))
    return Plan(
        endangered=tuple(sorted(threatened, key=lambda one: (one.loss is None, -(one.loss or 0.0), one.product))),
        newcomers=tuple(_newcomers(np.flatnonzero(new), after, twins)),
        twins=tuple(pair for pair in twins if new[pair.first] or new[pair.second]),
        top1=(_by_product(first.lead > 0, first.label), _by_product(second.lead > 0, first.label)),
        accept=(_by_product(first.accepted, first.label), _by_product(second.accepted, first.label)),
    )


def leads(scores: Scores) -> Floats:
    """Return (N,): how far the true product is ahead of the best other one, negative when it is behind."""
    return np.where(scores.correct, scores.margin, -scores.own_gap).astype(np.float64)


def _probed(rehearsal: Rehearsal, number: NDArray[np.intp], spec: InputSpec, settings: Settings) -> _Probed:
    """Return the validation photos; `number` (C,) are the joint classes of the rehearsal's."""
    probes: Scored = rehearsal.validation
    return _Probed(
        digests=probes.photos.digests,
        label=number[probes.scores.true].astype(np.int32),
        best=number[probes.scores.best].astype(np.int32),
        lead=leads(probes.scores),
        accepted=accepted_photos(rehearsal, probes, spec, settings, DRAWS),
    )


def _taken(probed: _Probed, chosen: NDArray[np.intp]) -> _Probed:
    return _Probed(
        tuple(probed.digests[i] for i in chosen),
        probed.label[chosen],
        probed.best[chosen],
        probed.lead[chosen],
        probed.accepted[chosen],
    )


def _nearest(centres: Embeddings, asked: NDArray[np.intp], among: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return for each class of `asked` the one of `among`, another than itself, whose centre lies nearest."""
    found = np.empty(len(asked), np.intp)
    for start in range(0, len(asked), _BLOCK):
        some = asked[start : start + _BLOCK]
        cosine = centres[some] @ centres[among].T
        cosine[some[:, None] == among[None, :]] = -2.0
        found[start : start + _BLOCK] = among[cosine.argmax(axis=1)]
    return found


def _members(label: NDArray[np.int32], classes: int) -> list[NDArray[np.intp]]:
    """Return the positions of each class (C,) in `label` (N,), rising."""
    return list(np.split(np.argsort(label, kind="stable"), np.cumsum(np.bincount(label, minlength=classes))[:-1]))


def _endangered(
    pair: tuple[int, int],
    mine: NDArray[np.intp],
    probed: tuple[_Probed, _Probed],
    new: NDArray[np.bool_],
    centres: Embeddings,
) -> Endangered:
    """Return what becomes of a product; `pair` is it and the new one nearest to it, `mine` are its photos."""
    (product, nearest), (first, second) = pair, probed
    takers = Counter(int(best) for best in second.best[mine] if new[best])
    rival = takers.most_common(1)[0][0] if takers else nearest
    return Endangered(
        product=product,
        rival=rival,
        cosine=float(centres[product] @ centres[rival]),
        photos=len(mine),
        loss=float((_right(first.lead[mine]) - _right(second.lead[mine])).mean()) if len(mine) else None,
        top1=(_mean(first.lead[mine] > 0), _mean(second.lead[mine] > 0)),
        accept=(_mean(first.accepted[mine]), _mean(second.accepted[mine])),
        taken=sum(takers.values()),
    )


def _newcomers(new: NDArray[np.intp], after: Rehearsal, twins: tuple[TwinPair, ...]) -> Iterator[Newcomer]:
    """Yield what is known of each new product."""
    scores, centres = after.validation.scores, after.centres
    reference = np.bincount(after.material.reference.labels, minlength=len(centres))
    members = _members(scores.true, len(centres))
    partner = {pair.first: pair.second for pair in twins} | {pair.second: pair.first for pair in twins}
    near = _nearest(centres, new, np.arange(len(centres)))
    for product, nearest in zip(new.tolist(), near.tolist(), strict=True):
        photos = len(members[product])
        top1 = _mean(scores.correct[members[product]]) if photos else None
        yield Newcomer(
            product=product,
            nearest=nearest,
            cosine=float(centres[product] @ centres[nearest]),
            reference_photos=int(reference[product]),
            validation_photos=photos,
            top1=top1,
            twin=partner.get(product),
            needs=tuple(_needs(int(reference[product]), photos, None if product in partner else top1)),
        )


def _needs(reference: int, validation: int, top1: float | None) -> Iterator[str]:
    """Yield which photos a new product lacks; `top1` is None where confusions have another reason."""
    if reference < FEW_REFERENCE:
        yield f"{FEW_REFERENCE - reference} more reference photos, it has {reference}"
    if validation == 0:
        yield f"{FEW_VALIDATION} validation photos: without any it is never accepted"
    elif validation < FEW_VALIDATION:
        yield f"{FEW_VALIDATION - validation} more validation photos, it has {validation}"
    if top1 is not None and top1 < 0.5:
        yield f"other views: only {top1:.0%} of its validation photos are recognised"


def _right(lead: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-lead / SOFTNESS)))


def _mean(values: NDArray[np.bool_] | Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _by_product(values: NDArray[np.bool_] | Floats, label: NDArray[np.int32]) -> float:
    """Return the mean over products of the mean over their photos."""
    counts = np.bincount(label)
    return float((np.bincount(label, values.astype(np.float64))[counts > 0] / counts[counts > 0]).mean())
