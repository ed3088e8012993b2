"""Does the certificate hold? Simulated shops, seeded: what is promised at 90 % may fail in one calibration of ten."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.rules.bounds import p_value
from calibration.rules.scores import DEPTH, Scores
from calibration.rules.thresholds import Evidence, Group, Targets, groups_of, thresholds_from_scores

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
    """Products of different difficulty; a few are confused with another one, and the confidence does not know it."""

    def __init__(self, seed: int, classes: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.classes = classes
        self.skill = self.rng.normal(2.2, 0.8, classes)
        self.overstated = self.rng.beta(0.3, 12, classes)

    def draw(self, photos: np.ndarray) -> Evidence:
        rng = self.rng
        true = np.repeat(np.arange(self.classes), photos).astype(np.int32)
        count = len(true)
        z = rng.normal(self.skill[true], 1.0)
        confidence = sigmoid(z)
        right = rng.random(count) < confidence * (1.0 - 0.25 * self.overstated[true])
        best = np.where(right, true, self.other(true))
        similarity = np.clip(0.75 + 0.02 * z + 0.08 * rng.standard_normal(count), 0, 1).astype(np.float32)
        strange = sigmoid(rng.normal(-0.5, 1.2, count))
        far = np.clip(0.66 + 0.08 * rng.standard_normal(count), 0, 1).astype(np.float32)
        weight = (1.0 / self.classes / photos)[true]
        everyone = np.ones(count, bool)
        nobody = np.full(count, -1, np.int32)
        return Evidence(
            scores(true, best, similarity), weight, confidence, everyone,
            scores(nobody, self.other(true), far), weight, strange, everyone,
        )  # fmt: skip

    def other(self, true: np.ndarray) -> np.ndarray:
        return (true + 1 + self.rng.integers(0, self.classes - 1, len(true))) % self.classes


def sigmoid(z: np.ndarray) -> np.ndarray:
    return (1.0 / (1.0 + np.exp(-2.2 * z))).astype(np.float32)


def scores(true: np.ndarray, best: np.ndarray, similarity: np.ndarray) -> Scores:
    nothing = np.zeros(len(true), np.float32)
    top = np.zeros((len(true), DEPTH), np.float32)
    return Scores(true, best.astype(np.int32), similarity, nothing, nothing, 1.0 - similarity, top)


def calibrate_and_check(seed: int, classes: int, targets: Targets, tiers: int) -> tuple[bool, bool]:
    """Return whether anything was certified, and whether fresh photos break any part of the promise."""
    shop = Shop(seed, classes)
    tier = np.arange(classes) % tiers
    groups = [Group(f"{n}", "tier", tuple(np.flatnonzero(tier == n).tolist())) for n in range(tiers)]
    learn, certify = shop.draw(shop.rng.integers(1, 8, classes)), shop.draw(shop.rng.integers(2, 14, classes))
    fresh = shop.draw(np.full(classes, 50))
    broken = False
    cuts = thresholds_from_scores(learn, certify, groups, classes, targets)
    for cut in cuts:
        member = cut.group.flags(classes)
        taken = member[fresh.scores.best] & reaches(fresh.confidence, fresh.scores, cut.confidence, cut.strangeness)
        near = member[fresh.unseen.best]
        let_in = near & reaches(fresh.unseen_confidence, fresh.unseen, cut.confidence, cut.strangeness)
        if cut.certified:
            error = fresh.weight[taken & ~fresh.scores.correct].sum() / fresh.weight[taken].sum()
            unknown = fresh.unseen_weight[let_in].sum() / fresh.unseen_weight[near].sum()
            broken |= bool(error > targets.accept_error or unknown > targets.near_unknown)
        else:
            assert not taken.any()
    return any(cut.certified for cut in cuts), broken


def reaches(confidence: np.ndarray, found: Scores, least: float, most: float) -> np.ndarray:
    return (confidence >= np.float32(least)) & (found.strange <= np.float32(most))


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


def grouped(photos: list[int], share: list[float], tiers: list[str]) -> list[tuple[str, str]]:
    names = [f"sku-{number}" for number in range(len(photos))]
    targets = Targets(0.01, 0.1, 0.9)
    found = groups_of(names, tiers, np.array(share) / sum(share), np.array(photos, np.int64), targets)
    everyone = sorted(member for group in found for member in group.members)
    assert everyone == list(range(len(photos)))
    return [(group.name, group.source) for group in found]


TIERS = ["0 tail"] * 100 + ["1 head"] * 100


def test_few_photos_make_one_group() -> None:
    assert grouped([3] * 200, [1.0] * 200, TIERS) == [("tail+head", "global")]


def test_tiers_with_enough_photos_stand_alone() -> None:
    assert grouped([30] * 200, [1.0] * 200, TIERS) == [("tail", "tier"), ("head", "tier")]
    assert grouped([12] * 100 + [30] * 100, [1.0] * 100 + [0.1] * 100, TIERS) == [("tail+head", "global")]


def test_a_product_with_enough_photos_for_its_share_stands_alone() -> None:
    photos, share = [30] * 199 + [20_000], [1.0] * 199 + [100.0]
    assert grouped(photos, share, TIERS) == [("tail", "tier"), ("head", "tier"), ("sku-199", "class")]


def test_many_photos_of_a_small_share_are_not_enough() -> None:
    """Its errors are photos of other products, each of which weighs as much as a third of all its own."""
    assert ("sku-199", "class") not in grouped([3] * 199 + [20_000], [1.0] * 200, TIERS)


def test_without_photos_there_is_one_group() -> None:
    assert grouped([0, 0], [1.0, 1.0], ["0 tail", "1 head"]) == [("tail+head", "global")]
