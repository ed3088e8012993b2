"""The small parts: splits, mix, table, conformal quantiles, unknown threshold, quality, twins, verify."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from calibration_worlds import SPEC, product
from crepes import ConformalClassifier
from hypothesis import given
from hypothesis import strategies as st

from calibration.photos.mix import mix_of, photo_weights
from calibration.photos.splits import CERTIFY, FIT, folds, split
from calibration.rules.conformal import conformal_quantile
from calibration.rules.ood_fit import auroc, ood_from_scores
from calibration.rules.quality import quality_from_photos
from calibration.rules.scores import DEPTH, Scores, nothing, scores_from_embeddings
from calibration.rules.twins import successors_of, twin_index, twins_from_scores
from calibration.rules.unseen import FOLDS, class_folds
from calibration.rules.verify_fit import MAX_SET, WIDEST, verify_from_scores
from calibration.space.table import agreement, centroids, prototypes_of, quantise, table_from_embeddings
from edge import ood
from edge.parameters import OodModel, PrototypeTable

ONES = np.ones(100)


def digests(count: int) -> list[bytes]:
    return [hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(count)]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


# splits


def test_split_halves_each_class_and_prefers_to_certify() -> None:
    labels = np.repeat(np.arange(4), [1, 2, 3, 10]).astype(np.int32)
    parts = split(labels, digests(16), 0)
    assert [int((parts[labels == c] == CERTIFY).sum()) for c in range(4)] == [1, 1, 2, 5]
    assert (split(labels, digests(16), 1) != parts).any()


def test_split_depends_on_the_photos_alone() -> None:
    labels = np.repeat(np.arange(5), 6).astype(np.int32)
    parts = split(labels, digests(30), 0)
    order = np.random.default_rng(0).permutation(30)
    assert (split(labels[order], [digests(30)[i] for i in order], 0) == parts[order]).all()
    assert (split(labels[6:], digests(30)[6:], 0) == parts[6:]).all()  # without the first product
    assert set(folds(labels, digests(30), 0)) == {0, 1}
    assert len(split(np.zeros(0, np.int32), [], 0)) == 0
    assert FIT in parts


def test_class_folds_are_even() -> None:
    fold = class_folds([f"sku-{n}" for n in range(23)], 0)
    assert sorted(np.bincount(fold)) == [4, 4, 5, 5, 5]
    assert len(np.bincount(fold)) == FOLDS
    assert class_folds(["a", "b"], 0).max() == 1


# mix


def test_weights_give_each_class_its_share() -> None:
    mix = mix_of(np.array([1.0, 1.0, 2.0, 1.0]), np.array([10, 5, 10, 0]))
    assert mix.covered.tolist() == [True, True, True, False]
    np.testing.assert_allclose(mix.share, [0.25, 0.25, 0.5, 0.0])
    np.testing.assert_allclose(mix.wanted, [0.2, 0.2, 0.4, 0.2])
    weights = photo_weights(mix.share, np.array([0, 0, 1, 2, 2, 3], np.int32))
    np.testing.assert_allclose(weights, [0.125, 0.125, 0.25, 0.25, 0.25, 0.0])


def test_a_lone_photo_does_not_cost_everyone_the_certificate() -> None:
    photos = np.full(100, 10)
    photos[7] = 1
    mix = mix_of(np.ones(100), photos)
    assert not mix.covered[7]
    assert mix.covered.sum() == 99
    photos[:50] = 1  # half of the products: nothing can be dropped
    assert mix_of(np.ones(100), photos).covered.all()
    assert not mix_of(np.ones(3), np.zeros(3, np.int64)).covered.any()


# table and scores


def test_prototypes_are_unit_sorted_and_bounded() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), [1, 2, 3, 8, 20, 5]).astype(np.int32)
    embeddings = unit(rng.standard_normal((len(labels), 16)))
    prototypes, owners = prototypes_of(embeddings, labels, 4)
    np.testing.assert_allclose(np.linalg.norm(prototypes, axis=1), 1, atol=1e-5)
    assert np.bincount(owners).tolist() == [1, 2, 3, 4, 4, 4]
    assert (np.diff(owners) >= 0).all()
    order = rng.permutation(len(labels))
    again, _ = prototypes_of(embeddings[order], labels[order], 4)
    np.testing.assert_allclose(again, prototypes, atol=1e-5)
    table = quantise(prototypes, owners)
    assert np.abs(table.prototypes).max() == 127
    np.testing.assert_allclose(table.prototypes * table.scale, prototypes, atol=table.scale)
    assert agreement(embeddings, prototypes, table) >= 0.95
    assert agreement(embeddings[:0], prototypes, table) == 1.0


def test_identical_and_opposite_photos_have_prototypes() -> None:
    same = np.tile(unit(np.ones((1, 4))), (5, 1))
    assert len(prototypes_of(same, np.zeros(5, np.int32), 4)[0]) == 1
    opposite = np.concatenate([same[:1], -same[:1]])
    prototypes, _ = prototypes_of(opposite, np.zeros(2, np.int32), 1)
    np.testing.assert_allclose(np.linalg.norm(prototypes, axis=1), 1, atol=1e-5)


BASELINE = OodModel("max_cosine", 0.0, 0.0)


def strange(table: PrototypeTable) -> ood.Score:
    return ood.prepare(BASELINE, table)


def test_scores_know_the_true_product() -> None:
    table = table_from_embeddings(np.eye(3, 4, dtype=np.float32), np.arange(3, dtype=np.int32), 1)
    photos = unit(np.array([[1.0, 0.5, 0, 0], [0.2, 1, 0, 0]]))
    found = scores_from_embeddings(table, photos, np.array([0, 2], np.int32), strange(table))
    assert found.best.tolist() == [0, 1]
    assert found.correct.tolist() == [True, False]
    np.testing.assert_allclose(found.own_gap, [0.0, found.similarity[1]], atol=1e-6)
    np.testing.assert_allclose(found.margin[0], photos[0, 0] - photos[0, 1], atol=0.01)
    assert found.set_size(0.0).tolist() == [1, 1]
    assert found.set_size(3.0).tolist() == [3, 3]


def test_a_single_class_leads_by_as_much_as_on_the_device() -> None:
    table = table_from_embeddings(np.eye(1, 4, dtype=np.float32), np.zeros(1, np.int32), 1)
    found = scores_from_embeddings(table, np.eye(1, 4, dtype=np.float32), np.zeros(1, np.int32), strange(table))
    assert found.margin[0] == pytest.approx(2.0, abs=0.01)


# conformal quantiles


@given(st.integers(1, 200), st.floats(0.01, 0.5))
def test_equal_weights_give_the_split_conformal_rank(count: int, miss: float) -> None:
    values = np.random.default_rng(count).permutation(count).astype(np.float32)
    rank = int(np.ceil((count + 1) * (1 - miss) - 1e-9))
    found = conformal_quantile(values, np.ones(count), miss)
    assert found == (rank - 1 if rank <= count else np.inf)


@given(st.integers(1, 120), st.sampled_from([0.01, 0.05, 0.1, 0.3]), st.integers(0, 20))
def test_over_the_quantile_is_what_crepes_rejects(count: int, miss: float, seed: int) -> None:
    """A value over the split-conformal quantile is one whose p-value does not exceed `miss`."""
    rng = np.random.default_rng(seed)
    known, fresh = rng.integers(0, 40, count).astype(np.float32), np.arange(41, dtype=np.float32)
    oracle = ConformalClassifier()
    oracle.fit(known)
    rejected = oracle.predict_p(fresh[:, None], smoothing=False).ravel() <= miss + 1e-12
    np.testing.assert_array_equal(fresh > conformal_quantile(known, np.ones(count), miss), rejected)


def test_19_photos_are_needed_for_five_percent() -> None:
    values = np.arange(19, dtype=np.float32)
    assert conformal_quantile(values, np.ones(19), 0.05) == 18
    assert conformal_quantile(values[:18], np.ones(18), 0.05) == np.inf
    assert conformal_quantile(values, np.zeros(19), 0.05) == np.inf


def test_weights_move_the_quantile() -> None:
    values = np.arange(100, dtype=np.float32)
    heavy_top = np.where(values >= 90, 9.0, 1.0)
    assert conformal_quantile(values, heavy_top, 0.3) > conformal_quantile(values, ONES, 0.3)


# unknown threshold and quality


def test_unknown_threshold_keeps_the_budget() -> None:
    rng = np.random.default_rng(0)
    model = ood_from_scores(BASELINE, rng.random(4000).astype(np.float32), np.ones(4000), 0.05)
    assert (rng.random(20000) > model.threshold).mean() == pytest.approx(0.05, abs=0.01)
    assert ood_from_scores(BASELINE, np.zeros(3, np.float32), np.ones(3), 0.05).threshold == np.inf


def test_auroc() -> None:
    low, high = np.arange(50, dtype=np.float32), np.arange(50, 60, dtype=np.float32)
    assert auroc(high, low, np.ones(50)) == 1.0
    assert auroc(low, low, np.ones(50)) == pytest.approx(0.5)
    assert auroc(high[:0], low, np.ones(50)) == 0.5


def test_quality_limits_follow_the_validation_photos() -> None:
    sides, sharp = np.full(1000, 200), np.arange(1000.0)
    limits = quality_from_photos(SPEC, sides, sharp)
    assert limits.min_side_px == 8
    assert limits.min_sharpness == pytest.approx(4, abs=1)
    assert quality_from_photos(SPEC, np.full(9, 5), sharp[:9]).min_side_px == 5
    assert quality_from_photos(SPEC, sides[:0], sharp[:0]).min_sharpness == 0.0


# twins


def wrong_about(true: list[int], best: list[int]) -> Scores:
    zeros, top = np.zeros(len(true), np.float32), np.zeros((len(true), DEPTH), np.float32)
    return Scores(np.array(true, np.int32), np.array(best, np.int32), zeros, zeros, zeros, zeros, top, zeros)


def test_twins_are_near_and_confused() -> None:
    rng = np.random.default_rng(0)
    means = rng.standard_normal((40, 30))
    means[1] = means[0] + 0.02 * rng.standard_normal(30)
    means[3] = means[2] + 0.02 * rng.standard_normal(30)  # near, and told apart
    centres = centroids(unit(means), np.arange(40, dtype=np.int32), 40)
    scores = wrong_about(
        [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [8] * 4, [0, 1, 1, 0, 0, 1, 1, 0] + [2] * 4 + [3] * 4 + [9] * 4
    )
    pairs = twins_from_scores(centres, scores)
    assert [(p.first, p.second, p.confused, p.photos) for p in pairs] == [(0, 1, 4, 8)]
    index = twin_index(pairs, 40)
    assert (index[0], index[1]) == (1, 0)
    assert (np.delete(index, [0, 1]) == -1).all()
    assert twins_from_scores(centres[:1], nothing()) == []


def test_successors_of_discontinued_products() -> None:
    products = [
        product(0, status="discontinued", successor="sku-0001"),
        product(1),
        product(2, status="discontinued", successor="sku-0099"),  # left out for want of photos
    ]
    assert successors_of(products).tolist() == [1, -1, -1]


# verify


def test_verify_sets_hold_the_true_product_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    scores, confidence = behind(rng, 4000)
    rule = verify_from_scores(scores, np.ones(4000), confidence, np.ones(4000, bool))
    fresh, sure = behind(rng, 4000)
    verified = (sure >= rule.confidence) & (fresh.set_size(rule.set_gap) <= MAX_SET)
    held = fresh.own_gap <= rule.set_gap
    assert verified.mean() > 0.5
    assert held[verified].mean() == pytest.approx(0.95, abs=0.02)
    assert rule.coverage >= 0.95


def test_verify_needs_photos() -> None:
    scores, confidence = behind(np.random.default_rng(0), 10)
    rule = verify_from_scores(scores, np.ones(10), confidence, np.ones(10, bool))
    assert rule.set_gap == WIDEST
    assert rule.confidence == np.inf
    assert verify_from_scores(nothing(), np.zeros(0), np.zeros(0, np.float32), np.zeros(0, bool)).confidence == np.inf


def behind(rng: np.random.Generator, count: int) -> tuple[Scores, np.ndarray]:
    """Return photos whose true product lies behind by an exponential distance, candidates 0.03 apart."""
    gap = np.where(rng.random(count) < 0.6, 0.0, rng.exponential(0.04, count)).astype(np.float32)
    top = (0.9 - 0.03 * np.arange(DEPTH)[None, :] * rng.uniform(0.5, 3, (count, 1))).astype(np.float32)
    true = np.zeros(count, np.int32)
    scores = Scores(true, true, top[:, 0], top[:, 0] - top[:, 1], gap, 1.0 - top[:, 0], top, gap)
    return scores, (1.0 / (1.0 + np.exp(20 * gap))).astype(np.float32)
