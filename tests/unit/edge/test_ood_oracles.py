"""Detectors against pytorch-ood's, on the same class means, covariances and temperature (the extra `oracles`)."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.rules.ood_parameters import parameters_from_photos, parameters_of
from calibration.space.table import table_from_embeddings
from edge import lookup, ood
from edge.ood.method import class_means
from edge.parameters import OodModel

torch = pytest.importorskip("torch")
detector = pytest.importorskip("pytorch_ood.detector")

CLASSES, DIMENSION, TEMPERATURE = 24, 12, 0.3  # theirs holds probabilities at 1e-7 and up; these are larger


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Shop:
    """Photos of products with one prototype each, so that a class has one mean, as theirs have."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        means = rng.standard_normal((CLASSES, DIMENSION))
        labels = np.repeat(np.arange(CLASSES, dtype=np.int32), 6)
        taught = unit(means[labels] + 0.3 * rng.standard_normal((len(labels), DIMENSION)))
        self.rows = unit(np.concatenate([means, rng.standard_normal((40, DIMENSION))]))
        self.table = table_from_embeddings(taught, labels, 1)
        self.parameters = parameters_from_photos(taught, labels, TEMPERATURE)
        self.similarities = lookup.similarities(lookup.index_from_table(self.table), self.rows)
        self.means = torch.from_numpy(class_means(self.table))

    def ours(self, name: str) -> np.ndarray:
        ready = ood.prepare(OodModel(name, 0.5, 0.05, parameters_of(name, self.parameters)), self.table)
        return ready(self.similarities, self.rows, np.zeros(len(self.rows), np.float32))

    def precision(self, name: str) -> object:
        whitening = self.parameters[name].astype(np.float64)
        return torch.from_numpy((whitening @ whitening.T).astype(np.float32))


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


def test_energy(shop: Shop) -> None:
    theirs = detector.EnergyBased.score(torch.from_numpy(shop.similarities), t=TEMPERATURE)
    np.testing.assert_allclose(shop.ours("energy"), theirs.numpy(), rtol=1e-4, atol=1e-5)


def test_generalised_entropy_is_theirs_as_a_sum(shop: Shop) -> None:
    theirs = detector.GEN.score(torch.from_numpy(shop.similarities / TEMPERATURE), gamma=0.1) * CLASSES
    np.testing.assert_allclose(shop.ours("generalised_entropy"), theirs.numpy(), rtol=1e-3)


def test_fdbd(shop: Shop) -> None:
    head = torch.nn.Linear(DIMENSION, CLASSES, bias=False)
    head.weight.data = shop.means
    theirs = detector.fDBD(None, head).fit_features(shop.means).predict_features(torch.from_numpy(shop.rows))
    np.testing.assert_allclose(shop.ours("fdbd"), theirs.detach().numpy(), rtol=2e-3, atol=1e-4)


def test_mahalanobis_is_twice_theirs(shop: Shop) -> None:
    theirs = detector.Mahalanobis(None)
    theirs.mu, theirs.precision = shop.means, shop.precision("whitening")
    scores = theirs.predict_features(torch.from_numpy(shop.rows)).numpy()
    np.testing.assert_allclose(shop.ours("mahalanobis"), 2 * scores, rtol=1e-3)


def test_relative_mahalanobis(shop: Shop) -> None:
    theirs = detector.RMD(None)
    theirs.mu, theirs.precision = shop.means, shop.precision("whitening")
    theirs.background_mu = torch.from_numpy(shop.parameters["background_mean"])
    theirs.background_precision = shop.precision("background_whitening")
    scores = theirs.predict_features(torch.from_numpy(shop.rows)).numpy()
    np.testing.assert_allclose(shop.ours("relative_mahalanobis"), scores, rtol=1e-3, atol=1e-2)
