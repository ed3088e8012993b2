from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from calibration.rules.bounds import clean_photos_needed, p_value, regularised_beta, upper_bound


def test_incomplete_beta_is_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b, x = rng.uniform(0.1, 5000, 3000), rng.uniform(0.1, 300, 3000), rng.uniform(0, 1, 3000) ** 0.05
    np.testing.assert_allclose(regularised_beta(a, b, x), special.betainc(a, b, x), atol=1e-10)
    assert regularised_beta(np.array([2.0]), np.array([3.0]), np.array([0.0]))[0] == 0.0
    assert regularised_beta(np.array([2.0]), np.array([3.0]), np.array([1.0]))[0] == 1.0


@pytest.mark.parametrize("errors", [0, 1, 5, 40])
def test_equal_weights_give_clopper_pearson(errors: int) -> None:
    photos, weight = 400, 0.003
    found = upper_bound(photos * weight, errors * weight, errors * weight**2, weight, 0.1)
    assert found == pytest.approx(stats.beta.ppf(0.9, errors + 1, photos - errors), abs=1e-9)
    p = p_value(np.array([photos * weight]), np.array([errors * weight]), np.array([errors * weight**2]), weight, 0.02)
    assert p[0] == pytest.approx(stats.binom.cdf(errors, photos, 0.02), abs=1e-10)


def test_230_clean_photos_certify_one_percent() -> None:
    assert clean_photos_needed(0.01, 0.1) == 230
    assert upper_bound(230, 0, 0, 1, 0.1) <= 0.01 < upper_bound(229, 0, 0, 1, 0.1)


def test_nothing_accepted_is_never_certified() -> None:
    assert upper_bound(0.0, 0.0, 0.0, 1.0, 0.1) == 1.0
    assert p_value(np.zeros(1), np.zeros(1), np.zeros(1), 1.0, 0.5)[0] == 1.0


def test_a_heavier_error_or_a_heavier_photo_weakens_the_bound() -> None:
    light = upper_bound(300.0, 1.0, 1.0, 1.0, 0.1)
    assert upper_bound(300.0, 3.0, 9.0, 3.0, 0.1) > light
    assert upper_bound(300.0, 1.0, 1.0, 3.0, 0.1) > light
    everything_wrong = upper_bound(10.0, 10.0, 10.0, 1.0, 0.1)
    assert everything_wrong == pytest.approx(1.0)
