"""The lessons of a calibration: two cross-fits that choose, and the final one that runs.

A cross-fit teaches with the reference photos and one half of the FIT photos and looks up the other half. Both together
say, on photos that did not teach: which shape the space should have, at which temperature similarities are likelihoods,
how near a photo should be to its own product, which detector finds most of what was taken out, and (as `scored`)
everything that confidence, twins and the path of cut points are fitted on. Then all teaching photos teach, and CERTIFY
photos are looked up, in rounds without some products too: near ones first, then whole groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.photos.catalogue import Product
from calibration.photos.material import Material
from calibration.photos.mix import photo_weights
from calibration.photos.photoset import Photoset, joined
from calibration.photos.splits import folds
from calibration.rules.detector import (
    BASELINE,
    ByMethod,
    MethodFigure,
    PValues,
    choose,
    figures_from_p_values,
    joined_p_values,
    p_values_among,
    p_values_from_rounds,
    reports,
)
from calibration.rules.expected_fit import Residuals, expected_parameters, no_expectation
from calibration.rules.lesson import Lesson, Scored, Taught
from calibration.rules.ood_parameters import parameters_from_photos, parameters_of, temperature_from_scores
from calibration.rules.scores import Scores, join, nothing, scores_from_embeddings
from calibration.rules.unseen import Round, Unseen, class_folds, group_folds
from calibration.space.expected import (
    Expectation,
    Regression,
    expectation_from_parts,
    expected_of,
    flat_expectation,
)
from calibration.space.head import Rows, embed
from calibration.space.shape import Shape, Trial, shape_from_trials
from edge import ood
from edge.ood.method import Parameters
from edge.parameters import OodModel
from edge.types import Expected

__all__ = ["CrossFits", "Final", "Learning"]

_GROUP_COLUMNS = ("brand", "manufacturer", "family")  # of skus.csv, the first that is there; else the category


@dataclass(frozen=True, slots=True, eq=False)
class CrossFits:
    """What photos that did not teach say; `parts` and `groups` are empty when there are no FIT photos."""

    shape: Shape
    trials: tuple[Trial, ...]
    temperature: float
    expectation: Expectation
    fitted: Parameters  # of the detectors, on similarities of photos that did not teach
    parts: tuple[tuple[Lesson, Parameters], ...]
    groups: tuple[Round, ...]  # the first part's photos, looked up without whole groups of products
    photos: Photoset  # all of them, in the order of the parts

    def scored(self, method: str) -> Scored:
        """Return the photos of both parts with their scores under this detector."""
        if not self.parts:
            return Scored(self.photos, nothing(), nothing())
        found = [part.scored(OodModel(method, 0.0, 0.0, parameters)) for part, parameters in self.parts]
        return Scored(self.photos, join([one.scores for one in found]), join([one.unseen for one in found]))


@dataclass(frozen=True, slots=True, eq=False)
class Final:
    """The lesson that runs, with the detectors' arrays, and the rounds without whole groups."""

    lesson: Lesson
    parameters: Parameters
    expectation: Expectation
    groups: tuple[Round, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Learning:
    """Gives the lessons on `rows`; `share` (C,) is the mix of the products.

    `shrinkage` fixes that of the head, None lets it choose; without `brands` no whole groups of products are taken out.
    """

    material: Material
    rows: Rows
    most_dimensions: int
    most_prototypes: int
    share: NDArray[np.float64]
    seed: int
    shrinkage: float | None = None
    brands: bool = True

    def cross_fits(self, step: Callable[[str], None]) -> CrossFits:
        """Teach twice and choose the shape; `step` is told the name of each step."""
        material = self.material
        fold = folds(material.fit.labels, material.fit.digests, self.seed)
        taught = []
        for number in (0, 1):
            outside = material.fit.take(np.flatnonzero(fold == number))
            if len(outside):
                step(f"cross-fit {number + 1} of 2")
                inside = joined([material.reference, material.fit.take(np.flatnonzero(fold != number))])
                taught.append(self._taught(inside, outside))
        if not taught:
            smallest = Shape(self.most_dimensions, 1)
            flat = flat_expectation(self.rows.dimension, 0.0)
            temperature = temperature_from_scores(nothing(), np.zeros(0))
            return CrossFits(smallest, (), temperature, flat, no_expectation(), (), (), material.fit)
        step("shape")
        fresh = joined([part.fresh for part in taught])
        weights = [photo_weights(self.share, fresh.labels)[at] for at in _slices(taught)]
        shape, trials = shape_from_trials(
            lambda shape: sum(part.top1(shape, weight) for part, weight in zip(taught, weights, strict=True)),
            taught[0].head.dimension,
            self.most_prototypes,
        )
        temperature = self._temperature(taught, shape)
        parts = [self._lesson(part, shape, temperature) for part in taught]
        groups = self._unseen(taught[0], shape, temperature).rounds(taught[0].fresh, self._groups())
        step("expected similarity")
        expectation, expected, fitted = self._expected([lesson for lesson, _ in parts])
        return CrossFits(
            shape=shape,
            trials=trials,
            temperature=temperature,
            expectation=expectation,
            fitted=fitted,
            parts=tuple(
                (lesson.with_expected(usual, fitted), {**parameters, **fitted})
                for (lesson, parameters), usual in zip(parts, expected, strict=True)
            ),
            groups=tuple(one.with_expected(expected[0], fitted) for one in groups),
            photos=fresh,
        )

    def final(self, learnt: CrossFits, step: Callable[[str], None]) -> Final:
        """Teach with everything that may teach, at the shape that was chosen."""
        step("head")
        material = self.material
        taught = self._taught(material.teaching, material.certify, learnt.shape.dimension)
        lesson, parameters = self._lesson(taught, learnt.shape, learnt.temperature)
        unseen = self._unseen(taught, learnt.shape, learnt.temperature)
        expected = expected_of(learnt.expectation, self.rows, material.certify.rows)
        return Final(
            lesson=lesson.with_expected(expected, learnt.fitted),
            parameters={**parameters, **learnt.fitted},
            expectation=learnt.expectation,
            groups=tuple(
                one.with_expected(expected, learnt.fitted) for one in unseen.rounds(material.certify, self._groups())
            ),
        )

    def detector(self, learnt: CrossFits, final: Final, budget: float) -> tuple[OodModel, tuple[MethodFigure, ...]]:
        """Return the detector, without a threshold, and what every method does at its budget.

        FIT photos of one half of the products choose, CERTIFY photos of the other half are shown.
        """
        method = self.method(learnt, final, budget)
        skus, sizes = self._skus(), self._sizes(final)
        certify, shown = final.lesson.fresh, reports(skus)
        held_out: dict[str, Mapping[str, PValues]] = {}
        for kind, rounds in (("near", final.lesson.rounds), ("brands", final.groups)):
            if rounds:
                held_out[kind] = {name: one.of(shown) for name, one in self._tried(rounds, certify).items()}
        held_out.update(self._shown(final, photo_weights(self.share, certify.labels)))
        figures = figures_from_p_values(held_out, method, sizes, self.seed)
        return OodModel(method, np.inf, budget, parameters_of(method, final.parameters)), figures

    def method(self, learnt: CrossFits, final: Final, budget: float) -> str:
        """Return the detector that finds most of what was taken out, on FIT photos of one half of the products."""
        near = [self._tried(part.rounds, part.fresh) for part, _ in learnt.parts]
        brands = [self._tried(learnt.groups, learnt.parts[0][0].fresh)] if learnt.groups else []
        found = {"near": joined_p_values(near), "brands": joined_p_values(brands)}
        return choose(found, self._skus(), budget, self._sizes(final))

    def _skus(self) -> list[str]:
        return [product.sku for product in self.material.products]

    @staticmethod
    def _sizes(final: Final) -> tuple[int, int, int]:
        """Return the sizes of what runs: products, prototypes, dimensions."""
        table = final.lesson.enrolled.table
        return len(final.lesson.enrolled.centres), *table.prototypes.shape

    def _tried(self, rounds: Sequence[Round], photos: Photoset) -> ByMethod:
        return p_values_from_rounds(rounds, photos.labels, photo_weights(self.share, photos.labels))

    def _groups(self) -> NDArray[np.int64]:
        if not self.brands:
            return np.zeros(len(self.material.products), np.int64)  # one round is none
        return group_folds([_group(product) for product in self.material.products], self.seed)

    def _shown(self, final: Final, weights: NDArray[np.float64]) -> dict[str, Mapping[str, PValues]]:
        """Return the p-values of shifted photos and of the catalogue's unknown things, which choose nothing."""
        material, lesson = self.material, final.lesson
        kinds = {"shifted": (material.shifted, material.shifted.labels.astype(np.int64))}
        for kind in sorted(set(material.unknown.kinds)):
            chosen = np.array([i for i, name in enumerate(material.unknown.kinds) if name == kind], np.intp)
            kinds[f"unknown/{kind}"] = (material.unknown.take(chosen), np.arange(len(chosen)))
        known = ((lesson.found, lesson.expected), weights)
        found = {}
        for kind, (photos, owner) in kinds.items():
            if len(photos) and len(lesson.found):
                things = embed(lesson.enrolled.head, self.rows, photos.rows)
                seen = (things, expected_of(final.expectation, self.rows, photos.rows))
                found[kind] = p_values_among((lesson.enrolled.table, final.parameters), known, (seen, owner))
        return found

    def _taught(self, teach: Photoset, fresh: Photoset, most: int | None = None) -> Taught:
        with_copies = self.material.with_copies(teach)
        return Taught.of(self.rows, with_copies, fresh, most or self.most_dimensions, self.seed, self.shrinkage)

    def _unseen(self, taught: Taught, shape: Shape, temperature: float) -> Unseen:
        return Unseen(taught.discriminant, self.rows, taught.taught, shape, temperature, self.seed)

    def _lesson(self, taught: Taught, shape: Shape, temperature: float) -> tuple[Lesson, Parameters]:
        fold = class_folds([product.sku for product in self.material.products], self.seed)
        lesson = Lesson.of(taught, shape, self._unseen(taught, shape, temperature), fold)
        embeddings = lesson.enrolled.embeddings
        return lesson, parameters_from_photos(embeddings, taught.taught.labels, temperature)

    def _expected(self, lessons: Sequence[Lesson]) -> tuple[Expectation, list[Expected], Parameters]:
        """Return how near a photo should be to its own product; for each lesson's photos, as the others teach it; and
        what detectors need to know about it.
        """
        baseline = OodModel(BASELINE, 0.0, 0.0)
        scored = [lesson.scored(baseline) for lesson in lessons]
        weights = [photo_weights(self.share, one.scores.true) for one in scored]
        right = [weight * one.scores.correct for one, weight in zip(scored, weights, strict=True)]
        regressions = [self._regression(lesson, one.scores) for lesson, one in zip(lessons, scored, strict=True)]
        expectation, crossed = expectation_from_parts(self.rows, regressions)
        expected = [expected_of(other, self.rows, one.photos.rows) for other, one in zip(crossed, scored, strict=True)]
        together = np.concatenate(expected)
        known = Residuals(join([one.scores for one in scored]).similarity, together, np.concatenate(right))
        unseen = Residuals(np.zeros(0, np.float32), together[:0], np.zeros(0))
        if all(len(one.unseen) for one in scored):
            similarity = join([one.unseen for one in scored]).similarity
            unseen = Residuals(similarity, together, np.concatenate(weights))
        return expectation, expected, expected_parameters(known, unseen)

    def _regression(self, lesson: Lesson, known: Scores) -> Regression:
        """Return the lesson's photos, with their scores `known`, and their copies, which did not teach it either, where
        the lookup is right.
        """
        photos, table = self.material.with_crowded(lesson.fresh), lesson.enrolled.table
        copies = photos.take(np.arange(len(known), len(photos)))
        found = embed(lesson.enrolled.head, self.rows, copies.rows)
        strange = ood.prepare(OodModel(BASELINE, 0.0, 0.0), table)
        scores = join([known, scores_from_embeddings(table, found, copies.labels, strange)])
        weight = photo_weights(self.share, photos.labels)
        return Regression(photos.rows, scores.similarity, weight * scores.correct)

    def _temperature(self, taught: list[Taught], shape: Shape) -> float:
        """Return the temperature of the fresh photos' similarities at this shape."""
        baseline = OodModel(BASELINE, 0.0, 0.0)
        parts = []
        for part in taught:
            table = part.table(shape)
            strange = ood.prepare(baseline, table)
            parts.append(scores_from_embeddings(table, part.at(shape), part.fresh.labels, strange))
        scores = join(parts)
        return temperature_from_scores(scores, photo_weights(self.share, scores.true))


def _slices(taught: list[Taught]) -> list[slice]:
    ends = np.cumsum([len(part.fresh) for part in taught]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _group(product: Product) -> str:
    """Return what counts as the product's brand."""
    named = (product.extra.get(column, "") for column in _GROUP_COLUMNS)
    return next((name for name in named if name), product.category)
