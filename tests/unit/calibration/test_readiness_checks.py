"""The checks of the readiness report as pure functions: figures against known truths, verdicts, what they need."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readiness_worlds import detector

from calibration.readiness.calibration_error import Judged, check_calibration_error, plain_ece
from calibration.readiness.distances import Seen, check_distances, nearest
from calibration.readiness.footprint import Footprint
from calibration.readiness.headroom import check_headroom
from calibration.readiness.samples import check_samples, decile_ratio
from calibration.readiness.spread import check_spread, recognised_from, spread_of
from calibration.readiness.unknowns import check_unknowns, detector_from_report
from calibration.readiness.verdict import Limit, Topic, Verdict, binomial, judge, resampled
from edge.device import DeviceConfig, MemoryConfig
from edge.errors import BundleError


def skus(count: int) -> tuple[str, ...]:
    return tuple(f"sku-{i:04d}" for i in range(count))


@given(st.floats(allow_nan=True, allow_infinity=True), st.booleans())
def test_no_figure_that_is_not_a_number_passes(figure: float, at_most: bool) -> None:
    check = judge(Topic("k", "t", Limit(0.5, at_most, "share")), figure, None, ("", "kept", "past"))
    right = math.isfinite(figure) and (figure <= 0.5 if at_most else figure >= 0.5)
    assert (check.verdict is Verdict.PASS) == right
    assert check.advice == ("kept" if right else "past")


@pytest.mark.parametrize(("hits", "trials"), [(7, 51), (0, 20), (20, 20), (1, 4), (500, 1000)])
def test_exact_binomial_interval_is_clopper_and_pearson(hits: int, trials: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    oracle = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    found = binomial(hits, trials)
    assert (found.low, found.high) == (pytest.approx(oracle.low, abs=1e-9), pytest.approx(oracle.high, abs=1e-9))


def test_a_share_of_nothing_may_be_anything() -> None:
    assert (binomial(0, 0).low, binomial(0, 0).high) == (0.0, 1.0)


def test_bootstrap_is_seeded_and_covers_the_mean() -> None:
    values = np.random.default_rng(1).normal(3.0, 1.0, 400)
    first, again = (resampled(lambda drawn: float(values[drawn].mean()), 400, 7) for _ in range(2))
    assert first == again
    assert first.low < 3.0 < first.high
    assert first.high - first.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


@given(st.lists(st.integers(1, 60), min_size=20, max_size=60), st.integers(0, 2**31))
@settings(max_examples=30)
def test_ratio_ignores_order_and_doubled_photos(counts: list[int], seed: int) -> None:
    array = np.array(counts)
    shuffled = np.random.default_rng(seed).permutation(array)
    assert decile_ratio(array) == decile_ratio(shuffled) == pytest.approx(decile_ratio(2 * array))
    assert decile_ratio(array) >= 1.0


def test_sample_counts() -> None:
    check = check_samples(np.array([40] * 3 + [3] * 27), skus(30), 0)
    assert check.verdict is Verdict.FAIL
    assert check.figure == pytest.approx(40 / 3)
    assert check.details["histogram"] == [[3, 27], [40, 3]]
    assert check_samples(np.full(30, 5), skus(30), 0).verdict is Verdict.PASS
    few = check_samples(np.full(19, 5), skus(19), 0)
    assert few.verdict is Verdict.NOT_TESTABLE
    assert "20 products" in few.needs


def centres_with_a_close_pair(count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((count, 24))
    rows[1] = rows[0] + 0.05 * rng.standard_normal(24)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_nearest_against_the_plain_matrix() -> None:
    centres = centres_with_a_close_pair()
    cosines = centres @ centres.T - 3 * np.eye(len(centres), dtype=np.float32)
    neighbour, distance = nearest(centres)
    assert (neighbour == cosines.argmax(axis=1)).all()
    np.testing.assert_allclose(distance, 1 - cosines.max(axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("confused", "never", "verdict"),
    [
        (4, ("", ""), Verdict.FAIL),
        (4, ("twin: the device asks", ""), Verdict.FAIL),
        (4, ("twin: the device asks", "twin: the device asks"), Verdict.PASS),
        (0, ("", ""), Verdict.PASS),
        (1, ("", ""), Verdict.PASS),  # one slip is no confusion
    ],
)
def test_close_pair_must_be_handled_when_it_is_confused(
    confused: int, never: tuple[str, str], verdict: Verdict
) -> None:
    true = np.repeat(np.arange(40), 4).astype(np.int32)
    best = true.copy()
    best[:confused] = 1
    check = check_distances(centres_with_a_close_pair(), Seen(true, best), (*never, *[""] * 38), skus(40))
    assert check.verdict is verdict
    pair = check.details["pairs"][0]
    assert (pair["first"], pair["second"], pair["confused"], pair["photos"]) == ("sku-0000", "sku-0001", confused, 8)
    assert bool(pair["handled"]) == all(never)


def test_distances_without_photos_or_products_are_not_testable() -> None:
    none = Seen(np.zeros(0, np.int32), np.zeros(0, np.int32))
    check = check_distances(centres_with_a_close_pair(), none, ("",) * 40, skus(40))
    assert check.verdict is Verdict.NOT_TESTABLE
    assert check.details["pairs"]
    assert check_distances(centres_with_a_close_pair(8), none, ("",) * 8, skus(8)).verdict is Verdict.NOT_TESTABLE


def test_spread_takes_the_luck_of_few_photos_off() -> None:
    rng = np.random.default_rng(3)
    photos = rng.integers(3, 9, 4000)
    alike = spread_of(rng.binomial(photos, 0.8), photos)
    assert alike.raw > 0.15
    assert alike.corrected < 0.04
    truth = np.clip(rng.normal(0.7, 0.15, 4000), 0, 1)
    unlike = spread_of(rng.binomial(photos, truth), photos)
    assert unlike.corrected == pytest.approx(truth.std(), abs=0.015)


def test_spread_verdicts_and_the_weakest() -> None:
    true = np.repeat(np.arange(40), 4).astype(np.int32)
    best = true.copy()
    on_sale = np.ones(40, bool)
    even = check_spread(recognised_from(true, best, skus(40), ("0 tail",) * 40), on_sale, 0)
    assert even.verdict is Verdict.PASS
    assert even.figure == 0.0
    best[:40] = 39  # ten products never right, all taken for the last one
    uneven = check_spread(recognised_from(true, best, skus(40), ("0 tail",) * 40), on_sale, 0)
    assert uneven.verdict is Verdict.FAIL
    worst = uneven.details["worst"][0]
    assert (worst["right"], worst["photos"], worst["taken_for"]) == (0, 4, "sku-0039")
    on_sale[:20] = False
    assert check_spread(recognised_from(true, best, skus(40), ("0 tail",) * 40), on_sale, 0).verdict is (
        Verdict.NOT_TESTABLE
    )


def judged(photos: int, honest: bool, products: int = 50) -> Judged:
    rng = np.random.default_rng(5)
    stated = rng.beta(5, 1.2, photos).astype(np.float32)
    right = rng.random(photos) < (stated if honest else stated**3)
    labels = (np.arange(photos) % products).astype(np.int32)
    return Judged(stated, right, labels, np.full(photos, 1 / photos))


def test_calibration_error_of_an_honest_and_of_a_boasting_model() -> None:
    tiers = ("0 tail",) * 25 + ("2 head",) * 25
    honest = check_calibration_error(judged(3000, honest=True), tiers, 0)
    assert honest.verdict is Verdict.PASS
    assert honest.figure is not None
    assert honest.figure < 0.02
    boasting = check_calibration_error(judged(3000, honest=False), tiers, 0)
    assert boasting.verdict is Verdict.FAIL
    assert boasting.interval is not None
    assert boasting.interval.low <= boasting.figure <= boasting.interval.high
    assert {row["tier"] for row in boasting.details["tiers"]} == {"tail", "head"}


def test_calibration_error_needs_500_photos_also_per_tier() -> None:
    few = check_calibration_error(judged(499, honest=True), ("0 tail",) * 50, 0)
    assert few.verdict is Verdict.NOT_TESTABLE
    assert "500 photos" in few.needs
    tiers = ("0 tail",) * 45 + ("2 head",) * 5
    rows = {row["tier"]: row for row in check_calibration_error(judged(600, honest=True), tiers, 0).details["tiers"]}
    assert rows["head"]["ece"] is None
    assert rows["tail"]["ece"] is not None


def test_plain_ece_by_hand() -> None:
    right = np.array([True, False])
    assert plain_ece(np.array([0.6, 0.9]), right, np.ones(2)) == pytest.approx((0.4 + 0.9) / 2)


def device(budget_mib: int, engine: str = "onnxruntime") -> DeviceConfig:
    memory = MemoryConfig(total_mib=4000, system_mib=600, application_budget_mib=budget_mib)
    return DeviceConfig(
        module="small",
        jetpack="none",
        tensorrt="none",
        python="3.10",
        sm=None,
        memory=memory,
        bandwidth_gb_s=None,
        int8_dense_tops=None,
        int8_sparse_tops=None,
        power_modes=(),
        engine=engine,
    )


def test_memory_headroom() -> None:
    runs = [Footprint(80, 5, 30, 10, 130), Footprint(80, 5, 30, 10, 140)]
    check = check_headroom(device(250), runs, "onnxruntime", 1000)
    assert check.verdict is Verdict.PASS
    camera = 32 + 4 * 1920 * 1080 * 3 / 2**20
    needed = 140 + camera
    assert check.figure == pytest.approx(1 - needed / 250)
    assert sum(mib for _, mib in check.details["lines"]) == pytest.approx(check.details["needed_mib"])
    assert check.details["needed_mib"] == pytest.approx(needed)
    assert check_headroom(device(230), runs, "onnxruntime", 1000).verdict is Verdict.FAIL
    gpu = check_headroom(device(1200), runs, "tensorrt", 1000)
    assert gpu.figure == pytest.approx(1 - (needed + 600 + 256) / 1200)
    assert check_headroom(device(200), [], "onnxruntime", 1000).verdict is Verdict.NOT_TESTABLE


def test_unknown_products_are_judged_on_new_brands_at_five_percent() -> None:
    check = check_unknowns(detector_from_report({"detector": detector()}))
    assert check.verdict is Verdict.PASS
    assert check.figure == pytest.approx(0.83)
    assert "5 % false unknowns" in check.found
    assert "31%" in check.found
    assert [kind["kind"] for kind in check.details["kinds"]] == ["near", "brands", "shifted", "unknown/far"]
    assert check_unknowns(detector_from_report({"detector": detector(brands=0.5)})).verdict is Verdict.FAIL


def test_unknown_products_not_testable() -> None:
    assert check_unknowns(detector_from_report({})).verdict is Verdict.NOT_TESTABLE
    few = check_unknowns(detector_from_report({"detector": detector(classes=49)}))
    assert few.verdict is Verdict.NOT_TESTABLE
    assert "50" in few.needs
    no_brands = detector()
    no_brands["methods"][1]["kinds"] = no_brands["methods"][1]["kinds"][:1]
    assert check_unknowns(detector_from_report({"detector": no_brands})).verdict is Verdict.NOT_TESTABLE


def test_a_bundle_at_another_budget_says_so() -> None:
    check = check_unknowns(detector_from_report({"detector": detector(budget=0.02)}))
    assert "2.0% false unknowns" in check.found


def test_a_detector_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BundleError, match="detector"):
        detector_from_report({"detector": {"method": 3}})
