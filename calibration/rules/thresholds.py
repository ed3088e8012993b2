"""Accept cut points with a certificate: among what is accepted, at most `accept_error` is wrong.

The claim, for each group of products at once (a class with the photos to stand alone, and all others), with probability
`certainty` over the photos that certify:
- of the photos that are accepted as a product of the group, in the stated mix, at most `accept_error` show another one,
  and the same of each part of the group: tiers with the photos for it, the others joined;
- of the photos whose product is not enrolled, and whose best candidate is of the group, at most `near_unknown` are
  accepted (simulated by `calibration.rules.unseen`), and the same where the best candidate stands alone in the table
  and where it does not (`calibration.space.crowding`).

How: a photo is accepted when confidence reaches its cut point and the score of the unknown detector stays under its
own, which is another one for products that stand alone. `calibration.rules.cut_path` lays a path of such cut points,
strict to liberal, on photos that do not certify. On the photos that certify, it is walked from its start towards the
liberal end as a fixed sequence of tests, each of all claims at the full level (Learn then Test: Angelopoulos et al.
2021, arXiv 2110.01052; selective risk: Geifman & El-Yaniv 2017, arXiv 1705.08500), and the walk ends at the first that
fails. Of the certified steps the one that accepts most is taken, of those at which tiers without a claim of their own
should keep the target too (EVEN). A step passes only if no claim fails, so more claims cost photos, not error
probability; that is split over the groups, and between this walk and a second one with the fewest claims, which is
taken where the first certifies nothing (FIRST).

Why claims by band: which products a new look-alike is going to resemble nobody knows. Of simulated ones a twentieth to
a tenth lie beside a product without any other sister, of those that came a quarter did, and with one limit for all up
to a third of these was accepted. Claims of parts and bands are left out where photos that do not certify say that they
would cost too much (KEEP); the cut points say which claims they hold.

A group that certifies nothing gets a confidence of +inf: its products are never accepted. Limits: the certificate is
about products and photos like those of the catalogue; the bound is on the error in the whole part, not of each product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.rules.bounds import clean_photos_needed, upper_bound
from calibration.rules.cut_path import Claims, Path, Side, Sums, path_from_learn, sums_along, walked
from calibration.rules.degraded import strict_cuts
from calibration.rules.groups import ROOM, Group, Part, Targets
from calibration.rules.scores import Scores

__all__ = ["BandCut", "Evidence", "GroupCut", "PartFigure", "thresholds_from_scores"]

APART = 0.2  # the share of look-alikes whose best candidate counts as standing alone
EVEN = 0.5  # of the accept error: what a tier should keep, so that other photos keep the whole of it
KEEP = 0.8  # of what fewer claims should accept
FIRST = 0.8  # of the error probability: for the walk with all claims

Floats = NDArray[np.float64]


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
class PartFigure:
    """What the certifying photos say about a part: `photos` have their best candidate in it; shares are weighted.

    `error_bound` is what the certificate says, 1 where it does not reach.
    """

    name: str
    products: int
    photos: int
    accepted: int
    wrong: int
    share: float
    error: float
    error_bound: float


@dataclass(frozen=True, slots=True)
class BandCut:
    """The largest strangeness that is accepted of products whose crowding is at least `crowding_from`, up to the next.

    `nearer` is the share of the photos there that lie as near, whatever else speaks against them. `near_unknown` is the
    share of look-alikes accepted there and `near_unknown_bound` what the certificate says, 1 where it does not reach.
    """

    crowding_from: float
    strangeness: float
    nearer: float
    near_unknown: float
    near_unknown_bound: float
    strict_strangeness: float


@dataclass(frozen=True, slots=True)
class GroupCut:
    """Cut points of a group, +inf when nothing is certified, and what the certifying photos say at them.

    `strict_...` are those of a degraded device (`calibration.rules.degraded`), inside the others.

    `bands` rise in crowding. Figures are those of PartFigure and BandCut over the whole group; `effective` is the
    weight of the accepted photos in units of the heaviest photo (of all photos when nothing is certified) and `needed`
    how much of it a certificate without any error takes.
    """

    group: Group
    confidence: float
    bands: tuple[BandCut, ...]
    parts: tuple[PartFigure, ...]
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
    strict_confidence: float = np.inf
    strict_error: float = 1.0  # what is promised of it: 1 where nothing is certified
    strict_near_unknown: float = 1.0

    @property
    def certified(self) -> bool:
        """Whether anything may be accepted."""
        return self.confidence < np.inf

    def strangeness(self, crowding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cut point for products of this crowding (N,), elementwise."""
        return self._limits(crowding, [band.strangeness for band in self.bands])

    def strict_strangeness(self, crowding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the same for a degraded device."""
        return self._limits(crowding, [band.strict_strangeness for band in self.bands])

    def _limits(self, crowding: NDArray[np.float32], of_bands: list[float]) -> NDArray[np.float32]:
        edges = [band.crowding_from for band in self.bands[1:]]
        return np.asarray(np.array(of_bands, np.float32)[np.digitize(crowding, edges)])


def thresholds_from_scores(
    learn: Evidence, certify: Evidence, groups: Sequence[Group], classes: int, targets: Targets, strict: bool = True
) -> list[GroupCut]:
    """Return one cut per group of the `classes` C; no photo may be in both `learn` and `certify`.

    Without `strict` there are none for a degraded device, which takes as long again.
    """
    miss = (1.0 - targets.certainty) / len(groups)
    return [_Certifying(group, learn, certify, classes, targets, miss).cut(strict) for group in groups]


class _Certifying:
    """One group's photos in cells, and the walk over them."""

    def __init__(
        self, group: Group, learn: Evidence, certify: Evidence, classes: int, targets: Targets, miss: float
    ) -> None:
        self._group, self._targets, self._miss = group, targets, miss
        self._largest = float(certify.weight.max(initial=0.0))
        self._flags = [_flags(part, classes) for part in group.parts]
        self._edges = self._edges_of(learn)
        self._seen = certify
        self._learn, self._certify = self._cells(learn, self._flags), self._cells(certify, self._flags)
        self._tiers = self._cells(certify, [_flags(tier, classes) for tier in group.tiers or group.parts])

    def cut(self, strict: bool) -> GroupCut:
        """Walk the path and describe the step that is taken."""
        if not (_any(self._learn) and _any(self._certify) and self._largest > 0):
            return self._nothing()
        for claims, path in self._walks():
            sums = sums_along(self._certify, path, self._largest)
            end = walked(sums.p_value(claims), path.start, claims.miss)
            if end > path.start:
                step = self._taken(path, np.arange(path.start, end))
                cut = self._describe(claims, path, sums, step)
                return self._with_strict(cut, (claims, path), step) if strict else cut
        return self._nothing()

    def _with_strict(self, cut: GroupCut, walk: tuple[Claims, Path], taken: int) -> GroupCut:
        found = strict_cuts(self._learn, self._certify, self._largest, walk, taken)
        if found is None:
            return cut
        bands = [replace(band, strict_strangeness=-near) for band, near in zip(cut.bands, found.nearest, strict=True)]
        return replace(
            cut,
            bands=tuple(bands),
            strict_confidence=found.confidence,
            strict_error=found.accept_error,
            strict_near_unknown=found.near_unknown,
        )

    def _taken(self, path: Path, certified: NDArray[np.intp]) -> int:
        """Return the certified step that accepts most of those at which every tier should keep the target by itself.

        Few photos say little about a tier, so what is expected of it is a forecast; where no step keeps EVEN of the
        target in all tiers, the one that comes nearest is taken.
        """
        sums = replace(sums_along(self._tiers, path, self._largest), forecast=True)
        wrong, _ = sums.errors((1,))
        worst = (wrong / np.maximum(sums.total.sum(axis=1), 1e-300)).max(axis=0)[certified]
        even = certified[worst <= EVEN * self._targets.accept_error]
        if not len(even):
            return int(certified[worst.argmin()])
        return int(even[sums.total.sum(axis=(0, 1))[even].argmax()])

    def _walks(self) -> Iterator[tuple[Claims, Path]]:
        """Yield the claims and path to walk, and those of a second walk where there are fewer claims to try."""
        first = self._first()
        yield self._path(first)
        if first < self._miss:
            claims = self._claims(self._miss - first, False, False)
            yield claims, path_from_learn(self._learn, self._largest, claims)

    def _first(self) -> float:
        """Return the error probability of the first walk: all of it where there is but one part and one band."""
        return self._miss if len(self._flags) == len(self._edges) == 1 else FIRST * self._miss

    def _claims(self, miss: float, by_part: bool, by_band: bool) -> Claims:
        return Claims(self._targets.accept_error, self._targets.near_unknown, miss, by_part, by_band)

    def _path(self, miss: float) -> tuple[Claims, Path]:
        """Return the most claims that should keep KEEP of what fewer of them accept, with the path for them."""
        found = []
        for by_part, by_band in ((True, True), (False, True), (False, False)):
            if by_part > (len(self._flags) > 1) or by_band > (len(self._edges) > 1):
                continue
            claims = self._claims(miss, by_part, by_band)
            found.append((claims, path_from_learn(self._learn, self._largest, claims)))
        most = max(path.expected for _, path in found)
        return next((claims, path) for claims, path in found if path.expected >= KEEP * most)

    def _edges_of(self, learn: Evidence) -> list[float]:
        """Return the crowding from which each band begins: one band, or two when both have the look-alikes for it."""
        inside = np.any([flags[learn.unseen.best] for flags in self._flags], axis=0) & (learn.unseen_weight > 0)
        crowding, weight = learn.unseen.crowding[inside], learn.unseen_weight[inside]
        needed = ROOM * clean_photos_needed(self._targets.near_unknown, self._miss)
        if not len(weight) or not float(weight.sum()) * APART >= needed * self._largest:
            return [-np.inf]
        order = np.argsort(crowding, kind="stable")
        mass = np.cumsum(weight[order])
        return [-np.inf, float(crowding[order][np.searchsorted(mass, APART * mass[-1])])]

    def _cells(self, evidence: Evidence, parts: Sequence[NDArray[np.bool_]]) -> list[list[Side]]:
        bands = range(len(self._edges))
        return [[self._side(evidence, flags, band) for band in bands] for flags in parts]

    def _side(self, evidence: Evidence, flags: NDArray[np.bool_], band: int) -> Side:
        scores, weight, unseen, rest_weight = evidence.scores, evidence.weight, evidence.unseen, evidence.unseen_weight
        inside = flags[scores.best] & self._in_band(scores, band) & (weight > 0)
        rest_inside = flags[unseen.best] & self._in_band(unseen, band) & (rest_weight > 0)
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

    def _in_band(self, scores: Scores, band: int) -> NDArray[np.bool_]:
        return np.asarray(np.digitize(scores.crowding, self._edges[1:]) == band)

    def _describe(self, claims: Claims, path: Path, sums: Sums, step: int) -> GroupCut:
        figures = [self._part(index, claims, path, sums, step) for index in range(len(self._flags))]
        bands = [self._band(index, claims, path, sums, step) for index in range(len(self._edges))]
        total, wrong = float(sums.total.sum(axis=(0, 1))[step]), float(sums.wrong.sum(axis=(0, 1))[step])
        squares = float(sums.wrong_squares.sum(axis=(0, 1))[step])
        near, bound = self._near(sums, step, (0, 1), claims.miss)
        return GroupCut(
            group=self._group,
            confidence=float(path.confidences[step]),
            bands=tuple(bands),
            parts=tuple(figures),
            photos=sum(figure.photos for figure in figures),
            accepted=sum(figure.accepted for figure in figures),
            wrong=sum(figure.wrong for figure in figures),
            share=total / self._mass(),
            error=wrong / total,
            error_bound=upper_bound(total, wrong, squares, self._largest, claims.miss),
            near_unknown=float(near),
            near_unknown_bound=float(bound),
            effective=total / self._largest,
            needed=self._needed(),
        )

    def _part(self, index: int, claims: Claims, path: Path, sums: Sums, step: int) -> PartFigure:
        sides = self._certify[index]
        taken = [
            (side.confidence >= path.confidences[step]) & (side.nearness >= path.nearest[band][step])
            for band, side in enumerate(sides)
        ]
        total, wrong, squares = (
            float(values[index].sum(axis=0)[step]) for values in (sums.total, sums.wrong, sums.wrong_squares)
        )
        bound = upper_bound(total, wrong, squares, self._largest, claims.miss)
        reached = claims.by_part or len(self._flags) == 1
        return PartFigure(
            name=self._group.parts[index].name,
            products=len(self._group.parts[index].members),
            photos=sum(side.photos for side in sides),
            accepted=sum(int(some.sum()) for some in taken),
            wrong=sum(int((some & side.wrong).sum()) for some, side in zip(taken, sides, strict=True)),
            share=total / max(sum(side.mass for side in sides), 1e-300),
            error=wrong / max(total, 1e-300),
            error_bound=bound if reached else 1.0,
        )

    def _band(self, index: int, claims: Claims, path: Path, sums: Sums, step: int) -> BandCut:
        near, bound = self._near(sums, step, (0,), claims.miss)
        reached = claims.by_band or len(self._edges) == 1
        limit = -float(path.nearest[index][step])
        return BandCut(
            crowding_from=self._edges[index],
            strangeness=limit,
            nearer=self._nearer(index, limit),
            near_unknown=float(near[index]),
            near_unknown_bound=float(bound[index]) if reached else 1.0,
            strict_strangeness=-np.inf,
        )

    def _nearer(self, band: int, limit: float) -> float:
        """Return the weighted share of the certifying photos of a band that are no stranger than `limit`."""
        scores = self._seen.scores
        inside = np.any([flags[scores.best] for flags in self._flags], axis=0) & self._in_band(scores, band)
        weight = self._seen.weight[inside]
        return float(weight @ (scores.strange[inside] <= limit) / max(float(weight.sum()), 1e-300))

    def _near(self, sums: Sums, step: int, axes: tuple[int, ...], miss: float) -> tuple[Floats, Floats]:
        """Return the share of look-alikes accepted at a step and its bound, over all cells or by band."""
        rest, squares = sums.rest.sum(axes)[..., step], sums.rest_squares.sum(axes)[..., step]
        everything = sums.rest_total.sum(axes)
        bounds = [
            upper_bound(float(whole), float(taken), float(square), sums.largest, miss)
            for whole, taken, square in zip(*map(np.atleast_1d, (everything, rest, squares)), strict=True)
        ]
        return np.asarray(rest / np.maximum(everything, 1e-300)), np.reshape(bounds, rest.shape)

    def _mass(self) -> float:
        return sum(side.mass for part in self._certify for side in part)

    def _needed(self) -> int:
        return clean_photos_needed(self._targets.accept_error, self._first())

    def _nothing(self) -> GroupCut:
        effective = self._mass() / self._largest if self._largest > 0 else 0.0
        parts = [
            PartFigure(part.name, len(part.members), sum(side.photos for side in sides), 0, 0, 0.0, 0.0, 1.0)
            for part, sides in zip(self._group.parts, self._certify, strict=True)
        ]
        bands = tuple(BandCut(edge, -np.inf, 0.0, 0.0, 1.0, -np.inf) for edge in self._edges)
        photos = sum(part.photos for part in parts)
        return GroupCut(
            self._group, np.inf, bands, tuple(parts), photos, 0, 0, 0.0, 0.0, 1.0, 0.0, 1.0, effective, self._needed()
        )


def _flags(part: Part, classes: int) -> NDArray[np.bool_]:
    """Say for each of the classes (C,) whether it is in the part."""
    inside = np.zeros(classes, bool)
    inside[list(part.members)] = True
    return inside


def _any(sides: list[list[Side]]) -> bool:
    return any(len(side.weight) for part in sides for side in part)
