"""Accept cut points with a certificate: among what is accepted, at most `accept_error` is wrong.

The claim, for each group of products (a class, tiers, or all) at once, with probability `certainty` over the photos
that certify:
- of the photos that are accepted as a product of the group, in the stated mix, at most `accept_error` show another one;
- of the photos whose product is not enrolled, and whose best candidate is of the group, at most `near_unknown` are
  accepted (simulated by `calibration.rules.unseen`).

How: a photo is accepted when confidence reaches its cut point and the score of the unknown detector stays under its
own. `calibration.rules.cut_path` lays a path of such pairs, strict to liberal, on photos that do not certify. On the
photos that certify, it is walked from its start towards the liberal end as a fixed sequence of tests, each of both
claims at the full level (Learn then Test: Angelopoulos et al. 2021, arXiv 2110.01052; selective risk: Geifman &
El-Yaniv 2017, arXiv 1705.08500), and the walk ends at the first that fails. Of the certified steps the one that accepts
most is taken. The error probability is split over the groups.

A group that certifies nothing gets a confidence of +inf: its products are never accepted. Groups with too few photos
are joined with the next before anything is looked at. Limits: the certificate is about products and photos like those
of the catalogue; the bound is on the error in the whole group, not of each product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.rules.bounds import clean_photos_needed, upper_bound
from calibration.rules.cut_path import Side, Sums, path_from_learn
from calibration.rules.scores import Scores

__all__ = ["Evidence", "Group", "GroupCut", "Targets", "groups_of", "thresholds_from_scores"]

ROOM = 6.0  # a group needs this many times the clean photos before it stands alone
MOST_ALONE = 20  # classes with cut points of their own: each group costs all others certainty

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Targets:
    """What is promised: shares in (0, 1). `certainty` is the probability that the promise holds."""

    accept_error: float
    near_unknown: float
    certainty: float


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Photos with their weights in the mix, N of them, and M again as if their products were not enrolled.

    `confidence` (N,) is P(correct) of the best candidate, `allowed` (N,) says whether every rule but the cut points
    lets the photo be accepted; `unseen_...` (M,) are the same for the photos of products taken out.
    """

    scores: Scores
    weight: Floats
    confidence: NDArray[np.float32]
    allowed: NDArray[np.bool_]
    unseen: Scores
    unseen_weight: Floats
    unseen_confidence: NDArray[np.float32]
    unseen_allowed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Group:
    """Products that share cut points: their positions, a name for people, and how they came together.

    `source` is `class` for a product with the photos to stand alone, `tier` for one or more tiers, `global` for all.
    """

    name: str
    source: str
    members: tuple[int, ...]

    def flags(self, classes: int) -> NDArray[np.bool_]:
        """Say for each of the classes (C,) whether it is in the group."""
        inside = np.zeros(classes, bool)
        inside[list(self.members)] = True
        return inside


@dataclass(frozen=True, slots=True)
class GroupCut:
    """Cut points of a group, +inf and -inf when nothing is certified, and what the certifying photos say at them.

    `photos` have their best candidate in the group. Shares are weighted; `error_bound` and `near_unknown_bound` are
    what the certificate says; `effective` is the weight of the accepted photos in units of the heaviest photo (of all
    photos when nothing is certified) and `needed` how much of it a certificate without any error takes.
    """

    group: Group
    confidence: float
    strangeness: float
    photos: int
    accepted: int
    wrong: int
    share: float
    error: float
    error_bound: float
    near_unknown: float
    near_unknown_bound: float
    effective: float
    needed: int

    @property
    def certified(self) -> bool:
        """Whether anything may be accepted."""
        return self.confidence < np.inf


def groups_of(
    names: Sequence[str], tiers: Sequence[str], share: Floats, photos: NDArray[np.int64], targets: Targets
) -> list[Group]:
    """Return groups of classes, the weakest tiers first, such that each has the photos to certify something.

    A class alone that has them is a group of its own; of the others the tiers are joined until each group has them.
    `names` (C,) are for people; `tiers` (C,) name a tier per class as `0 tail`, `1 mid`, ..., ordered by name. `share`
    (C,) is the mix and `photos` (C,) the certifying photos per class: only counts are looked at, and since an error
    may be a photo of any product, a group's photos count in units of the heaviest photo of all.
    """
    heaviest = float(np.max(share / np.maximum(photos, 1), initial=0.0))
    strength = share / max(heaviest, 1e-300)
    rich = [int(c) for c in np.argsort(-strength, kind="stable")]
    fewest = _photos_needed(targets, 2)
    rich = [c for c in rich if strength[c] >= fewest and photos[c] > 0][:MOST_ALONE]
    for alone in range(len(rich), -1, -1):
        rest = sorted(set(range(len(tiers))) - set(rich[:alone]))
        singles = [Group(names[c], "class", (c,)) for c in rich[:alone]]
        for parts in _joined([tiers[c] for c in rest]):
            groups = [_of_tiers(part, rest, tiers, whole=len(parts) == 1 and not singles) for part in parts]
            needed = _photos_needed(targets, len(groups) + len(singles))
            if all(strength[list(one.members)].sum() >= needed for one in (*groups, *singles)):
                return [*groups, *singles]
    return [Group(_plain(sorted(set(tiers))), "global", tuple(range(len(tiers))))]


