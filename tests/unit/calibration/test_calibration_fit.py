"""The whole fit on synthetic features, judged by the device's own pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from calibration_worlds import SPEC, ArrayRows, World, material

from calibration.assemble import bundle_in_memory
from calibration.fit import Fitted, Settings, fit
from calibration.photos.material import Material
from calibration.photos.mix import photo_weights
from calibration.photos.photoset import Photoset
from calibration.report.evaluate import decide, outcome_of, risk_coverage
from calibration.rules.allowance import Allowance
from calibration.rules.groups import Targets
from calibration.rules.scores import DEPTH, Scores
from calibration.space.expected import expected_of
from calibration.space.head import embed
from edge.build_folder import BuildFolder
from edge.engine_row import join_rows
from edge.engines.fake import FakeEngine
from edge.parameters import QualityLimits
from edge.pipeline import Pipeline
from edge.types import Decision, Reason, Route

SETTINGS = Settings(Targets(0.05, 0.3, 0.9), 0.05, 4, 24, False, 0)


def quiet(name: str) -> None:
    assert name


def run(world: World, given: Material, settings: Settings = SETTINGS) -> Fitted:
    return fit(given, world.rows(), SPEC, settings, quiet)


def pipeline(fitted: Fitted, given: Material, settings: Settings = SETTINGS) -> Pipeline:
    info = SimpleNamespace(engine="onnxruntime", backbone="", input=SPEC, max_batch=8, network_mib=0.0)
    build = cast(BuildFolder, SimpleNamespace(id="0" * 16, info=info, graph=Path("graph")))
    return Pipeline(bundle_in_memory(build, fitted, given, settings), FakeEngine())


def decisions(fitted: Fitted, given: Material, photos: Photoset, rows: ArrayRows) -> list[Decision]:
    expected = expected_of(fitted.expectation, rows, photos.rows)
    return decide(pipeline(fitted, given), join_rows(embed(fitted.head, rows, photos.rows), expected), photos)


def accepted(found: list[Decision]) -> float:
    return float(np.mean([d.route is Route.ACCEPT for d in found]))


@pytest.fixture(scope="module")
def shop() -> tuple[World, Material, Fitted]:
    world = World(60)
    given = material(world, fit=6, certify=14)
    return world, given, run(world, given)


def test_what_is_accepted_is_right(shop: tuple[World, Material, Fitted]) -> None:
    world, given, fitted = shop
    found = decisions(fitted, given, given.test, world.rows())
    outcome = outcome_of(found, given.test.kinds, photo_weights(fitted.mix.wanted, given.test.labels))
    assert outcome.shares["accept"] > 0.25
    assert outcome.accepted_error <= 0.05
    assert outcome.top1 > 0.8
    assert outcome.set_coverage > 0.9
    assert sum(outcome.shares.values()) == pytest.approx(1.0)
    assert fitted.int8_agreement > 0.95
    far = decisions(fitted, given, given.unknown, world.rows())
    assert accepted(far) <= 0.1


def test_forecast_counts_photos_as_the_device_does(shop: tuple[World, Material, Fitted]) -> None:
    world, given, fitted = shop
    found = decisions(fitted, given, given.certify, world.rows())
    assert sum(d.route is Route.ACCEPT for d in found) == sum(cut.accepted for cut in fitted.groups)


def test_more_error_allowed_accepts_more(shop: tuple[World, Material, Fitted]) -> None:
    world, given, _ = shop
    shares = []
    for error in (0.01, 0.2):
        fitted = run(world, given, replace(SETTINGS, targets=Targets(error, 0.4, 0.9)))
        shares.append(accepted(decisions(fitted, given, given.test, world.rows())))
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]
    by_target = {(a.accept_error, a.near_unknown): a.accepted for a in shop[2].alternatives}
    assert by_target[(0.025, 0.3)] <= by_target[(0.05, 0.3)] <= by_target[(0.1, 0.3)] <= by_target[(0.1, 0.6)]
    assert by_target[(0.05, 0.15)] <= by_target[(0.05, 0.3)]


def test_order_of_photos_changes_nothing(shop: tuple[World, Material, Fitted]) -> None:
    world, given, fitted = shop
    rng = np.random.default_rng(5)
    shuffled = replace(
        given,
        **{name: shuffle(getattr(given, name), rng) for name in ("reference", "fit", "certify", "test")},
    )
    other = run(world, shuffled)
    first = {row: (d.route, d.sku) for row, d in by_row(fitted, given, world)}
    second = {row: (d.route, d.sku) for row, d in by_row(other, shuffled, world)}
    assert np.mean([first[row] == second[row] for row in first]) > 0.98
    np.testing.assert_allclose(other.rules.cuts.accept_confidence, fitted.rules.cuts.accept_confidence, rtol=0.02)


def shuffle(photos: Photoset, rng: np.random.Generator) -> Photoset:
    return photos.take(rng.permutation(len(photos)))


def by_row(fitted: Fitted, given: Material, world: World) -> list[tuple[int, Decision]]:
    found = decisions(fitted, given, given.test, world.rows())
    return list(zip(given.test.rows.tolist(), found, strict=True))


def test_order_of_products_changes_nothing(shop: tuple[World, Material, Fitted]) -> None:
    world, given, fitted = shop
    number = np.random.default_rng(6).permutation(len(given.products))  # of each product in the other order
    moved = replace(
        given,
        products=tuple(given.products[int(old)] for old in np.argsort(number)),
        tiers=tuple(given.tiers[int(old)] for old in np.argsort(number)),
        **{name: renumbered(getattr(given, name), number) for name in ("reference", "fit", "certify", "test")},
    )
    other = run(world, moved)
    first = {row: (d.route, d.sku) for row, d in by_row(fitted, given, world)}
    second = {row: (d.route, d.sku) for row, d in by_row(other, moved, world)}
    assert np.mean([first[row] == second[row] for row in first]) > 0.98
    offset, permuted = fitted.rules.confidence.class_offset, other.rules.confidence.class_offset
    np.testing.assert_allclose(permuted[number], offset, atol=0.02)


def renumbered(photos: Photoset, number: np.ndarray) -> Photoset:
    return replace(photos, labels=number[photos.labels].astype(np.int32))


def test_a_twin_that_is_out_is_not_known(shop: tuple[World, Material, Fitted]) -> None:
    _, given, fitted = shop
    fold = np.arange(len(given.products), dtype=np.int64) % 5
    twin = np.full(len(given.products), -1, np.int32)
    twin[1], twin[6], twin[2] = 6, 1, 8  # 1 and 6 are out in one round, 2 and 8 are not
    before = Allowance(
        confidence=fitted.rules.confidence,
        ood=replace(fitted.rules.ood, threshold=np.inf),
        quality=QualityLimits(0, 0.0),
        twin=twin,
        discontinued=np.zeros(len(twin), bool),
        fold=fold,
    )
    photos = given.certify.take(np.array([int(np.flatnonzero(given.certify.labels == c)[0]) for c in (6, 8, 8)]))
    best = np.array([1, 2, 3], np.int32)  # the twin of each product that is out, and another one
    some = np.full(3, 0.5, np.float32)
    seen = Scores(photos.labels, photos.labels, some, some, some, some, np.zeros((3, DEPTH), np.float32), some)
    unseen = replace(seen, best=best)
    evidence = before.evidence(photos, seen, unseen, np.ones(3))
    # 6 is out with its photo, so 1 has no twin there; 8 is out, and 2 has none; for photos of 4 both are known
    assert evidence.unseen_allowed.tolist() == [True, True, True]
    other = given.certify.take(np.flatnonzero(given.certify.labels == 4)[:3])
    assert before.evidence(other, seen, unseen, np.ones(3)).unseen_allowed.tolist() == [False, False, True]
    enrolled = before.evidence(photos, replace(seen, best=np.array([1, 2, 6], np.int32)), unseen, np.ones(3))
    assert not enrolled.allowed.any()


def test_not_finite_embedding_is_reviewed(shop: tuple[World, Material, Fitted]) -> None:
    _, given, fitted = shop
    nothing = np.zeros((1, fitted.head.dimension + 1), np.float32)
    found = decide(pipeline(fitted, given), nothing, given.test.take(np.array([0])))[0]
    assert (found.route, found.reasons, found.sku) == (Route.REVIEW, (Reason.NOT_FINITE,), None)


def test_a_sales_mix_changes_the_weights() -> None:
    world = World(30)
    heavy: Mapping[int, Mapping[str, Any]] = {0: {"weight": 20.0}, 1: {"weight": 0.0}}
    given = material(world, changes=heavy)
    weighted = run(world, given, replace(SETTINGS, weighted=True))
    plain = run(world, given)
    assert weighted.mix.wanted[0] == pytest.approx(20 / 48)
    assert weighted.mix.share[1] == 0
    assert not weighted.mix.covered[1]
    assert weighted.rules.cuts.accept_confidence[1] == np.inf
    assert plain.mix.share[0] == pytest.approx(1 / 30)


def test_discontinued_products_are_never_accepted() -> None:
    world = World(30)
    given = material(world, certify=12, changes={4: {"status": "discontinued", "successor": "sku-0005"}})
    fitted = run(world, given)
    assert fitted.rules.cuts.successor[4] == 5
    found = decisions(fitted, given, given.test, world.rows())
    of_it = [d for d, kind in zip(found, given.test.kinds, strict=True) if kind == "sku-0004"]
    assert accepted(of_it) == 0
    assert any(Reason.TOMBSTONE in d.reasons for d in of_it)


def test_one_class_is_never_accepted() -> None:
    world = World(1)
    given = material(world, reference=30, fit=40, certify=400)
    fitted = run(world, given)
    assert not any(cut.certified for cut in fitted.groups)
    assert accepted(decisions(fitted, given, given.test, world.rows())) == 0
    assert fitted.head.method == "pca"


def test_two_classes_work() -> None:
    world = World(2, family=1)
    given = material(world, certify=100)
    assert_no_nan(run(world, given))


@pytest.mark.parametrize(("fit_photos", "certify"), [(0, 0), (0, 1), (1, 1)])
def test_few_validation_photos_certify_nothing(fit_photos: int, certify: int) -> None:
    world = World(12)
    given = material(world, reference=1, fit=fit_photos, certify=certify)
    fitted = run(world, given)
    assert_no_nan(fitted)
    assert np.isinf(fitted.rules.cuts.accept_confidence).all()
    assert set(fitted.rules.cuts.source) == {"none"}
    found = decisions(fitted, given, given.test, world.rows())
    assert accepted(found) == 0
    assert {reason for d in found for reason in d.reasons} & {Reason.NOT_CERTIFIED, Reason.OOD}


def test_a_product_without_validation_photos_is_not_accepted() -> None:
    world = World(60)
    given = material(world, certify=14)
    lost = np.flatnonzero(given.certify.labels != 7)
    given = replace(given, certify=given.certify.take(lost))
    fitted = run(world, given)
    assert any(cut.certified for cut in fitted.groups)
    assert np.isinf(fitted.rules.cuts.accept_confidence[7])
    assert not fitted.mix.covered[7]
    assert fitted.rules.cuts.source[7] == "none"
    assert fitted.rules.cuts.source[8] == "global"


def test_a_degraded_device_keeps_stricter_limits_and_accepts_no_more() -> None:
    world = World(60)
    given = material(world, certify=40)
    fitted = run(world, given)
    cuts = fitted.rules.cuts
    taken = cuts.strict_confidence <= 1.0
    assert taken.any()
    assert (cuts.strict_confidence >= cuts.accept_confidence).all()
    assert (cuts.strict_strangeness <= cuts.accept_strangeness).all()
    assert 0 < fitted.accepted_degraded <= fitted.alternatives[0].accepted


def test_photos_that_are_all_alike_certify_nothing() -> None:
    world = World(10, spread=0.0, noise=0.0, family=20)
    given = material(world)
    fitted = run(world, given)
    assert_no_nan(fitted)
    assert accepted(decisions(fitted, given, given.test, world.rows())) == 0


def assert_no_nan(fitted: Fitted) -> None:
    cuts, confidence = fitted.rules.cuts, fitted.rules.confidence
    for array in (cuts.accept_confidence, cuts.accept_strangeness, cuts.verify_confidence, confidence.class_offset):
        assert not np.isnan(array).any()
    assert np.isfinite([cuts.set_gap, confidence.bias, fitted.rules.quality.min_sharpness]).all()
    assert not np.isnan(fitted.rules.ood.threshold)


def test_risk_coverage_ends_at_the_whole() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.2], np.float32)
    curve = risk_coverage(confidence, np.array([True, True, False, False]), np.ones(4), 10)
    assert curve.coverage[-1] == pytest.approx(1.0)
    assert curve.risk[-1] == pytest.approx(0.5)
    assert curve.risk[0] == 0.0
    assert risk_coverage(confidence[:0], np.zeros(0, bool), np.ones(0), 10).coverage == ()
