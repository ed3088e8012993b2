"""Detectors of unknown things: each against its definition written down plainly, and what holds for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf

from calibration.rules.ood_parameters import parameters_from_photos, parameters_of, temperature_from_scores
from calibration.rules.scores import scores_from_embeddings
from calibration.space.covariance import shrunk_covariance
from calibration.space.table import table_from_embeddings
from edge import lookup, ood
from edge.errors import BundleError
from edge.ood.method import class_means
from edge.parameters import OodModel, PrototypeTable


class Shop:
    """Photos of products in a space of 12 dimensions, strangers among them, and everything that was fitted."""

    def __init__(self, classes: int = 30, per_class: int = 6, prototypes: int = 2, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        means = rng.standard_normal((classes, 12))
        self.labels = np.repeat(np.arange(classes, dtype=np.int32), per_class)
        self.taught = unit(means[self.labels] + 0.3 * rng.standard_normal((len(self.labels), 12)))
        self.known = unit(means[self.labels] + 0.3 * rng.standard_normal((len(self.labels), 12)))
        self.strangers = unit(rng.standard_normal((200, 12)))
        self.table = table_from_embeddings(self.taught, self.labels, prototypes)
        fitted = (
            ("expected_intercept", 0.1),
            ("expected_slope", 0.9),
            ("expected_level", -1.0),
            ("expected_growth", -2.0),
            ("expected_low", 0.5),
        )
        self.parameters = {
            **parameters_from_photos(self.taught, self.labels, 0.1),
            **{name: np.array(value, np.float32) for name, value in fitted},
        }

    def score(self, name: str, embeddings: np.ndarray) -> np.ndarray:
        ready = ood.prepare(OodModel(name, 0.5, 0.05, parameters_of(name, self.parameters)), self.table)
        similarities = lookup.similarities(lookup.index_from_table(self.table), embeddings)
        return ready(similarities, embeddings, self.expected(embeddings))

    @staticmethod
    def expected(embeddings: np.ndarray) -> np.ndarray:
        """Return an expected similarity between 0.6 and 0.9 that a row determines."""
        return (0.75 + 0.15 * embeddings[:, 0]).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest.mark.parametrize("name", sorted(ood.METHODS))
def test_strangers_are_stranger(shop: Shop, name: str) -> None:
    known, strangers = shop.score(name, shop.known), shop.score(name, shop.strangers)
    assert known.dtype == np.float32
    assert known.shape == (len(shop.known),)
    assert np.isfinite(known).all()
    assert (strangers[:, None] > known[None, :]).mean() > 0.5
    assert ood.METHODS[name].operations(30, 60, 12) > 0


@pytest.mark.parametrize("name", sorted(ood.METHODS))
@given(seed=st.integers(0, 2**16))
def test_a_row_is_scored_alone(name: str, seed: int) -> None:
    shop = Shop(classes=9, per_class=3)
    rows = unit(np.random.default_rng(seed).standard_normal((4, 12)))
    together = shop.score(name, rows)
    alone = np.concatenate([shop.score(name, rows[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(ood.METHODS))
def test_one_class_is_enough(name: str) -> None:
    shop = Shop(classes=1, per_class=5, prototypes=1)
    assert np.isfinite(shop.score(name, shop.known)).all()


def plain_similarities(shop: Shop, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    every = embeddings @ (shop.table.prototypes.astype(np.float64) * shop.table.scale).T
    best = np.stack([every[:, shop.table.owners == c].max(axis=1) for c in range(30)], axis=1)
    return every, best


def test_each_method_is_its_definition(shop: Shop) -> None:
    rows = np.concatenate([shop.known[:20], shop.strangers[:20]])
    every, best = plain_similarities(shop, rows)
    ordered = np.sort(best, axis=1)
    p = np.exp(best / 0.1) / np.exp(best / 0.1).sum(axis=1, keepdims=True)
    means = class_means(shop.table).astype(np.float64)
    expected = {
        "max_cosine": 1.0 - ordered[:, -1],
        "margin": ordered[:, -2] - ordered[:, -1],
        "energy": -0.1 * np.log(np.exp(best / 0.1).sum(axis=1)),
        "generalised_entropy": (p**0.1 * (1.0 - p) ** 0.1).sum(axis=1),
        "nearest_prototypes": 1.0 - np.sort(every, axis=1)[:, -3],
        "expected_cosine": (0.1 + 0.9 * shop.expected(rows) - ordered[:, -1]) / np.exp(-1 - 2 * shop.expected(rows)),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(shop.score(name, rows), values, atol=5e-3, rtol=5e-3, err_msg=name)
    covariance = np.linalg.inv(shop.parameters["whitening"] @ shop.parameters["whitening"].T)
    inverse = np.linalg.inv(covariance)
    apart = rows[:, None, :] - means[None]
    distance = np.einsum("ncd,de,nce->nc", apart, inverse, apart).min(axis=1)
    np.testing.assert_allclose(shop.score("mahalanobis", rows), distance, rtol=2e-3)
    background = np.linalg.inv(shop.parameters["background_whitening"] @ shop.parameters["background_whitening"].T)
    centred = rows - shop.parameters["background_mean"]
    relative = distance - np.einsum("nd,de,ne->n", centred, np.linalg.inv(background), centred)
    np.testing.assert_allclose(shop.score("relative_mahalanobis", rows), relative, rtol=5e-3, atol=0.05)


def test_fdbd_is_the_mean_distance_to_the_boundaries(shop: Shop) -> None:
    rows = shop.known[:7]
    means = class_means(shop.table).astype(np.float64)
    best = plain_similarities(shop, rows)[1].argmax(axis=1)
    for row, own, found in zip(rows, best, shop.score("fdbd", rows), strict=True):
        distances = [
            abs(row @ means[own] - row @ means[other]) / np.linalg.norm(means[own] - means[other])
            for other in range(30)
            if other != own
        ]
        length = np.linalg.norm(row - means.mean(axis=0))
        assert found == pytest.approx(-np.mean(distances) / length, rel=1e-3)


def test_covariance_is_that_of_scikit_learn(shop: Shop) -> None:
    rows = np.random.default_rng(3).standard_normal((80, 12)) @ np.diag(np.linspace(0.2, 3, 12))
    rows -= rows.mean(axis=0)
    oracle = LedoitWolf(assume_centered=True).fit(rows).covariance_
    np.testing.assert_allclose(shrunk_covariance(rows, len(rows)), oracle, rtol=1e-4, atol=1e-6)
    assert np.linalg.eigvalsh(shrunk_covariance(np.zeros((3, 4)), 2)).min() > 0
    assert np.linalg.eigvalsh(shrunk_covariance(rows[:2], 1)).min() > 0


def test_temperature_is_the_one_that_made_the_labels() -> None:
    rng = np.random.default_rng(1)
    table = PrototypeTable(np.eye(4, 4, dtype=np.int8) * 127, 1 / 127, np.arange(4, dtype=np.int32))
    index = lookup.index_from_table(table)
    rows = unit(rng.standard_normal((6000, 4)))
    every = lookup.similarities(index, rows)
    noise = rng.gumbel(size=every.shape)
    labels = (every / 0.16 + noise).argmax(axis=1).astype(np.int32)
    strange = ood.prepare(OodModel("max_cosine", 0.5, 0.05), table)
    scores = scores_from_embeddings(table, rows, labels, strange)
    assert temperature_from_scores(scores, np.ones(6000)) == pytest.approx(0.16, rel=0.5)


def test_a_missing_or_misshapen_array_is_refused(shop: Shop) -> None:
    with pytest.raises(BundleError, match="whitening is nothing"):
        ood.prepare(OodModel("mahalanobis", 0.5, 0.05), shop.table)
    wrong = {"whitening": np.zeros((3, 3), np.float32)}
    with pytest.raises(BundleError, match=r"\(3, 3\), expected \(12, 12\)"):
        ood.prepare(OodModel("mahalanobis", 0.5, 0.05, wrong), shop.table)
    with pytest.raises(BundleError, match="unknown detector 'guess'"):
        ood.prepare(OodModel("guess", 0.5, 0.05), shop.table)
