"""From fitted parts to the per-class arrays of the bundle, and what those rules would do with a photo.

`Allowance` states the accept conditions other than the cut points exactly as `edge.route` has them, over arrays, so
that the photos that certify are counted as the device would treat them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibration.photos.material import Material
from calibration.photos.mix import Mix
from calibration.photos.photoset import NONE, Photoset
from calibration.rules.scores import Scores
from calibration.rules.thresholds import Evidence, GroupCut
from calibration.rules.twins import successors_of
from calibration.rules.verify_fit import MAX_SET, SET_ERROR, VerifyRule
from calibration.space.crowding import crowding
from edge.bundle import Rules
from edge.confidence import p_correct
from edge.parameters import ClassInfo, ConfidenceModel, Cuts, OodModel, PrototypeTable, QualityLimits

__all__ = ["Allowance", "accepted", "class_infos", "rules_of", "share_degraded"]


_Limits: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]  # (C,) each: confidence, strangeness


@dataclass(frozen=True, slots=True, eq=False)
class Allowance:
    """What is fitted before the cut points; `twin`, `discontinued` and `fold` are per class, (C,).

    `fold` is the round in which a class was taken out to simulate look-alikes (`calibration.rules.unseen`).
    """

    confidence: ConfidenceModel
    ood: OodModel
    quality: QualityLimits
    twin: NDArray[np.int32]
    discontinued: NDArray[np.bool_]
    fold: NDArray[np.int64]

    def usable(self, photos: Photoset, scores: Scores) -> NDArray[np.bool_]:
        """Say for each photo whether it can go to accept or verify: good picture, not unknown, best one on sale."""
        good = (photos.sides_px >= self.quality.min_side_px) & (photos.sharpness >= self.quality.min_sharpness)
        near = scores.strange <= self.ood.threshold
        return np.asarray(good & near & ~self.discontinued[scores.best])

    def evidence(self, photos: Photoset, scores: Scores, unseen: Scores, weight: NDArray[np.float64]) -> Evidence:
        """Return photos with `scores`, and `unseen` as if not enrolled (or nothing), as the material of cut points."""
        alone = (self.twin == NONE) & ~self.discontinued
        again = photos if len(unseen) else photos.take(np.zeros(0, np.intp))
        return Evidence(
            scores=scores,
            unseen=unseen,
            weight=weight,
            confidence=self._confidence(scores),
            allowed=self.usable(photos, scores) & alone[scores.best],
            unseen_confidence=self._confidence(unseen),
            unseen_allowed=self.usable(again, unseen) & self._acceptable_without(again.labels, unseen.best),
            unseen_weight=weight[: len(unseen)],
        )

    def _acceptable_without(self, out: NDArray[np.int32], best: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Say for each photo (M,) whether `best` could be accepted in the round in which the photo's class `out` is.

        A twin that is out as well would not be known there: a look-alike may be the twin of a product that has none.
        """
        twin = self.twin[best]
        known = (twin != NONE) & (self.fold[np.maximum(twin, 0)] != self.fold[out])
        return np.asarray(~known & ~self.discontinued[best])

    def _confidence(self, scores: Scores) -> NDArray[np.float32]:
        return p_correct(self.confidence, scores.best.astype(np.intp), scores.similarity, scores.margin)


def accepted(cuts: Sequence[GroupCut], mix: Mix, evidence: Evidence) -> NDArray[np.bool_]:
    """Say for each photo whether the device would accept it under these cut points."""
    scores, found = evidence.scores, np.zeros(len(evidence.scores), bool)
    for cut in cuts:
        member = np.zeros(len(mix.covered), bool)
        member[list(cut.group.members)] = True
        reached = evidence.confidence >= np.float32(cut.confidence)
        reached &= scores.strange <= cut.strangeness(scores.crowding)
        found |= (member & mix.covered)[scores.best] & reached
    return np.asarray(evidence.allowed & found)


def share_degraded(cuts: Cuts, evidence: Evidence) -> float:
    """Return the weighted share of the photos that a degraded device would accept."""
    scores = evidence.scores
    reached = evidence.confidence >= cuts.strict_confidence[scores.best]
    reached &= scores.strange <= cuts.strict_strangeness[scores.best]
    return float(evidence.weight[evidence.allowed & reached].sum() / max(evidence.weight.sum(), 1e-300))


def rules_of(
    allowance: Allowance,
    done: tuple[Sequence[GroupCut], VerifyRule],
    table: PrototypeTable,
    material: Material,
    mix: Mix,
) -> Rules:
    """Return the rules of the bundle with this table; `done` is what the certifying photos set."""
    cuts, verify = done
    plain, strict, source = _accept_cuts(cuts, crowding(table), mix)
    per_class = Cuts(
        accept_confidence=plain[0],
        accept_strangeness=plain[1],
        strict_confidence=strict[0],
        strict_strangeness=strict[1],
        verify_confidence=np.full(len(source), verify.confidence, np.float32),
        source=source,
        isolated_below=max((cut.bands[-1].crowding_from for cut in cuts), default=-np.inf),
        twin=allowance.twin,
        successor=successors_of(material.products),
        set_gap=verify.set_gap,
        set_error=SET_ERROR,
        max_set=MAX_SET,
    )
    return Rules(allowance.confidence, per_class, allowance.ood, allowance.quality)


def class_infos(material: Material) -> tuple[ClassInfo, ...]:
    """Return the products in the order of every per-class array."""
    return tuple(
        ClassInfo(p.sku, p.name, p.category, p.barcode, p.status, tier.split(" ", 1)[-1])
        for p, tier in zip(material.products, material.tiers, strict=True)
    )


def _accept_cuts(
    cuts: Sequence[GroupCut], crowded: NDArray[np.float32], mix: Mix
) -> tuple[_Limits, _Limits, tuple[str, ...]]:
    """Return the cut points, those of a degraded device, and their source; `none` where nothing holds."""
    plain, strict = _nothing(len(crowded)), _nothing(len(crowded))
    source = ["none"] * len(crowded)
    for cut in cuts:
        limits, strict_limits = cut.strangeness(crowded), cut.strict_strangeness(crowded)
        alone = crowded < cut.bands[-1].crowding_from
        for index in cut.group.members if cut.certified else ():
            if mix.covered[index]:
                plain[0][index], plain[1][index] = cut.confidence, limits[index]
                strict[0][index], strict[1][index] = cut.strict_confidence, strict_limits[index]
                source[index] = "isolated" if alone[index] else cut.group.source
    return plain, strict, tuple(source)


def _nothing(classes: int) -> _Limits:
    return np.full(classes, np.inf, np.float32), np.full(classes, -np.inf, np.float32)
