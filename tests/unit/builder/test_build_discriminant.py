"""The discriminant against the same one solved among features, and what it does with little."""

from __future__ import annotations

import numpy as np
import pytest

from builder.discriminant import SHRINKAGE, dot_products, embeddings_from, table_from


def _photos(classes: int, each: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes, dtype=np.int32), each)
    centres = random.normal(size=(classes, features))
    mixing = random.normal(size=(features, features)) / features**0.5
    rows = centres[labels] + 2.0 * random.normal(size=(len(labels), features)) @ mixing
    return rows.astype(np.float32), labels


def _among_features(rows: np.ndarray, taught: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same discriminant the long way: covariances of features, and the generalised eigenproblem."""
    own = rows[taught].astype(np.float64)
    means = np.stack([own[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    residuals = own - means[labels]
    within = residuals.T @ residuals / (len(own) - len(means))
    size = len(within)
    shrunk = (1.0 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / size * np.eye(size)
    centred = means - means.mean(axis=0)
    whitening = np.linalg.inv(np.linalg.cholesky(shrunk)).T
    values, vectors = np.linalg.eigh(whitening.T @ centred.T @ centred @ whitening)
    directions = whitening @ vectors[:, np.argsort(-values)[: len(means) - 1]]
    found = (rows - means.mean(axis=0)) @ directions
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


@pytest.mark.parametrize(("classes", "each", "features"), [(5, 8, 60), (4, 30, 12), (12, 3, 200)])
def test_solved_among_photos_it_is_the_discriminant_among_features(classes: int, each: int, features: int) -> None:
    rows, labels = _photos(classes, each, features)
    taught = np.flatnonzero(np.arange(len(rows)) % each != 0)
    found = embeddings_from(dot_products(rows), taught, labels[taught], classes - 1)
    expected = _among_features(rows, taught, labels[taught])
    assert found.shape == expected.shape
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_one_photo_of_each_class_gives_the_nearest_photo() -> None:
    rows, labels = _photos(6, 2, 30)
    taught = np.arange(0, 12, 2)
    found = embeddings_from(dot_products(rows), taught, labels[taught], 5)
    assert np.isfinite(found).all()
    assert (np.argmax(found[taught] @ found[taught].T, axis=1) == np.arange(6)).all()


@pytest.mark.parametrize("rounding", [0.0, 1e-7, 1e-20])
def test_photos_that_are_all_alike_have_no_directions_that_matter(rounding: float) -> None:
    noise = np.random.default_rng(0).normal(size=(8, 5))
    rows = (0.1 + rounding * noise).astype(np.float32)
    found = embeddings_from(dot_products(rows), np.arange(8), np.repeat(np.arange(2, dtype=np.int32), 4), 4)
    assert found.shape == (8, 1)
    assert np.isfinite(found).all()


def test_photos_without_spread_in_their_class_are_still_told_apart() -> None:
    labels = np.repeat(np.arange(3, dtype=np.int32), 4)
    rows = np.eye(3, 6, dtype=np.float32)[labels]
    found = embeddings_from(dot_products(rows), np.arange(12), labels, 4)
    assert found.shape == (12, 2)
    assert ((found @ found.T > 0.99) == (labels[:, None] == labels[None, :])).all()


def test_a_table_has_the_mean_or_centres_of_each_class() -> None:
    random = np.random.default_rng(0)
    angles = np.concatenate([random.normal(middle, 0.02, 10) for middle in (0.0, 1.0, 3.0, 4.0)])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labels = np.repeat(np.arange(2, dtype=np.int32), 20)
    lone = table_from(rows, labels, 1)
    assert lone.owners.tolist() == [0, 1]
    mean = lone.prototypes * lone.scale
    np.testing.assert_allclose(np.arctan2(mean[:, 1], mean[:, 0]) % (2 * np.pi), [0.5, 3.5], atol=0.03)
    pair = table_from(rows, labels, 2)
    assert pair.owners.tolist() == [0, 0, 1, 1]
    centres = pair.prototypes * pair.scale
    found = np.sort((np.arctan2(centres[:, 1], centres[:, 0]) % (2 * np.pi)).reshape(2, 2))
    assert (np.diff(found, axis=1) > 0.6).all()  # drawn towards the mean, not onto it
