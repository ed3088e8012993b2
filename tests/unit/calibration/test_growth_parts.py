"""The parts of forecast and plan: extrapolation, families, short features, rehearsals, room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calibration_worlds import SPEC, World, material, product
from hypothesis import given
from hypothesis import strategies as st

from calibration.fit import Settings
from calibration.growth import forecast
from calibration.growth.compressed import Space, space_of
from calibration.growth.extrapolate import Pair, expit, forecast_at, logit, slope_from_pairs, step_to
from calibration.growth.families import families_from_products, subset
from calibration.growth.forecast import ahead, study
from calibration.growth.plan import plan_for
from calibration.growth.rehearsal import narrowed, rehearse, resplit, restricted
from calibration.growth.room import table_size
from calibration.growth.trial import Outcome, grown, trial
from calibration.growth.workshop import joint_catalogue
from calibration.photos.catalogue import Catalogue
from calibration.rules.groups import Group, Targets, groups_of
from calibration.space.head import Discriminant, embed
from calibration.space.table import centroids
from edge.errors import CatalogueError
from edge.parameters import PrototypeTable

SETTINGS = Settings(Targets(0.05, 0.5, 0.9), 0.05, 2, 16, False, 0)


@given(st.floats(0.05, 0.95), st.floats(-0.5, 0.5), st.floats(1.1, 4.0), st.integers(0, 1000))
def test_what_growth_did_is_carried_on(share: float, slope: float, factor: float, seed: int) -> None:
    pairs = [Pair(n, float(expit(logit(share) + slope * step_to(n / 200))), share) for n in (50, 50, 100, 150)]
    found = slope_from_pairs(pairs, 200)
    assert found.value == pytest.approx(slope, abs=1e-9)
    ahead_of_it = forecast_at(found, factor, 0.3, seed)
    assert ahead_of_it.value == pytest.approx(expit(0.3 + slope * step_to(factor)))
    assert 0.0 <= ahead_of_it.low <= ahead_of_it.value <= ahead_of_it.high <= 1.0


def test_harder_products_are_no_growth() -> None:
    pairs = [Pair(50, share, share) for share in (0.2, 0.5, 0.8)]
    found = slope_from_pairs(pairs, 200)
    assert found.value == 0.0
    assert found.spread > 0.1
    wide, narrow = forecast_at(found, 2.0, 0.0, 0), forecast_at(slope_from_pairs([pairs[1]] * 3, 200), 2.0, 0.0, 0)
    assert wide.high - wide.low > narrow.high - narrow.low


def test_noisy_pairs_give_an_interval_that_mostly_holds_what_comes() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for draw in range(200):
        pairs = []
        for products in [250] * 4 + [500] * 4 + [750] * 2:
            among = generator.normal(0.0, 0.2)
            noise = generator.normal(0.0, 0.1 / np.sqrt(products / 250))
            pairs.append(Pair(products, float(expit(among + 0.3 * step_to(products / 1000) + noise)), expit(among)))
        found = forecast_at(slope_from_pairs(pairs, 1000), 2.0, 0.0, draw)
        held += found.low <= expit(0.3 * step_to(2.0)) <= found.high
    assert held >= 170  # of 200: the true share, at 90 %


def test_without_pairs_nothing_is_said_to_change() -> None:
    assert forecast_at(slope_from_pairs([], 100), 2.0, 0.4, 0).value == pytest.approx(expit(0.4))


def test_families_come_from_the_best_column_there_is() -> None:
    none = np.zeros((0, 0), np.float32)
    named = [product(n, extra={"family": f"f{n // 2}", "brand": "b"}) for n in range(4)]
    assert families_from_products(named, none) == (("f0", "f0", "f1", "f1"), "family")
    branded = [product(n, extra={"brand": f"b{n % 2}"}) for n in range(4)]
    assert families_from_products(branded, none)[0] == ("b0/food", "b1/food", "b0/food", "b1/food")
    centres = np.array([[1, 0], [0.99, 0.14], [0, 1], [-1, 0]], np.float32)
    clusters, source = families_from_products([product(n) for n in range(4)], centres)
    assert source == "clusters of centroids"
    assert clusters[0] == clusters[1] != clusters[2]


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(0, 5), st.floats(0.1, 1.0))
def test_a_subset_cuts_one_family_at_most(families: list[int], seed: int, fraction: float) -> None:
    names = [str(f) for f in families]
    wanted = max(round(fraction * len(names)), 1)
    kept = subset(names, wanted, seed)
    assert kept.sum() == wanted
    cut = [n for n in set(names) if 0 < sum(k for k, m in zip(kept, names, strict=True) if m == n) < names.count(n)]
    assert len(cut) <= 1


def test_short_features_tell_products_apart_like_long_ones() -> None:
    world = World(30, spread=1.0)
    world_material = material(world)
    rows, taught, test = world.rows(), world_material.reference, world_material.test
    everything = np.arange(world.drawn)
    short = space_of(rows, taught.rows, everything, 0, short=30)
    assert short.rows.dimension == 30
    assert space_of(rows, taught.rows, everything, 0).rows is rows
    right = []
    for space in (Space(rows, None), short):
        head = Discriminant.of(space.rows, taught.rows, taught.labels, space.shrinkage).head(space.rows, 16)
        centres = centroids(embed(head, space.rows, taught.rows), taught.labels, 30)
        right.append(((embed(head, space.rows, test.rows) @ centres.T).argmax(axis=1) == test.labels).mean())
    assert right[1] > right[0] - 0.08


def test_narrowed_material_keeps_the_photos_of_its_products() -> None:
    world_material = material(World(12))
    kept = np.arange(12) % 3 == 0
    small = narrowed(world_material, kept)
    assert [p.sku for p in small.products] == [p.sku for p, k in zip(world_material.products, kept, strict=True) if k]
    for photos in (small.reference, small.fit, small.certify, small.test):
        assert photos.kinds == tuple(small.products[label].sku for label in photos.labels)


def test_a_rehearsal_is_repeatable_and_its_shares_sum_to_one() -> None:
    world = World(30, spread=1.2)
    world_material = material(world, certify=8)
    space = Space(world.rows(), None)
    found = [rehearse(resplit(world_material, 3), space, SETTINGS) for _ in range(2)]
    assert found[0] is not None
    assert found[1] is not None
    first, second = (trial(one, SPEC, SETTINGS, draws=4) for one in found)
    assert first == second
    for outcome in first.outcomes:
        assert outcome.accept + outcome.verify + outcome.review + outcome.unknown == pytest.approx(1.0)
    assert rehearse(narrowed(world_material, np.arange(30) == 4), space, SETTINGS) is None


def test_a_rehearsal_without_test_photos_measures_on_those_not_drawn() -> None:
    world = World(20, spread=1.2)
    world_material = material(world, certify=8)
    bare = replace(world_material, test=world_material.test.take(np.zeros(0, np.intp)))
    rehearsal = rehearse(bare, Space(world.rows(), None), SETTINGS)
    assert rehearsal is not None
    assert 0.5 < trial(rehearsal, SPEC, SETTINGS, draws=3).mean("top1") <= 1.0


def test_a_forecast_is_anchored_on_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "FRACTIONS", ((0.5, 2),))
    monkeypatch.setattr(forecast, "WHOLES", 1)
    monkeypatch.setattr(forecast, "RICH_PHOTOS", 1000)
    world = World(24, spread=1.2)
    world_material = material(world, certify=8)
    families = [str(n // 3) for n in range(24)]
    found = study(world_material, families, Space(world.rows(), None), SPEC, SETTINGS, lambda _: None)
    same = found.wholes[0].trial
    present = Outcome(*(same.mean(name) for name in ("top1", "accept", "verify", "review", "unknown", "wrong")), None)
    plain = ahead(found, 2.0, present, 0)
    better = ahead(found, 2.0, replace(present, top1=present.top1 + 0.03), 0)
    assert plain.products == 48
    assert better.shares["top1"].value > plain.shares["top1"].value
    assert better.shares["accept"] == plain.shares["accept"]


def test_a_larger_catalogue_has_the_photos_for_more_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which tiers are claimed hangs on the photos that certify, and twice the catalogue has twice as many."""
    world = World(12)
    rehearsal = rehearse(material(world), Space(world.rows(), None), SETTINGS)
    assert rehearsal is not None
    seen: list[int] = []

    def recorded(*arguments: Any) -> list[Group]:
        seen.append(int(arguments[3].sum()))
        return groups_of(*arguments)

    monkeypatch.setattr("calibration.growth.trial.groups_of", recorded)
    grown(rehearsal, SPEC, SETTINGS, 2.0)
    assert set(seen) == {2 * len(rehearsal.material.certify)}


