"""The stages together, on a real engine: products are accepted, near ones verified, strangers unknown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import samples

from edge.bundle import Bundle
from edge.engines import EngineSpec, open_engine
from edge.ood import METHODS
from edge.parameters import OodModel
from edge.pipeline import Batch, Pipeline
from edge.ports import Engine
from edge.types import Decision, Reason, Route


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return samples.sample_bundle(tmp_path / "b", 6)


@pytest.fixture
def engine(bundle: Bundle) -> Iterator[Engine]:
    with open_engine("onnxruntime", bundle.graph, EngineSpec(max_batch=bundle.info.max_batch)) as engine:
        yield engine


def test_products_are_recognised_in_any_size_and_any_batch(bundle: Bundle, engine: Engine) -> None:
    images = [samples.product(n, 60 + 7 * n, 90 - 5 * n) for n in range(6)]
    decisions = Pipeline(bundle, engine).decide(images)
    assert [d.sku for d in decisions] == [f"sku-{n:03d}" for n in range(6)]
    assert {d.route for d in decisions} == {Route.ACCEPT}
    assert all(len(d.candidates) == 5 for d in decisions)
    assert all(d.candidates[0].similarity >= d.candidates[1].similarity for d in decisions)
    one_by_one = [Pipeline(bundle, engine).decide([image])[0] for image in images]
    assert [(d.route, d.sku) for d in one_by_one] == [(d.route, d.sku) for d in decisions]


def test_a_degraded_device_accepts_a_part_of_what_it_accepts_otherwise(bundle: Bundle, engine: Engine) -> None:
    pipeline = Pipeline(bundle, engine)
    first, second = samples.product(0), samples.product(1)
    images = [cv2.addWeighted(first, share, second, 1 - share, 0) for share in np.linspace(0.7, 1.0, 40)]
    plain, strict = [
        [
            d.route is Route.ACCEPT
            for batch in pipeline.prepare(images)
            for d in pipeline.judge(batch, pipeline.embed([batch]), s)
        ]
        for s in (False, True)
    ]
    assert 0 < sum(strict) < sum(plain)
    assert not any(s and not p for p, s in zip(plain, strict, strict=True))


def test_a_product_that_is_not_enrolled_is_unknown(bundle: Bundle, engine: Engine) -> None:
    decision = Pipeline(bundle, engine).decide([samples.product(77)])[0]
    assert decision.route is Route.UNKNOWN
    assert decision.reasons == (Reason.OOD,)


def test_a_blank_picture_never_gets_near_a_product(bundle: Bundle, engine: Engine) -> None:
    decision = Pipeline(bundle, engine).decide([samples.grey()])[0]
    assert decision.route is Route.REVIEW
    assert decision.reasons == (Reason.NOT_FINITE,)
    assert decision.sku is None
    assert decision.confidence == 0.0


def test_a_mixture_of_two_products_is_verified_with_both_names(bundle: Bundle, engine: Engine) -> None:
    first, second = samples.product(0), samples.product(1)
    mixtures = [cv2.addWeighted(first, share, second, 1 - share, 0) for share in np.linspace(0.4, 0.7, 31)]
    decisions = Pipeline(bundle, engine).decide(mixtures)
    torn = [d for d in decisions if abs(d.candidates[0].similarity - d.candidates[1].similarity) < 0.1]
    assert torn
    for decision in torn:
        assert decision.route in {Route.VERIFY, Route.REVIEW}
        assert set(decision.verify_set) == {"sku-000", "sku-001"}


def test_a_twin_is_verified_with_both_names(bundle: Bundle, engine: Engine) -> None:
    twin = np.array([3, -1, -1, 0, -1, -1], np.int32)
    cuts = replace(bundle.rules.cuts, twin=twin)
    decision = Pipeline(replace(bundle, rules=replace(bundle.rules, cuts=cuts)), engine).decide([samples.product(0)])[0]
    assert decision.route is Route.VERIFY
    assert Reason.TWIN_PAIR in decision.reasons
    assert decision.verify_set == ("sku-000", "sku-003")


def test_a_discontinued_product_goes_to_a_person_with_its_successor_named(bundle: Bundle, engine: Engine) -> None:
    classes = (replace(bundle.classes[0], status="discontinued"), *bundle.classes[1:])
    cuts = replace(bundle.rules.cuts, successor=np.array([2, -1, -1, -1, -1, -1], np.int32))
    changed = replace(bundle, classes=classes, rules=replace(bundle.rules, cuts=cuts))
    decision = Pipeline(changed, engine).decide([samples.product(0)])[0]
    assert (decision.route, decision.reasons) == (Route.REVIEW, (Reason.TOMBSTONE,))
    assert decision.verify_set == ("sku-000", "sku-002")


def test_a_tiny_crop_is_never_accepted(bundle: Bundle, engine: Engine) -> None:
    decision = Pipeline(bundle, engine).decide([samples.product(0, 12, 12)])[0]
    assert decision.route is Route.REVIEW
    assert Reason.TOO_SMALL in decision.reasons


def test_one_class_only_has_no_rival_and_still_works(tmp_path: Path) -> None:
    bundle = samples.sample_bundle(tmp_path / "one", 1)
    with open_engine("onnxruntime", bundle.graph, EngineSpec()) as engine:
        known, stranger = Pipeline(bundle, engine).decide([samples.product(0), samples.product(9)])
    assert (known.route, known.sku) == (Route.ACCEPT, "sku-000")
    assert stranger.route is Route.UNKNOWN


def test_no_pictures_no_decisions(bundle: Bundle, engine: Engine) -> None:
    assert Pipeline(bundle, engine).decide([]) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0])
def test_an_embedding_without_a_direction_goes_to_a_person_and_leaves_its_batch_alone(
    bundle: Bundle, engine: Engine, bad: float
) -> None:
    pipeline = Pipeline(bundle, engine)
    (batch,) = pipeline.prepare([samples.product(n) for n in range(3)])
    embeddings = pipeline.embed([batch])
    before = pipeline.judge(batch, embeddings)
    embeddings[1] = bad
    after = pipeline.judge(batch, embeddings)
    assert (after[1].route, after[1].reasons) == (Route.REVIEW, (Reason.NOT_FINITE,))
    assert (after[1].sku, after[1].candidates, after[1].verify_set) == (None, (), ())
    assert [after[0], after[2]] == [before[0], before[2]]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_is_decided_about_a_crop_does_not_depend_on_the_crops_beside_it(
    bundle: Bundle, engine: Engine, method: str
) -> None:
    rng = np.random.default_rng(7)
    dimension, classes = bundle.info.dimension, len(bundle.classes)
    shapes = {0: (), 1: (dimension,), 2: (dimension, dimension)}
    arrays = {name: rng.random(shapes[rank]).astype(np.float32) for name, rank in METHODS[method].arrays.items()}
    rules = replace(bundle.rules, ood=OodModel(method, 0.5, 0.05, arrays))
    pipeline = Pipeline(replace(bundle, rules=rules), engine)
    rows = rng.standard_normal((24 * classes, dimension + 1)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    def judged(size: int) -> list[Decision]:
        found = []
        for first in range(0, len(rows), size):
            own = rows[first : first + size]
            batch = Batch(np.empty((len(own), 0, 0, 3), np.uint8), (99,) * len(own), (99.0,) * len(own))
            found += pipeline.judge(batch, own)
        return found

    alone = judged(1)
    assert len({decision.ood_score for decision in alone}) > len(rows) // 2
    for size in (2, 3, 4, 8):
        assert judged(size) == alone
