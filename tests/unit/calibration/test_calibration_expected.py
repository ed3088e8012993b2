"""The expected similarity: found where the features show it, flat where they do not, never from a photo's own part."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_worlds import ArrayRows
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from calibration.rules.expected_fit import Residuals, expected_parameters, no_expectation
from calibration.space import expected
from calibration.space.expected import STRENGTHS, Regression, expectation_from_parts, expected_of
from edge import lookup, ood
from edge.parameters import OodModel, PrototypeTable

FEATURES = 30


def world(count: int = 1200, noise: float = 0.03, seed: int = 0) -> tuple[ArrayRows, np.ndarray, np.ndarray]:
    """Return rows whose first three features lower the cosine, the cosines and weights."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, FEATURES)).astype(np.float32) * np.linspace(0.2, 5, FEATURES)
    features = features.astype(np.float32)
    cosine = 0.8 - 0.05 * (features[:, 0] / 0.2) + noise * rng.standard_normal(count)
    return ArrayRows(features), cosine.astype(np.float32), rng.uniform(0.5, 2.0, count)


def halves(cosine: np.ndarray, weight: np.ndarray) -> list[Regression]:
    rows = np.arange(len(cosine), dtype=np.int64)
    return [Regression(rows[some], cosine[some], weight[some]) for some in (slice(0, None, 2), slice(1, None, 2))]


def test_a_relation_is_found_and_holds_on_other_photos() -> None:
    rows, cosine, weight = world()
    expectation, crossed = expectation_from_parts(rows, halves(cosine, weight))
    assert expectation.explained == pytest.approx(0.05**2 / (0.05**2 + 0.03**2), abs=0.06)
    fresh, true, _ = world(seed=1)
    found = expected_of(expectation, fresh, np.arange(1200))
    assert np.corrcoef(found, true)[0, 1] > 0.8
    assert len(crossed) == 2


@pytest.mark.parametrize("thin", [expected.THIN, 0])  # 0: the rows are kept however many they are
def test_it_is_the_ridge_regression_of_scikit_learn(thin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected, "THIN", thin)
    rows, cosine, weight = world(400)
    expectation, _ = expectation_from_parts(rows, halves(cosine, weight))
    features = rows.read(np.arange(400)).astype(np.float64)
    mean = np.average(features, axis=0, weights=weight)
    deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weight))
    oracle = Ridge(alpha=expectation.strength * weight.sum(), solver="cholesky", fit_intercept=False)
    oracle.fit((features - mean) / deviation, cosine - np.average(cosine, weights=weight), sample_weight=weight)
    np.testing.assert_allclose(expectation.weights * deviation, oracle.coef_, rtol=1e-2, atol=1e-4)
    assert expectation.strength in STRENGTHS


def test_a_photo_is_never_predicted_by_what_its_own_part_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected, "STRENGTHS", (1.0,))
    monkeypatch.setattr(expected, "WORTH", -np.inf)
    rows, cosine, weight = world(200)
    one, other = halves(cosine, np.ones_like(weight))
    moved = Regression(one.photos, np.roll(one.cosine, 1), one.weight)  # of the same mean
    before, after = (expectation_from_parts(rows, [first, other])[1] for first in (one, moved))
    np.testing.assert_allclose(after[0].weights, before[0].weights, atol=1e-5)
    assert not np.allclose(after[1].weights, before[1].weights, atol=1e-3)


@pytest.mark.parametrize("parts", [0, 1])
def test_without_two_parts_every_photo_is_the_same(parts: int) -> None:
    rows, cosine, weight = world(50)
    expectation, crossed = expectation_from_parts(rows, halves(cosine, weight)[:parts])
    assert not expectation.weights.any()
    assert len(crossed) == parts
    assert len(set(expected_of(expectation, rows, np.arange(50)).tolist())) == 1


def test_noise_is_not_taken_for_a_relation() -> None:
    rows, _, weight = world(300)
    cosine = np.random.default_rng(5).uniform(0.6, 0.9, 300).astype(np.float32)
    expectation, _ = expectation_from_parts(rows, halves(cosine, weight))
    assert not expectation.weights.any()
    assert expectation.bias == pytest.approx(np.average(cosine, weights=weight), abs=1e-6)