def test_restricted_keeps_the_rivals_and_asks_about_few() -> None:
    world = World(24, spread=0.7)
    rehearsal = rehearse(material(world), Space(world.rows(), None), SETTINGS)
    assert rehearsal is not None
    kept = np.arange(24) < 6
    few = restricted(rehearsal, kept)
    assert set(few.pool.scores.true.tolist()) == set(range(6))
    everywhere = rehearsal.pool.scores.correct[kept[rehearsal.pool.scores.true]].mean()
    assert few.pool.scores.correct.mean() == everywhere
    assert few.mix.share[~kept].sum() == 0.0
    assert few.mix.covered.all()


def test_a_catalogue_too_small_to_cut_is_refused() -> None:
    world = World(3)
    with pytest.raises(CatalogueError, match="3 products"):
        study(material(world), ["a", "b", "c"], Space(world.rows(), None), SPEC, SETTINGS, lambda _: None)


def test_a_copy_of_a_product_endangers_it_first() -> None:
    world = World(20, spread=1.5)
    world.means[19] = world.means[4] + 0.05
    world_material = material(world, fit=6, certify=8)
    new = np.arange(20) == 19
    plan = plan_for(world_material, new, Space(world.rows(), None), SPEC, SETTINGS)
    worst = plan.endangered[0]
    assert (worst.product, worst.rival) == (4, 19)
    assert worst.loss is not None
    assert worst.loss > 3 * abs(plan.endangered[1].loss or 0.0)
    assert worst.top1[1] < worst.top1[0]
    assert [newcomer.twin for newcomer in plan.newcomers] == [4]


