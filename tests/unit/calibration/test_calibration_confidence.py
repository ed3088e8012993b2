from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.rules.confidence_fit import ECE_MIN_PHOTOS, confidence_from_scores, reliability
from calibration.rules.scores import DEPTH, Scores, nothing
from edge.confidence import p_correct
from edge.parameters import ConfidenceModel


def world(count: int, classes: int, deviation: float, seed: int = 0) -> tuple[Scores, np.ndarray]:
    """Return photos of a logistic world and the true P(correct) of each."""
    rng = np.random.default_rng(seed)
    offset = deviation * rng.standard_normal(classes)
    best = rng.integers(0, classes, count).astype(np.int32)
    similarity = rng.uniform(0.4, 0.95, count).astype(np.float32)
    margin = rng.exponential(0.08, count).astype(np.float32)
    truth = 1 / (1 + np.exp(-(-5 + 5 * similarity + 30 * margin + offset[best])))
    right = rng.random(count) < truth
    true = np.where(right, best, (best + 1) % classes).astype(np.int32)
    top = np.zeros((count, DEPTH), np.float32)
    return Scores(true, best, similarity, margin, np.zeros(count, np.float32), 1 - similarity, top, similarity), truth


def predict(model: ConfidenceModel, scores: Scores) -> np.ndarray:
    return p_correct(model, scores.best.astype(np.intp), scores.similarity, scores.margin)


def test_recovers_a_logistic_world() -> None:
    scores, truth = world(6000, 100, 0.0)
    model = confidence_from_scores(scores, np.ones(6000), 100)
    assert model.similarity_weight == pytest.approx(5, rel=0.2)
    assert model.margin_weight == pytest.approx(30, rel=0.1)
    assert np.abs(predict(model, scores) - truth).mean() < 0.02
    assert np.abs(model.class_offset).max() < 0.5


def test_class_offsets_are_found_where_they_exist() -> None:
    scores, truth = world(6000, 100, 1.5)
    model = confidence_from_scores(scores, np.ones(6000), 100)
    plain = confidence_from_scores(scores, np.ones(6000), 100)
    flat = ConfidenceModel(plain.similarity_weight, plain.margin_weight, plain.bias, np.zeros(100, np.float32))
    assert model.class_offset.std() > 0.7
    assert np.abs(predict(model, scores) - truth).mean() < 0.6 * np.abs(predict(flat, scores) - truth).mean()


def test_weights_count() -> None:
    scores, _ = world(4000, 2, 0.0)
    easy = scores.correct
    towards_right = confidence_from_scores(scores, np.where(easy, 3.0, 1.0), 2)
    plain = confidence_from_scores(scores, np.ones(4000), 2)
    assert predict(towards_right, scores).mean() > predict(plain, scores).mean() + 0.05


def test_slopes_are_never_negative() -> None:
    scores, _ = world(2000, 5, 0.0)
    upside_down = replace(scores, similarity=1 - scores.similarity, margin=1 - scores.margin)
    model = confidence_from_scores(upside_down, np.ones(2000), 5)
    assert model.similarity_weight == 0
    assert model.margin_weight == 0


@pytest.mark.parametrize("count", [0, 5, 19])
def test_too_few_photos_give_a_coin(count: int) -> None:
    scores, _ = world(count, 3, 0.0)
    model = confidence_from_scores(scores, np.ones(count), 3)
    assert (model.bias, model.similarity_weight, model.margin_weight) == (0, 0, 0)


@pytest.mark.parametrize("shift", [0, 1])
def test_all_right_and_all_wrong_stay_finite(shift: int) -> None:
    scores, _ = world(200, 4, 0.0)
    true = ((scores.best + shift) % 4).astype(np.int32)
    model = confidence_from_scores(
        Scores(
            true,
            scores.best,
            scores.similarity,
            scores.margin,
            scores.own_gap,
            scores.strange,
            scores.top,
            scores.crowding,
        ),
        np.ones(200),
        4,
    )
    assert np.isfinite([model.bias, model.similarity_weight, model.margin_weight]).all()
    assert np.isfinite(model.class_offset).all()


def test_identical_scores_stay_finite() -> None:
    scores, _ = world(200, 4, 0.0)
    same = np.full(200, 0.5, np.float32)
    model = confidence_from_scores(
        replace(scores, similarity=same, margin=same),
        np.ones(200),
        4,
    )
    assert predict(model, scores).mean() == pytest.approx(scores.correct.mean(), abs=0.05)


def test_reliability_tells_honest_from_boasting() -> None:
    scores, truth = world(4000, 10, 0.0)
    honest = reliability(truth.astype(np.float32), scores.correct, np.ones(4000), 0)
    assert honest.testable
    assert honest.ece_debiased < 0.01
    assert honest.ece_honest < honest.ece + 0.02
    boasting = reliability(np.sqrt(truth).astype(np.float32), scores.correct, np.ones(4000), 0)
    assert boasting.ece_debiased > 0.04
    assert sum(mass for _, _, mass in boasting.bins) == pytest.approx(1.0)


def test_reliability_is_not_tested_on_few_photos() -> None:
    scores, truth = world(ECE_MIN_PHOTOS - 1, 10, 0.0)
    few = reliability(truth.astype(np.float32), scores.correct, np.ones(len(truth)), 0)
    assert not few.testable
    assert few.ece > few.ece_debiased
    assert reliability(np.zeros(0, np.float32), nothing().correct, np.zeros(0), 0).photos == 0