def test_photos_without_weight_or_difference_teach_nothing() -> None:
    rows, cosine, weight = world(60)
    nothing = expectation_from_parts(rows, halves(cosine, weight * 0))[0]
    assert (nothing.bias, nothing.weights.any()) == (0.0, False)
    same = ArrayRows(np.ones((60, FEATURES), np.float32))
    expectation, _ = expectation_from_parts(same, halves(cosine, weight))
    assert np.isfinite(expected_of(expectation, same, np.arange(60))).all()


def residuals(shift: float, count: int = 2000, seed: int = 0) -> Residuals:
    rng = np.random.default_rng(seed)
    usual = rng.uniform(0.4, 0.95, count).astype(np.float32)
    cosine = usual - shift + np.exp(-1.0 - 2.0 * usual) * 0.4 * rng.standard_normal(count)
    return Residuals(cosine.astype(np.float32), usual, np.ones(count))


def test_known_photos_have_residuals_of_mean_zero_and_unit_deviation_at_every_quality() -> None:
    known = residuals(0.0)
    fitted = expected_parameters(known, residuals(0.15, seed=1))
    score = scored(fitted, known)
    for low, high in ((0.4, 0.6), (0.6, 0.8), (0.8, 0.95)):
        some = (known.expected >= low) & (known.expected < high)
        assert abs(score[some].mean()) < 0.25
        assert score[some].std() == pytest.approx(1.0, abs=0.2)
    assert float(fitted["expected_slope"]) >= 0.8


def test_the_residual_tells_lookalikes_from_bad_photos_better_than_the_cosine() -> None:
    known, unseen = residuals(0.0), residuals(0.12, seed=1)
    fitted = expected_parameters(known, unseen)

    def told(fitted: dict[str, np.ndarray]) -> float:
        limit = np.quantile(scored(fitted, known), 0.95)
        return float((scored(fitted, unseen) > limit).mean())

    assert told(fitted) > told(no_expectation()) + 0.2


@given(st.floats(0.3, 0.95), st.floats(-0.5, 0.9), st.floats(0.0, 0.1))
def test_a_nearer_photo_is_never_stranger(usual: float, cosine: float, more: float) -> None:
    fitted = expected_parameters(residuals(0.0, 300), residuals(0.1, 300, 1))
    pair = Residuals(np.array([cosine, cosine + more], np.float32), np.full(2, usual, np.float32), np.ones(2))
    far, near = scored(fitted, pair)
    assert near <= far


def test_without_a_relation_the_score_is_the_cosine() -> None:
    flat = Residuals(np.linspace(0.5, 0.9, 9, dtype=np.float32), np.full(9, 0.8, np.float32), np.ones(9))
    fitted = expected_parameters(flat, flat)
    np.testing.assert_allclose(scored(fitted, flat), -flat.cosine, atol=1e-6)


def test_below_what_was_seen_the_lowest_that_was_seen_counts() -> None:
    """A thing unlike any photo must not be excused by an expectation that nothing supports."""
    known = residuals(0.0)
    fitted = expected_parameters(known, residuals(0.1, seed=1))
    low = float(np.quantile(known.expected, 0.01))
    assert fitted["expected_low"] == pytest.approx(low, abs=0.01)
    usual = np.array([low - 0.3, low - 0.1, low + 0.05], np.float32)
    far = scored(fitted, Residuals(np.full(3, 0.2, np.float32), usual, np.ones(3)))
    assert far[0] == far[1]
    assert scored(no_expectation(), known)[0] == pytest.approx(-float(known.cosine[0]))


def scored(fitted: dict[str, np.ndarray], photos: Residuals) -> np.ndarray:
    """Return the detector's scores of photos with these largest cosines."""
    table = PrototypeTable(np.eye(2, dtype=np.int8) * 127, 1 / 127, np.arange(2, dtype=np.int32))
    ready = ood.prepare(OodModel("expected_cosine", 0.0, 0.05, fitted), table)
    assert lookup.similarities(lookup.index_from_table(table), np.eye(2, dtype=np.float32)).shape == (2, 2)
    similarities = np.stack([photos.cosine, photos.cosine - 1.0], axis=1)
    return ready(similarities, np.zeros((len(photos.cosine), 2), np.float32), photos.expected)
