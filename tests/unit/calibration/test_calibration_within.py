"""The covariance within products: both forms are the same matrix, and that is Ledoit and Wolf's."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_worlds import ArrayRows, fit_head
from scipy import linalg
from sklearn.covariance import ledoit_wolf

from calibration.space import within as within_module
from calibration.space.head import project
from calibration.space.within import Full, Shape, Thin, within_of

FEATURES = 300


def residuals(photos: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((photos, 40)) @ rng.standard_normal((40, FEATURES))).astype(np.float32)


def exact(rows: np.ndarray, freedom: int, shrinkage: float) -> np.ndarray:
    """Return the matrix itself, in float64."""
    covariance = rows.astype(np.float64).T @ rows.astype(np.float64) / freedom
    level = np.trace(covariance) / FEATURES
    return np.asarray((1 - shrinkage) * covariance + max(shrinkage, 1e-4) * level * np.eye(FEATURES))


@pytest.mark.parametrize(("photos", "form"), [(FEATURES // 2, Thin), (FEATURES // 2 + 1, Full), (2 * FEATURES, Full)])
@pytest.mark.parametrize("shrinkage", [0.02, 0.1, 1.0])
def test_what_is_solved_is_the_shrunk_covariance(photos: int, form: type, shrinkage: float) -> None:
    rows = residuals(photos)
    blocks = iter(np.array_split(rows, 3))
    within, taken = within_of(blocks, Shape(photos, FEATURES, photos - 7), shrinkage, least=0.1)
    assert isinstance(within, form)
    assert taken == shrinkage, "a fixed one has no floor"
    truth = exact(rows, photos - 7, shrinkage)
    right = np.random.default_rng(1).standard_normal((FEATURES, 5)).astype(np.float32)
    wanted = np.linalg.solve(truth, right)
    assert np.abs(within.solve(right) - wanted).max() < 2e-3 * np.abs(wanted).max()
    vector = right[:, 0].astype(np.float64)
    np.testing.assert_allclose(within.image(vector), truth @ vector, atol=1e-4 * np.abs(truth @ vector).max())


@pytest.mark.parametrize("photos", [50, 400])
def test_the_intensity_is_ledoit_wolfs_in_both_forms(photos: int) -> None:
    rows = np.random.default_rng(2).standard_normal((photos, FEATURES)).astype(np.float32)
    rows[:, :10] *= 9
    _, found = within_of([rows], Shape(photos, FEATURES, photos), None, least=0.0)
    assert found == pytest.approx(ledoit_wolf(rows, assume_centered=True)[1], rel=0.02)
    assert within_of([rows], Shape(photos, FEATURES, photos), None, least=0.9)[1] == 0.9


@pytest.mark.parametrize("photos", [4, FEATURES])
def test_without_residuals_it_is_the_identity(photos: int) -> None:
    rows = np.zeros((photos, FEATURES), np.float32)
    within, _ = within_of([rows], Shape(photos, FEATURES, 0), None, least=0.1)
    right = np.eye(FEATURES, 3, dtype=np.float32)
    np.testing.assert_array_equal(within.solve(right), right)


def test_a_head_of_few_photos_solves_the_generalised_eigenproblem_and_is_the_same_in_both_forms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(6), 8).astype(np.int32)
    raw = 2 * rng.standard_normal((6, FEATURES))[labels] + residuals(len(labels), seed=4) / 3
    rows = ArrayRows((raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32))
    head = fit_head(rows, np.arange(len(labels)), labels, 5, 0.1)
    deviation = rows.array.astype(np.float64).std(axis=0)
    z = rows.array / deviation
    means = np.stack([z[labels == c].mean(axis=0) for c in range(6)])
    truth = exact(z - means[labels], len(labels) - 6, 0.1)
    best = linalg.eigh(np.cov(means.T, bias=True), truth)[1][:, ::-1][:, :5]
    assert np.degrees(linalg.subspace_angles(head.projection * deviation[:, None], best)).max() < 0.2
    monkeypatch.setattr(within_module, "THIN", 100)
    other = fit_head(rows, np.arange(len(labels)), labels, 5, 0.1)
    same = np.abs(np.einsum("nd,nd->n", project(head, rows.array), project(other, rows.array)))
    assert same.min() > 0.9999
