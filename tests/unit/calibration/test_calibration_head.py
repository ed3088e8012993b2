from __future__ import annotations

import numpy as np
import pytest
from calibration_worlds import ArrayRows, fit_head
from scipy import linalg
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from calibration.space import head as head_module
from calibration.space.head import Discriminant, Head, embed, project


def photos(classes: int = 30, each: int = 12, size: int = 40, seed: int = 0) -> tuple[ArrayRows, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each).astype(np.int32)
    mixing = 0.5 * rng.standard_normal((size, size))
    raw = rng.standard_normal((classes, size))[labels] + rng.standard_normal((len(labels), size)) @ mixing
    return ArrayRows((raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)), labels


def everything(labels: np.ndarray) -> np.ndarray:
    return np.arange(len(labels))


def scatters(rows: ArrayRows, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return standardised features, within covariance and between covariance, in float64."""
    z = rows.array.astype(np.float64) / rows.array.astype(np.float64).std(axis=0)
    means = np.stack([z[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
    residuals = z - means[labels]
    return z, residuals.T @ residuals / (len(z) - len(means)), np.cov(means.T, bias=True)


def directions(head: Head, rows: ArrayRows) -> np.ndarray:
    return head.projection * rows.array.astype(np.float64).std(axis=0)[:, None]


def widest_angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(linalg.subspace_angles(a, b)).max())


@pytest.mark.parametrize("shrinkage", [0.1, 0.3])
def test_subspace_solves_the_generalised_eigenproblem(shrinkage: float) -> None:
    rows, labels = photos()
    head = fit_head(rows, everything(labels), labels, 10, shrinkage)
    _, within, between = scatters(rows, labels)
    shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / len(within) * np.eye(len(within))
    exact = linalg.eigh(between, shrunk)[1][:, ::-1][:, :10]
    assert widest_angle(directions(head, rows), exact) < 0.1
    normal = directions(head, rows).T @ shrunk @ directions(head, rows)
    np.testing.assert_allclose(normal, np.eye(10), atol=1e-3)


def test_without_shrinkage_it_is_scikit_learns() -> None:
    rows, labels = photos(each=40)
    head = fit_head(rows, everything(labels), labels, 8, 0.0)
    z, _, _ = scatters(rows, labels)
    oracle = LinearDiscriminantAnalysis(solver="eigen", n_components=8).fit(z, labels)
    assert widest_angle(directions(head, rows), oracle.scalings_[:, :8]) < 0.5


def test_intensity_is_ledoit_wolfs_with_a_floor() -> None:
    rows, labels = photos(classes=40, each=3)
    z, _, _ = scatters(rows, labels)
    residuals = z - np.stack([z[labels == c].mean(axis=0) for c in range(40)])[labels]
    found = fit_head(rows, everything(labels), labels, 10).shrinkage
    assert found == pytest.approx(ledoit_wolf(residuals, assume_centered=True)[1], rel=0.35)
    assert found > head_module.LEAST_SHRINKAGE
    many, labels = photos(classes=40, each=60)
    assert fit_head(many, everything(labels), labels, 10).shrinkage == head_module.LEAST_SHRINKAGE


def test_order_of_photos_and_block_size_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = photos()
    head = fit_head(rows, everything(labels), labels, 10)
    order = np.random.default_rng(1).permutation(len(labels))
    monkeypatch.setattr(head_module, "BLOCK", 37)
    other = fit_head(rows, order, labels[order], 10)
    cosine = np.abs(np.einsum("nd,nd->n", project(head, rows.array), project(other, rows.array)))
    same_space = widest_angle(directions(head, rows), directions(other, rows))
    assert same_space < 0.1
    assert np.median(cosine) > 0.99


def test_many_classes_by_subspace_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = photos(classes=60)
    exact = fit_head(rows, everything(labels), labels, 6)
    monkeypatch.setattr(head_module, "EXACT", 10)
    assert widest_angle(directions(exact, rows), directions(fit_head(rows, everything(labels), labels, 6), rows)) < 0.5


def test_more_classes_than_features_are_solved_in_the_space_of_the_features() -> None:
    rows, labels = photos(classes=60)
    few = ArrayRows(rows.array[:, :20])
    head = fit_head(few, everything(labels), labels, 6, 0.2)
    z, within, _ = scatters(few, labels)
    shrunk = 0.8 * within + 0.2 * np.trace(within) / len(within) * np.eye(len(within))
    means = np.stack([z[labels == c].mean(axis=0) for c in range(60)])
    exact = linalg.eigh(np.cov(means.T, bias=True), shrunk)[1][:, ::-1][:, :6]
    assert widest_angle(directions(head, few), exact) < 0.01


def test_head_for_some_classes_does_not_know_the_others() -> None:
    rows, labels = photos(classes=40)
    kept = np.arange(40) < 30
    discriminant = Discriminant.of(rows, everything(labels), labels, 0.2)
    head = discriminant.head(rows, 12, kept=kept)
    z, within, _ = scatters(rows, labels)
    shrunk = 0.8 * within + 0.2 * np.trace(within) / len(within) * np.eye(len(within))
    means = np.stack([z[labels == c].mean(axis=0) for c in range(30)])
    exact = linalg.eigh(np.cov(means.T, bias=True), shrunk)[1][:, ::-1][:, :12]
    assert widest_angle(directions(head, rows), exact) < 0.2
    np.testing.assert_allclose(head.mean * 1.0, rows.array[labels < 30].mean(axis=0), atol=1e-5)


def test_two_classes_get_more_than_a_sign() -> None:
    rows, labels = photos(classes=2, each=20)
    head = fit_head(rows, everything(labels), labels, 192)
    assert head.method == "lda+pca"
    assert head.dimension == head_module.PADDED
    assert len(np.unique(project(head, rows.array).round(4), axis=0)) > 30


@pytest.mark.parametrize("each", [1, 20])
def test_one_class_falls_back_to_principal_directions(each: int) -> None:
    rows, labels = photos(classes=1, each=each)
    head = fit_head(rows, everything(labels), labels, 8)
    assert head.method == ("identity" if each == 1 else "pca")
    assert_unit(embed(head, rows, everything(labels)))


def test_photos_that_are_all_alike_fall_back_to_single_features() -> None:
    rows = ArrayRows(np.full((10, 20), 0.1, np.float32))
    head = fit_head(rows, np.arange(10), np.repeat([0, 1], 5).astype(np.int32), 8)
    assert head.method == "identity"
    assert_unit(embed(head, rows, np.arange(10)))


def test_two_photos_and_fewer_photos_than_dimensions() -> None:
    rows, labels = photos(classes=2, each=1)
    head = fit_head(rows, np.arange(2), labels, 192)
    assert_unit(embed(head, rows, np.arange(2)))
    rows, labels = photos(classes=3, each=2, size=500)
    head = fit_head(rows, everything(labels), labels, 192)
    embeddings = embed(head, rows, everything(labels))
    assert_unit(embeddings)
    assert (embeddings[0] @ embeddings[1]) > (embeddings[0] @ embeddings[2])


def test_dead_features_and_rows_without_direction() -> None:
    rows, labels = photos()
    rows.array[:, 3] = 0.0
    head = fit_head(rows, everything(labels), labels, 10)
    assert np.isfinite(head.projection).all()
    assert not head.projection[3].any()
    odd = np.stack([head.mean, np.full(40, np.nan, np.float32), np.full(40, np.inf, np.float32)])
    with np.errstate(invalid="ignore"):
        assert not project(head, odd).any()


def assert_unit(embeddings: np.ndarray) -> None:
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
