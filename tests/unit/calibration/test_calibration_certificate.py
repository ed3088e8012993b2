"""Does the certificate hold? Simulated shops, seeded: what is promised at 90 % may fail in one calibration of ten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.rules.bounds import p_value
from calibration.rules.cut_path import Claims, Path, Side, sums_along, walked
from calibration.rules.groups import Group, Part, Targets, groups_of
from calibration.rules.scores import DEPTH, Scores
from calibration.rules.thresholds import Evidence, GroupCut, thresholds_from_scores

# Groups of (classes, photos per class, share accepted, share of these wrong).
SHOPS = {
    "alike": [(1000, 3, 0.4, 0.01)],
    "errors in the classes with few photos": [(500, 2, 0.1, 0.06), (500, 13, 0.6, 0.0)],
    "errors in the classes with many photos": [(500, 2, 0.3, 0.0), (500, 13, 0.6, 0.015)],
    "a rare heavy group": [(50, 1, 0.2, 0.3), (950, 13, 0.6, 0.0)],
    "one class always wrong": [(1, 2, 0.5, 1.0), (500, 10, 0.6, 0.0)],
}


@pytest.mark.parametrize("shop", SHOPS)
@pytest.mark.parametrize("miss", [0.1, 0.033])
def test_weighted_bound_is_missed_no_more_often_than_stated(shop: str, miss: float) -> None:
    """At a target equal to the truth, a certificate is wrong: it may be given with probability `miss` at most."""
    rng, runs = np.random.default_rng(1), 4000
    accepted = sum(classes * share for classes, _, share, _ in SHOPS[shop])
    truth = sum(classes * share * wrong for classes, _, share, wrong in SHOPS[shop]) / accepted
    total, errors, squares = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    for classes, photos, share, wrong in SHOPS[shop]:
        taken = rng.binomial(classes * photos, share, runs)
        bad = rng.binomial(taken, wrong)
        total, errors, squares = total + taken / photos, errors + bad / photos, squares + bad / photos**2
    largest = max(1 / photos for _, photos, _, _ in SHOPS[shop])
    given = (p_value(total, errors, squares, largest, truth) <= miss).mean()
    assert given <= miss + 3 * (miss * (1 - miss) / runs) ** 0.5


class Shop:
    """Products of different difficulty; a few are confused with another one, and the confidence does not know it.

    A third stands alone: what resembles those looks more like them, and the confidence does not know that either.
    """

    def __init__(self, seed: int, classes: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.classes = classes
        self.skill = self.rng.normal(2.2, 0.8, classes)
        self.overstated = self.rng.beta(0.3, 12, classes)
        self.crowding = self.rng.uniform(0, 1, classes).astype(np.float32)

    def draw(self, photos: np.ndarray) -> Evidence:
        rng = self.rng
        true = np.repeat(np.arange(self.classes), photos).astype(np.int32)
        count = len(true)
        z = rng.normal(self.skill[true], 1.0)
        confidence = sigmoid(z)
        right = rng.random(count) < confidence * (1.0 - 0.25 * self.overstated[true])
        best = np.where(right, true, self.other(true))
        similarity = np.clip(0.75 + 0.02 * z + 0.08 * rng.standard_normal(count), 0, 1).astype(np.float32)
        other = self.other(true)
        alone = self.crowding[other] < 0.33
        strange = sigmoid(rng.normal(-0.5 + 1.5 * alone, 1.2))
        far = np.clip(0.66 + 0.03 * alone + 0.08 * rng.standard_normal(count), 0, 1).astype(np.float32)
        weight = (1.0 / self.classes / photos)[true]
        everyone = np.ones(count, bool)
        nobody = np.full(count, -1, np.int32)
        return Evidence(
            self.scores(true, best, similarity), weight, confidence, everyone,
            self.scores(nobody, other, far), weight, strange, everyone,
        )  # fmt: skip

    def other(self, true: np.ndarray) -> np.ndarray:
        return (true + 1 + self.rng.integers(0, self.classes - 1, len(true))) % self.classes

    def scores(self, true: np.ndarray, best: np.ndarray, similarity: np.ndarray) -> Scores:
        nothing = np.zeros(len(true), np.float32)
        top = np.zeros((len(true), DEPTH), np.float32)
        best = best.astype(np.int32)
        return Scores(true, best, similarity, nothing, nothing, 1.0 - similarity, top, self.crowding[best])


class TwoAisles(Shop):
    """Products of odd and of even number are never taken for each other."""

    def other(self, true: np.ndarray) -> np.ndarray:
        return (true + 2 + 2 * self.rng.integers(0, self.classes // 2 - 1, len(true))) % self.classes


def sigmoid(z: np.ndarray) -> np.ndarray:
    return (1.0 / (1.0 + np.exp(-2.2 * z))).astype(np.float32)


def calibrate_and_check(seed: int, classes: int, targets: Targets, tiers: int) -> tuple[bool, bool]:
    """Return whether anything was certified, and whether fresh photos break any part of what a cut claims."""
    shop = Shop(seed, classes)
    tier = np.arange(classes) % tiers
    parts = tuple(Part(f"{n}", tuple(np.flatnonzero(tier == n).tolist())) for n in range(tiers))
    learn, certify = shop.draw(shop.rng.integers(1, 8, classes)), shop.draw(shop.rng.integers(2, 14, classes))
    cuts = thresholds_from_scores(learn, certify, [Group("all", "global", parts)], classes, targets)
    fresh = shop.draw(np.full(classes, 50))
    return cuts[0].certified, cuts[0].certified and breaks(cuts[0], fresh, targets)


def breaks(cut: GroupCut, fresh: Evidence, targets: Targets) -> bool:
    taken = reaches(cut, fresh.confidence, fresh.scores)
    let_in = reaches(cut, fresh.unseen_confidence, fresh.unseen)
    everywhere = np.ones(len(fresh.scores), bool)
    inside = [everywhere] + [np.isin(fresh.scores.best, p.members) for p in cut.group.parts if claimed(cut, p.name)]
    band = np.digitize(fresh.unseen.crowding, [band.crowding_from for band in cut.bands[1:]])
    beside = [everywhere] + [band == n for n, one in enumerate(cut.bands) if one.near_unknown_bound < 1]
    wrong = ~fresh.scores.correct
    errors = [fresh.weight[taken & some & wrong].sum() / fresh.weight[taken & some].sum() for some in inside]
    unknown = [fresh.unseen_weight[let_in & some].sum() / fresh.unseen_weight[some].sum() for some in beside]
    return max(errors) > targets.accept_error or max(unknown) > targets.near_unknown


def claimed(cut: GroupCut, part: str) -> bool:
    return next(figure for figure in cut.parts if figure.name == part).error_bound < 1


def reaches(cut: GroupCut, confidence: np.ndarray, found: Scores) -> np.ndarray:
    return (confidence >= np.float32(cut.confidence)) & (found.strange <= cut.strangeness(found.crowding))


@pytest.mark.parametrize(
    ("classes", "targets", "tiers", "useful"),
    [
        (300, Targets(0.02, 0.1, 0.9), 1, 0.5),
        (100, Targets(0.05, 0.2, 0.9), 1, 0.9),
        (300, Targets(0.05, 0.06, 0.9), 2, 0.3),
    ],
)
def test_promise_holds_on_fresh_photos(classes: int, targets: Targets, tiers: int, useful: float) -> None:
    runs = [calibrate_and_check(seed, classes, targets, tiers) for seed in range(24)]
    certified = np.mean([given for given, _ in runs])
    broken = sum(bad for _, bad in runs)
    assert broken <= 5  # at exactly 10 % more than 5 of 24 have a probability of 2.8 %; these runs are seeded
    assert certified >= useful, "the certificate holds, but it is never given"


def test_what_a_degraded_device_promises_holds_on_fresh_photos() -> None:
    runs = [degraded_and_check(seed, 600, Targets(0.04, 0.2, 0.9)) for seed in range(16)]
    broken = sum(bad for _, bad in runs)
    assert broken <= 4  # at exactly 10 % more than 4 of 16 have a probability of 1.7 %; these runs are seeded
    assert np.mean([given for given, _ in runs]) >= 0.8, "the certificate holds, but it is never given"


def degraded_and_check(seed: int, classes: int, targets: Targets) -> tuple[bool, bool]:
    shop = Shop(seed, classes)
    learn, certify = shop.draw(shop.rng.integers(1, 8, classes)), shop.draw(shop.rng.integers(2, 14, classes))
    parts = (Part("0", tuple(range(classes))),)
    (cut,) = thresholds_from_scores(learn, certify, [Group("all", "global", parts)], classes, targets)
    strict = as_degraded(cut)
    assert strict.confidence >= cut.confidence
    assert all(s.strangeness <= b.strangeness for s, b in zip(strict.bands, cut.bands, strict=True))
    promised = Targets(cut.strict_error, cut.strict_near_unknown, targets.certainty)
    assert not strict.certified or promised.accept_error <= 0.75 * targets.accept_error
    return strict.certified, strict.certified and breaks(strict, shop.draw(np.full(classes, 50)), promised)


def as_degraded(cut: GroupCut) -> GroupCut:
    bands = tuple(replace(band, strangeness=band.strict_strangeness) for band in cut.bands)
    return replace(cut, confidence=cut.strict_confidence, bands=bands)


def test_a_look_alike_of_a_product_that_stands_alone_meets_a_stricter_limit() -> None:
    shop = Shop(3, 300)
    learn, certify = shop.draw(np.full(300, 8)), shop.draw(np.full(300, 12))
    parts = (Part("0", tuple(range(300))),)
    (cut,) = thresholds_from_scores(learn, certify, [Group("all", "global", parts)], 300, Targets(0.05, 0.1, 0.9))
    alone, crowded = cut.bands
    assert alone.strangeness < crowded.strangeness
    assert 0 < alone.near_unknown <= alone.near_unknown_bound <= 0.1
    assert cut.strangeness(np.array([0.0, 1.0], np.float32)).tolist() == [
        np.float32(alone.strangeness),
        np.float32(crowded.strangeness),
    ]


@given(
    seed=st.integers(0, 50),
    accept_error=st.floats(0.01, 0.2),
    near_unknown=st.floats(0.02, 0.4),
    certainty=st.floats(0.5, 0.99),
    stricter=st.tuples(*[st.floats(0.3, 1.0)] * 3),
)
def test_a_stricter_promise_ends_a_walk_no_later(
    seed: int, accept_error: float, near_unknown: float, certainty: float, stricter: tuple[float, float, float]
) -> None:
    """Cut points are monotone in the promise along one path; which path is laid is another question."""
    certify = Shop(seed, 60).draw(np.full(60, 8))
    path = Path(np.linspace(1.0, 0.3, 40), (np.linspace(0.0, -0.6, 40),), start=6, expected=0.0)
    miss = 1.0 - certainty
    claims = Claims(accept_error, near_unknown, miss, by_part=False, by_band=False)
    strict = Claims(accept_error * stricter[0], near_unknown * stricter[1], miss * stricter[2], False, False)
    sums = sums_along([[one_cell(certify)]], path, float(certify.weight.max()))
    ends = [walked(sums.p_value(some), path.start, some.miss) for some in (strict, claims)]
    assert ends[0] <= ends[1]


def one_cell(evidence: Evidence) -> Side:
    return Side(
        evidence.confidence, -evidence.scores.strange, evidence.weight, ~evidence.scores.correct,
        evidence.unseen_confidence, -evidence.unseen.strange, evidence.unseen_weight,
        float(evidence.unseen_weight.sum()), float(evidence.weight.sum()), len(evidence.weight),
    )  # fmt: skip


def test_few_look_alikes_make_one_band() -> None:
    shop = Shop(3, 60)
    learn, certify = shop.draw(np.full(60, 4)), shop.draw(np.full(60, 6))
    parts = (Part("0", tuple(range(60))),)
    (cut,) = thresholds_from_scores(learn, certify, [Group("all", "global", parts)], 60, Targets(0.05, 0.1, 0.9))
    assert [band.crowding_from for band in cut.bands] == [-np.inf]


def test_a_part_that_nothing_can_be_proved_of_does_not_cost_the_others_everything() -> None:
    """The errors of part 1 are many; its claim would leave nothing, so only all products together have one."""
    shop = TwoAisles(5, 400)
    shop.overstated[1::2] = 0.25
    shop.overstated[::2] = 0.0
    learn, certify = shop.draw(np.full(400, 20)), shop.draw(np.full(400, 20))
    parts = tuple(Part(f"{n}", tuple(range(n, 400, 2))) for n in range(2))
    (cut,) = thresholds_from_scores(learn, certify, [Group("all", "global", parts)], 400, Targets(0.05, 0.3, 0.9))
    assert cut.certified
    assert [part.error_bound for part in cut.parts] == [1.0, 1.0]
    assert cut.error_bound <= 0.05


def test_a_tier_too_small_for_a_claim_keeps_the_target_all_the_same() -> None:
    """All errors are in tier 1: together with tier 0 they pass, so the step is taken at which tier 1 does too."""
    shop = TwoAisles(5, 400)
    shop.overstated[1::2] = 0.25
    shop.overstated[::2] = 0.0
    shop.skill[1::2] -= 1.0
    learn, certify = shop.draw(np.full(400, 20)), shop.draw(np.full(400, 20))
    everyone = (Part("all", tuple(range(400))),)
    tiers = tuple(Part(f"{n}", tuple(range(n, 400, 2))) for n in range(2))
    targets = Targets(0.09, 0.3, 0.9)
    (together,), (even,) = (
        thresholds_from_scores(learn, certify, [Group("all", "global", everyone, some)], 400, targets)
        for some in ((), tiers)
    )
    fresh = shop.draw(np.full(400, 50))
    assert 0 < even.share < together.share
    assert worst_tier(even, fresh) < worst_tier(together, fresh)


def worst_tier(cut: GroupCut, fresh: Evidence) -> float:
    taken = reaches(cut, fresh.confidence, fresh.scores)
    tiers = [taken & (fresh.scores.best % 2 == tier) for tier in range(2)]
    return max(float((~fresh.scores.correct[some]).mean()) for some in tiers)


def grouped(photos: list[int], share: list[float], tiers: list[str]) -> list[tuple[str, str, list[str]]]:
    names = [f"sku-{number}" for number in range(len(photos))]
    targets = Targets(0.01, 0.1, 0.9)
    found = groups_of(names, tiers, np.array(share) / sum(share), np.array(photos, np.int64), targets)
    everyone = sorted(member for group in found for member in group.members)
    assert everyone == list(range(len(photos)))
    return [(group.name, group.source, [part.name for part in group.parts]) for group in found]


TIERS = ["0 tail"] * 100 + ["1 mid"] * 100 + ["2 head"] * 100
ALL = "tail+mid+head"


def test_few_photos_make_one_part() -> None:
    assert grouped([3] * 300, [1.0] * 300, TIERS) == [(ALL, "global", [ALL])]


def test_tiers_with_enough_photos_are_parts() -> None:
    assert grouped([30] * 300, [1.0] * 300, TIERS) == [(ALL, "global", ["tail", "mid", "head"])]


def test_tiers_without_enough_are_joined_with_a_neighbour_so_that_the_weakest_part_is_strong() -> None:
    light = [30] * 100 + [12] * 100 + [30] * 100
    assert grouped(light, [1.0, 0.6] * 50 + [0.4] * 100 + [0.3] * 100, TIERS) == [(ALL, "global", ["tail", "mid+head"])]


def test_a_product_with_enough_photos_for_its_share_stands_alone() -> None:
    photos, share = [30] * 299 + [20_000], [1.0] * 299 + [100.0]
    assert grouped(photos, share, TIERS) == [
        (ALL, "global", ["tail", "mid", "head"]),
        ("sku-299", "class", ["sku-299"]),
    ]


def test_many_photos_of_a_small_share_are_not_enough() -> None:
    """Its errors are photos of other products, each of which weighs as much as a third of all its own."""
    assert len(grouped([3] * 299 + [20_000], [1.0] * 300, TIERS)) == 1


def test_without_photos_there_is_one_group() -> None:
    assert grouped([0, 0], [1.0, 1.0], ["0 tail", "1 head"]) == [("tail+head", "global", ["tail+head"])]