def test_a_new_product_without_validation_photos_is_told_so() -> None:
    world = World(12, spread=1.5)
    world_material = material(world)
    none_of_it = {
        name: photos.take(np.flatnonzero(photos.labels != 11))
        for name, photos in (("fit", world_material.fit), ("certify", world_material.certify))
    }
    plan = plan_for(
        replace(world_material, **none_of_it), np.arange(12) == 11, Space(world.rows(), None), SPEC, SETTINGS
    )
    newcomer = plan.newcomers[0]
    assert newcomer.top1 is None
    assert any("never accepted" in need for need in newcomer.needs)


def test_a_table_grows_with_its_products() -> None:
    table = PrototypeTable(np.ones((8, 16), np.int8), 0.01, np.repeat(np.arange(4, dtype=np.int32), 2))
    one, two = table_size(table, 100, 0), table_size(table, 200, 0)
    assert two.table_bytes == 2 * one.table_bytes
    assert one.table_bytes == 100 * 2 * (16 + 4)


def test_a_sku_in_both_catalogues_is_refused() -> None:
    shop = Catalogue(Path("shop"), (product(1), product(2)), (), (), False, ())
    with pytest.raises(CatalogueError, match="sku-0002"):
        joint_catalogue(shop, replace(shop, path=Path("new"), products=(product(2), product(3))))