def _joined(tiers: Sequence[str]) -> list[list[list[str]]]:
    """Return the ways to join tiers, most groups first: the weakest ones together, the others each alone."""
    names = sorted(set(tiers))
    return [
        [names[: len(names) - count + 1], *([name] for name in names[len(names) - count + 1 :])]
        for count in range(len(names), 0, -1)
    ]


def _of_tiers(part: Sequence[str], rest: Sequence[int], tiers: Sequence[str], whole: bool) -> Group:
    return Group(_plain(part), "global" if whole else "tier", tuple(c for c in rest if tiers[c] in part))


def _plain(tiers: Sequence[str]) -> str:
    """Return the tiers' names without their order, joined."""
    return "+".join(tier.split(" ", 1)[-1] for tier in tiers)


def _photos_needed(targets: Targets, groups: int) -> float:
    return ROOM * clean_photos_needed(targets.accept_error, (1.0 - targets.certainty) / groups)


def thresholds_from_scores(
    learn: Evidence, certify: Evidence, groups: Sequence[Group], classes: int, targets: Targets
) -> list[GroupCut]:
    """Return one cut per group of the `classes` C; no photo may be in both `learn` and `certify`."""
    miss = (1.0 - targets.certainty) / len(groups)
    largest = float(certify.weight.max(initial=0.0))
    cuts = []
    for group in groups:
        member = group.flags(classes)
        cuts.append(_cut(group, _of(learn, member), _of(certify, member), largest, (targets, miss)))
    return cuts


def _of(evidence: Evidence, member: NDArray[np.bool_]) -> Side:
    scores, weight, unseen, rest_weight = evidence.scores, evidence.weight, evidence.unseen, evidence.unseen_weight
    inside = member[scores.best] & (weight > 0)
    rest_inside = member[unseen.best] & (rest_weight > 0)
    taken, rest = inside & evidence.allowed, rest_inside & evidence.unseen_allowed
    return Side(
        confidence=evidence.confidence[taken],
        nearness=-scores.strange[taken],
        weight=weight[taken],
        wrong=~scores.correct[taken],
        rest_confidence=evidence.unseen_confidence[rest],
        rest_nearness=-unseen.strange[rest],
        rest_weight=rest_weight[rest],
        rest_total=float(rest_weight[rest_inside].sum()),
        mass=float(weight[inside].sum()),
        photos=int(inside.sum()),
    )


def _cut(group: Group, learn: Side, certify: Side, largest: float, level: tuple[Targets, float]) -> GroupCut:
    targets, miss = level
    if len(learn.weight) == 0 or len(certify.weight) == 0 or not largest > 0:
        return _nothing(group, certify, largest, level)
    path = path_from_learn(learn, largest, (targets.accept_error, targets.near_unknown), miss)
    sums = certify.sums(path.confidences, path.nearest, largest).at(path.levels)
    p = sums.p_value(targets.accept_error, targets.near_unknown)
    failed = np.flatnonzero(p[path.start :] > miss)
    end = path.start + (int(failed[0]) if len(failed) else len(p) - path.start)
    if end == path.start:
        return _nothing(group, certify, largest, level)
    chosen = path.start + int(sums.total[path.start : end].argmax())
    cut = (float(path.confidences[chosen]), float(path.nearest[path.levels[chosen]]))
    return _describe(group, certify, cut, (sums, chosen), level)


def _describe(
    group: Group,
    certify: Side,
    cut: tuple[float, float],
    at: tuple[Sums, int],
    level: tuple[Targets, float],
) -> GroupCut:
    sums, step = at
    targets, miss = level
    taken = (certify.confidence >= cut[0]) & (certify.nearness >= cut[1])
    total, wrong, rest = sums.total[step], sums.wrong[step], sums.rest[step]
    share = total / certify.mass
    return GroupCut(
        group=group,
        confidence=cut[0],
        strangeness=-cut[1],
        photos=certify.photos,
        accepted=int(taken.sum()),
        wrong=int((taken & certify.wrong).sum()),
        share=float(share),
        error=float(wrong / total),
        error_bound=upper_bound(total, wrong, sums.wrong_squares[step], sums.largest, miss),
        near_unknown=float(rest / sums.rest_total) if sums.rest_total > 0 else 0.0,
        near_unknown_bound=upper_bound(sums.rest_total, rest, sums.rest_squares[step], sums.largest, miss),
        effective=float(total / sums.largest),
        needed=clean_photos_needed(targets.accept_error, miss),
    )


def _nothing(group: Group, certify: Side, largest: float, level: tuple[Targets, float]) -> GroupCut:
    effective = certify.mass / largest if largest > 0 else 0.0
    needed = clean_photos_needed(level[0].accept_error, level[1])
    return GroupCut(group, np.inf, -np.inf, certify.photos, 0, 0, 0.0, 0.0, 1.0, 0.0, 1.0, effective, needed)
