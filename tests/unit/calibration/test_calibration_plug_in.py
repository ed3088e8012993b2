"""The baseline: thresholds per class without a bound keep their target on the photos that set them, and only there."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from calibration.rules.plug_in import plug_in_thresholds


@given(st.integers(0, 999), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_target_holds_on_the_photos_that_set_it(seed: int, target: float) -> None:
    rng = np.random.default_rng(seed)
    confidence, best = rng.random(80).astype(np.float32), rng.integers(0, 6, 80).astype(np.int32)
    right = rng.random(80) < confidence
    cut = plug_in_thresholds(confidence, best, right, 7, target)
    for one in range(6):
        taken = (best == one) & (confidence >= cut[one])
        assert not taken.any() or (~right[taken]).mean() <= target
    taken = confidence >= cut[6]  # nobody was taken for the last class: it gets what holds over all
    assert not taken.any() or (~right[taken]).mean() <= target


def test_it_breaks_on_fresh_photos() -> None:
    rng = np.random.default_rng(0)
    best = np.repeat(np.arange(200, dtype=np.int32), 12)

    def drawn() -> tuple[np.ndarray, np.ndarray]:
        confidence = rng.beta(4, 1, len(best)).astype(np.float32)
        return confidence, rng.random(len(best)) < confidence

    confidence, right = drawn()
    cut = plug_in_thresholds(confidence, best, right, 200, 0.02)
    fresh, outcome = drawn()
    taken = fresh >= cut[best]
    assert (~outcome[taken]).mean() > 0.04


def test_a_class_of_wrong_photos_is_never_accepted() -> None:
    confidence = np.array([0.9, 0.8], np.float32)
    cut = plug_in_thresholds(confidence, np.zeros(2, np.int32), np.zeros(2, bool), 1, 0.05)
    assert cut[0] == np.inf
