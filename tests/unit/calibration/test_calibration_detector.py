"""The choice of the unknown detector: p-values, who chooses and who reports, and what a whole fit finds."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_worlds import World, material
from hypothesis import given
from hypothesis import strategies as st

from calibration.learning import Learning
from calibration.rules import detector
from calibration.rules.conformal import conformal_quantile
from calibration.rules.detector import (
    BASELINE,
    BUDGETS,
    PValues,
    choose,
    figures_from_p_values,
    p_values,
    reports,
)
from calibration.rules.unseen import FOLDS, class_folds, group_folds
from edge.ood import METHODS

SKUS = [f"sku-{number}" for number in range(200)]
SMALL = (200, 200, 32)


def quiet(name: str) -> None:
    assert name


@given(st.integers(30, 200), st.integers(0, 99), st.sampled_from([0.05, 0.1, 0.3]))
def test_detected_at_a_budget_is_what_the_threshold_detects(count: int, seed: int, budget: float) -> None:
    rng = np.random.default_rng(seed)
    known, weights = rng.standard_normal(count).astype(np.float32), rng.uniform(0.5, 2.0, count)
    unknown = rng.standard_normal(50).astype(np.float32)
    threshold = conformal_quantile(known, weights, budget)
    np.testing.assert_array_equal(p_values(known, weights, unknown) <= budget + 1e-12, unknown > threshold)


def test_p_values_of_known_photos_are_uniform() -> None:
    rng = np.random.default_rng(0)
    p = p_values(
        rng.standard_normal(2000).astype(np.float32), np.ones(2000), rng.standard_normal(4000).astype(np.float32)
    )
    for budget in BUDGETS:
        assert (p <= budget).mean() == pytest.approx(budget, abs=0.015)
    assert (p_values(np.zeros(0, np.float32), np.zeros(0), np.zeros(3, np.float32)) == 1).all()


def values_of(rates: dict[str, float], seed: int = 0) -> dict[str, PValues]:
    """Return p-values of four photos for each product: of a method, the stated share lies under 0.05."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(200), 4)
    found = {}
    for name in METHODS:
        low = rng.random(800) < rates.get(name, 0.2)
        found[name] = PValues(np.where(low, 0.01, 0.5), owner)
    return found


def test_the_best_method_is_chosen_and_small_gains_are_not_worth_it() -> None:
    assert choose({"near": values_of({"energy": 0.6})}, SKUS, 0.05, SMALL) == "energy"
    assert choose({"near": values_of({}, 1)}, SKUS, 0.05, SMALL) in METHODS
    same = {"near": dict.fromkeys(METHODS, values_of({})[BASELINE])}
    assert choose(same, SKUS, 0.05, SMALL) == BASELINE
    assert choose({}, SKUS, 0.05, SMALL) == BASELINE


def test_a_method_that_costs_too_much_is_not_offered() -> None:
    kinds = {"near": values_of({"nearest_prototypes": 0.9})}
    assert choose(kinds, SKUS, 0.05, SMALL) == "nearest_prototypes"
    large = (20_000, 160_000, 192)
    assert choose(kinds, SKUS, 0.05, large) != "nearest_prototypes"
    offered = {figure.method: figure.offered for figure in figures_from_p_values(kinds, BASELINE, large, 0)}
    assert offered["max_cosine"]
    assert not offered["nearest_prototypes"]


def test_products_that_choose_do_not_report() -> None:
    shown = reports(SKUS)
    assert 60 < shown.sum() < 140
    hidden = values_of({"energy": 0.0})
    owner = hidden["energy"].owner
    hidden["energy"] = PValues(np.where(shown[owner], 0.01, 0.5), owner)  # good only where it reports
    assert choose({"near": hidden}, SKUS, 0.05, SMALL) != "energy"
    figures = figures_from_p_values({"near": {n: v.of(shown) for n, v in hidden.items()}}, BASELINE, SMALL, 0)
    energy = next(figure for figure in figures if figure.method == "energy").kinds[0]
    assert energy.detected["0.05"].value == 1.0
    assert energy.classes == shown.sum()


def test_intervals_hold_the_value() -> None:
    figures = figures_from_p_values({"near": values_of({})}, BASELINE, SMALL, 0)
    for figure in figures:
        for interval in (figure.kinds[0].auroc, *figure.kinds[0].detected.values()):
            assert interval.low <= interval.value <= interval.high


def test_folds_take_each_product_out_once_and_groups_together() -> None:
    assert np.bincount(class_folds(SKUS, 0)).tolist() == [40] * FOLDS
    groups = [f"brand-{number % 17}" for number in range(200)]
    fold = group_folds(groups, 0)
    assert len(set(fold)) == FOLDS
    assert len(set(zip(groups, fold.tolist(), strict=True))) == 17
    assert not group_folds(["one"] * 200, 0).any()


def test_a_fit_tells_strangers_kind_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(60)
    given_material = material(world, fit=6, certify=14)
    learning = Learning(given_material, world.rows(), 24, 2, np.full(60, 1 / 60), 0)
    learnt = learning.cross_fits(quiet)
    final = learning.final(learnt, quiet)
    model, figures = learning.detector(learnt, final, 0.05)
    assert model.method in METHODS
    assert sum(figure.chosen for figure in figures) == 1
    chosen = next(figure for figure in figures if figure.chosen)
    assert [kind.kind for kind in chosen.kinds] == ["near", "unknown/far"]
    assert chosen.kinds[0].classes < 60
    assert chosen.kinds[0].detected["0.01"].value <= chosen.kinds[0].detected["0.10"].value
    monkeypatch.setattr(detector, "_BLOCK", 7)
    again = learning.detector(learnt, final, 0.05)[1]
    for figure, other in zip(figures, again, strict=True):
        for one, two in zip(figure.kinds, other.kinds, strict=True):
            assert one.auroc.value == pytest.approx(two.auroc.value, abs=1e-4), "blocks of photos change nothing"
