"""The rules against the statistics that they promise: seeded Monte Carlo, each bar with room for its own noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edge.config import AccuracyFloor, AccuracyRule, TierFloors
from edge.feedback.accept_error import Doubt
from edge.feedback.audit import is_drawn
from edge.feedback.discovery import believed
from edge.feedback.figures import Sum, accuracy_rows
from edge.feedback.interval import at_most, exact, wilson
from edge.feedback.low_accuracy import Limits, Window, low_twice
from edge.feedback.new_products import reached
from edge.feedback.page_hinkley import Stream
from edge.feedback.tally import Checked
from edge.messages import AccuracyRow

RULE = AccuracyRule(charged=0.97, asked=0.5, false_discovery=0.1)
LIMITS = Limits(RULE, {})


@given(st.integers(0, 400), st.data(), st.floats(0.001, 0.999))
def test_the_tail_and_the_interval_are_scipys(checked: int, data: st.DataObject, share: float) -> None:
    right = data.draw(st.integers(0, checked))
    assert at_most(right, checked, share) == pytest.approx(stats.binom.cdf(right, checked, share), rel=1e-9, abs=1e-300)
    if checked:
        expected = stats.binomtest(right, checked).proportion_ci(0.95, "exact")
        assert exact(right, checked) == pytest.approx((expected.low, expected.high), abs=1e-9)
        wanted = stats.binomtest(right, checked).proportion_ci(0.95, "wilson")
        assert wilson(right / checked, checked) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_nothing_checked_says_nothing() -> None:
    assert exact(0, 0) == (0.0, 1.0)
    assert at_most(0, 0, 0.97) == 1.0
    assert believed([], [], 0.1) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_without_hopeless_tests_it_is_benjamini_and_hochberg(p_values: list[float]) -> None:
    adjusted = stats.false_discovery_control(p_values)
    clear = np.abs(adjusted - 0.1) > 1e-12
    mine = np.isin(np.arange(len(p_values)), believed(p_values, [0.0] * len(p_values), 0.1))
    assert (mine == (adjusted <= 0.1))[clear].all()


def test_tests_that_cannot_be_significant_cost_the_others_nothing() -> None:
    surely, hopeless = 0.002, 0.5
    assert believed([surely] + [0.9] * 2000, [0.0001] + [hopeless] * 2000, 0.1) == [0]
    assert believed([surely] + [0.9] * 2000, [0.0001] * 2001, 0.1) == []


def window(generator: np.random.Generator, checked: np.ndarray, rates: np.ndarray) -> Window:
    right = generator.binomial(checked, rates)
    pairs = zip(right.tolist(), checked.tolist(), strict=True)
    return Window({}, {f"product:{number}": pair for number, pair in enumerate(pairs)})


def test_two_thousand_products_with_nothing_wrong_stay_quiet() -> None:
    """The plain rule, 5 % in each of two windows, fires about as often as 2,000 x 0.05 x 0.05 = 5 times a pair."""
    generator = np.random.default_rng(11)
    plain = fired = 0
    for _ in range(30):
        checked, rates = generator.integers(20, 200, 2000), np.full(2000, RULE.asked)
        before, now = window(generator, checked, rates), window(generator, checked, rates)
        found, tests = low_twice(before, now, LIMITS)
        assert tests == 2000
        fired += bool(found)
        right = np.array([[count for count, _ in one.asked.values()] for one in (before, now)])
        plain += int((stats.binom.cdf(right, checked, RULE.asked) <= 0.05).all(axis=0).sum())
    assert plain / 30 > 2.5, "the naive rule does fire, or this test shows nothing"
    assert fired <= 1


def test_of_what_is_told_at_most_the_stated_share_is_wrong_and_what_is_low_is_found() -> None:
    generator = np.random.default_rng(12)
    shares, found_of_low = [], []
    for _ in range(15):
        checked, rates = np.full(2000, 100), np.full(2000, RULE.asked)
        rates[:40] = 0.2
        found, _ = low_twice(window(generator, checked, rates), window(generator, checked, rates), LIMITS)
        wrong = sum(int(low.name) >= 40 for low in found)
        shares.append(wrong / max(len(found), 1))
        found_of_low.append((len(found) - wrong) / 40)
    assert np.mean(shares) <= RULE.false_discovery
    assert np.mean(found_of_low) > 0.9


def test_one_bad_window_is_not_two() -> None:
    bad, good = Window({"product:a": (80, 100)}, {}), Window({"product:a": (99, 100)}, {})
    assert low_twice(bad, good, LIMITS)[0] == []
    assert low_twice(good, bad, LIMITS)[0] == []
    assert [low.name for low in low_twice(bad, bad, LIMITS)[0]] == ["a"]
    assert low_twice(bad, Window({}, {}), LIMITS) == ([], 0), "what was not checked is not tested"


def test_a_tier_and_its_products_are_held_to_their_own_floor() -> None:
    rule = AccuracyRule(charged=0.97, tiers=TierFloors(tail=AccuracyFloor(charged=0.7)))
    counts = dict.fromkeys(("all:", "product:a", "product:b", "tier:head", "tier:tail"), (80, 100))
    window = Window(counts, dict.fromkeys(counts, (20, 100)))
    found, tests = low_twice(window, window, Limits(rule, {"a": "tail", "b": "head"}))
    assert tests == 10
    told = {(low.question, low.scale, low.name) for low in found}
    assert {(scale, name) for question, scale, name in told if question == "charged"} == {
        ("all", ""),
        ("product", "b"),
        ("tier", "head"),
    }
    assert len([question for question, *_ in told if question == "asked"]) == 5, "0.5 holds where nothing else is said"


def first_doubt(outcomes: np.ndarray, target: float = 0.01) -> int | None:
    doubt = Doubt(target=target)
    return next((number for number, wrong in enumerate(outcomes, 1) if doubt.take(not wrong, 0.05)), None)


def test_a_claim_that_holds_is_doubted_at_most_as_often_as_stated_however_long_one_looks() -> None:
    generator = np.random.default_rng(13)
    alarms = [first_doubt(generator.random(2500) < 0.01) is not None for _ in range(200)]
    assert np.mean(alarms) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(("rate", "audits"), [(0.05, 250), (0.10, 80)])
def test_a_claim_that_is_false_is_doubted_soon(rate: float, audits: int) -> None:
    generator = np.random.default_rng(14)
    moments = [first_doubt(generator.random(4000) < rate) or 4000 for _ in range(100)]
    assert np.median(moments) <= audits


def test_a_fault_that_begins_late_is_not_drowned_in_a_good_past() -> None:
    generator = np.random.default_rng(15)
    late = []
    for _ in range(100):
        outcomes = np.concatenate([generator.random(3000) < 0.005, generator.random(2000) < 0.06])
        late.append((first_doubt(outcomes) or 5000) - 3000)
    assert np.median(late) <= 450


def test_the_stake_of_the_doubt_is_fair() -> None:
    """Its mean under the claim is 1, by enumeration of all courses of twelve audits."""
    target, total = 0.2, 0.0
    for course in range(2**12):
        doubt, chance = Doubt(target=target), 1.0
        for bit in range(12):
            wrong = bool(course >> bit & 1)
            chance *= target if wrong else 1 - target
            doubt.take(not wrong, 1e-9)
        total += chance * doubt.stake
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.3])
def test_a_rate_that_stays_is_not_called_drifting(rate: float) -> None:
    generator = np.random.default_rng(16)
    alarms = 0
    for _ in range(30):
        stream = Stream()
        alarms += any(stream.take(bool(value), 0.1, 80.0) for value in generator.random(5000) < rate)
    assert alarms <= 1


@pytest.mark.parametrize(("before", "after", "direction"), [(0.05, 0.15, "up"), (0.3, 0.1, "down")])
def test_a_rate_that_drifts_is_found_with_its_evidence(before: float, after: float, direction: str) -> None:
    generator = np.random.default_rng(17)
    stream = Stream()
    for value in generator.random(2000) < before:
        assert stream.take(bool(value), 0.1, 80.0) is None
    found = None
    for value in generator.random(500) < after:
        found = found or stream.take(bool(value), 0.1, 80.0)
    assert found is not None
    assert found.direction == direction
    assert found.rate_before == pytest.approx(before, abs=0.03)
    assert abs(found.rate_since - before) > abs(after - before) / 2


def test_growth_is_told_by_level() -> None:
    assert reached(0, 100, (0.05, 0.1)) is None
    assert reached(4, 104, (0.05, 0.1)) is None
    assert reached(5, 105, (0.05, 0.1)) == 0.05
    assert reached(10, 110, (0.05, 0.1)) == 0.1
    assert reached(3, 3, (0.05,)) == 0.05
    assert reached(50, 100, ()) is None


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_the_draw_is_a_fair_share_and_always_the_same(share: float) -> None:
    drawn = [is_drawn("epoch", seq, share) for seq in range(20_000)]
    assert drawn == [is_drawn("epoch", seq, share) for seq in range(20_000)]
    assert np.mean(drawn) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 20_000))


def row_of(rows: tuple[AccuracyRow, ...], scale: str, name: str = "") -> AccuracyRow:
    return next(row for row in rows if (row.scale, row.name) == (scale, name))


def test_weights_undo_what_the_review_queue_hides() -> None:
    """Accepted things are right in 99 %, asked ones in 60 %; one in 50 of the accepted is checked, all asked ones."""
    generator = np.random.default_rng(18)
    covered, weighted, plain = [], [], []
    for _ in range(100):
        checked = [
            Checked(True, True, "a" if right else "b", "head", "a", "head") for right in generator.random(60) < 0.99
        ] + [
            Checked(False, False, "a" if right else "b", "head", "a", "head") for right in generator.random(1000) < 0.6
        ]
        checked += [Checked(True, False, "b", "head", "a", "head")] * 20  # corrections by a cashier: no fair draw
        rows = accuracy_rows(checked, [Sum(True, "a", "head", 3000, 2940.0), Sum(False, "", "head", 1000, 500.0)])
        found = row_of(rows, "all").weighted
        assert found is not None
        truth = (3000 * 0.99 + 1000 * 0.6) / 4000
        covered.append(found.low <= truth <= found.high)
        weighted.append(found.value)
        plain.append(found.right / found.checked)
    assert np.mean(weighted) == pytest.approx(truth, abs=0.005)
    assert np.mean(plain) < 0.65, "what comes back by itself says something else"
    assert np.mean(covered) >= 0.93


def test_estimated_and_measured_stand_apart() -> None:
    rows = accuracy_rows([], [Sum(True, "a", "head", 10, 9.8), Sum(False, "", "head", 5, 2.0)])
    row = row_of(rows, "product", "a")
    assert (row.charged, row.asked, row.weighted, row.things) == (None, None, None, 10)
    assert row.estimated == pytest.approx(0.98)
    measured = accuracy_rows([Checked(True, True, "a", "head", None, "none")], [])
    assert row_of(measured, "product", "a").charged is not None, "by what was charged"
    assert row_of(measured, "product", "a").estimated is None


def test_where_no_audit_was_answered_nothing_is_weighted() -> None:
    rows = accuracy_rows([Checked(False, False, "a", "head", "a", "head")], [Sum(True, "a", "head", 10, 9.8)])
    assert all(row.weighted is None for row in rows)
