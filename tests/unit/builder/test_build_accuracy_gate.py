"""What INT8 recognises less than float, and what can be told of it from so many photos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.gate import ALL, Accuracy, Line, accuracy_of, refuse_losses
from builder.labelled import TIERS, Labelled
from edge.errors import GateError

LIMITS = (0.5, 1.0)


def _accuracy(
    wrong: dict[int, int], products: int = 100, each: int = 20, limits: tuple[float, float] = LIMITS
) -> Accuracy:
    """`products` of `each` photos, all right in float; INT8 takes `wrong[i]` photos of product i for the next one."""
    labels = np.repeat(np.arange(products, dtype=np.int32), each)
    int8 = labels.copy()
    for product, count in wrong.items():
        int8[product * each : product * each + count] = (product + 1) % products
    labelled = Labelled(
        paths=(),
        labels=labels,
        skus=tuple(f"s{i:03d}" for i in range(products)),
        tiers=tuple(TIERS[i % 3] for i in range(products)),
        left_out=3,
    )
    return accuracy_of(labelled, labels, int8, limits, seed=0)


def _line(accuracy: Accuracy, name: str) -> Line:
    return next(line for line in accuracy.lines if line.name == name)


def test_many_photos_without_a_difference_pass() -> None:
    found = _accuracy({}, products=300)
    assert [line.name for line in found.lines] == [ALL, "tail", "mid", "head", "worst tenth"]
    assert {line.verdict for line in found.lines[:4]} == {"pass"}
    assert (found.same, found.left_out, found.lost_most) == (1.0, 3, ())
    refuse_losses(found)


def test_few_photos_without_a_difference_tell_nothing() -> None:
    """None of 60 photos differs: up to 5 points may be lost (the rule of three)."""
    found = _accuracy({}, products=6, each=10)
    assert found.overall.verdict == "not testable"
    assert (found.overall.low, found.overall.high) == (-5.0, 5.0)
    assert found.overall.needs == 6000
    refuse_losses(found)


def test_a_loss_over_the_limit_is_refused_with_the_products_that_lost_most() -> None:
    found = _accuracy(dict.fromkeys(range(0, 300, 3), 2) | {4: 20}, products=300)
    assert _line(found, "tail").verdict == "fail"
    assert _line(found, "tail").loss == pytest.approx(10.0)
    assert _line(found, "head").verdict == "pass"
    assert found.overall.loss == pytest.approx(100 * (100 * 0.1 + 1) / 300)
    assert found.lost_most[0].sku == "s004"
    assert (found.lost_most[0].float32, found.lost_most[0].int8) == (20, 0)
    with pytest.raises(GateError, match=r"all 3\.67 points .*; tail 10\.00 points .*; lost most: s004 20 -> 0 of 20"):
        refuse_losses(found)


def test_a_loss_that_luck_explains_is_not_refused() -> None:
    """Three photos of 200 in one product: 1.5 points, and it may as well be none."""
    found = _accuracy({3: 3}, products=20, each=10)
    assert found.overall.loss == pytest.approx(1.5)
    assert found.overall.verdict == "not testable"
    assert found.overall.needs > 200


def test_a_loss_so_large_that_few_photos_tell_is_refused() -> None:
    found = _accuracy(dict.fromkeys(range(20), 6), products=20, each=10)
    assert found.overall.verdict == "fail"


def test_the_limits_are_those_that_were_given() -> None:
    wrong = dict.fromkeys(range(0, 300, 3), 2)
    assert _accuracy(wrong, products=300, limits=(5.0, 11.0)).failed == ()
    assert [line.name for line in _accuracy(wrong, products=300, limits=(5.0, 9.0)).failed] == ["tail"]


def test_gains_pass() -> None:
    labels = np.repeat(np.arange(60, dtype=np.int32), 20)
    before = np.where(np.arange(len(labels)) % 4 == 0, (labels + 1) % 60, labels).astype(np.int32)
    labelled = Labelled((), labels, tuple(str(i) for i in range(60)), ("tail",) * 60, 0)
    found = accuracy_of(labelled, before, labels, LIMITS, 0)
    assert found.overall.loss == pytest.approx(-25.0)
    assert found.overall.verdict == "pass"
    assert found.same == 0.75


def test_the_worst_tenth_is_shown_and_not_judged() -> None:
    found = _line(_accuracy(dict.fromkeys(range(10), 10)), "worst tenth")
    assert (found.products, found.photos, found.verdict) == (10, 200, "not judged")
    assert (found.float32, found.int8) == (1.0, 0.5)


def test_every_product_is_counted() -> None:
    found = _accuracy({7: 5}).per_sku
    assert found.sku[7] == "s007"
    assert (found.photos[7], found.float32[7], found.int8[7]) == (20, 20, 15)
    assert sum(found.float32) - sum(found.int8) == 5


@given(st.dictionaries(st.integers(0, 29), st.integers(0, 10), max_size=30), st.floats(0.1, 5.0))
def test_what_fails_is_over_its_limit_and_what_passes_is_not_for_sure(wrong: dict[int, int], limit: float) -> None:
    for line in _accuracy(wrong, products=30, each=10, limits=(limit, limit)).lines[:-1]:
        assert line.low is not None
        assert line.high is not None
        assert line.low <= line.loss <= line.high
        if line.verdict == "fail":
            assert line.loss > limit
        elif line.verdict == "pass":
            assert line.loss <= limit
        else:
            assert (line.high - line.low) / 2 > limit
            assert line.needs > line.photos
