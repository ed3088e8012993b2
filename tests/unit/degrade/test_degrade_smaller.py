"""Which bundle may stand in for another: the same products in the same states, and a promise that is no looser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
from msgspec import structs

from edge.bundle import Bundle
from edge.config import CameraConfig, DaemonConfig, DegradeConfig, EngineConfig, PublishConfig
from edge.degrade.smaller import bundles_of, engine_config, refuse_unlike
from edge.errors import BundleError
from edge.parameters import QualityLimits

PROMISE = {"accept_error": 0.01, "near_unknown": 0.1, "certainty": 0.9, "mix": "uniform"}
STRICT = {"accept_error": 0.0075, "near_unknown": 0.1, "certified": True}
KEPT = {**PROMISE, "accept_error": 0.05, "degraded": STRICT}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return promising(samples.sample_bundle(tmp_path_factory.mktemp("smaller") / "usual"), PROMISE)


def promising(bundle: Bundle, promise: dict[str, Any]) -> Bundle:
    return replace(bundle, info=structs.replace(bundle.info, promise=promise))


def test_one_that_keeps_the_promise_while_degraded_may_stand_in(usual: Bundle) -> None:
    refuse_unlike(usual, promising(usual, KEPT))
    refuse_unlike(usual, promising(usual, {**KEPT, "certainty": 0.95}))
    nothing = {"accept_error": None, "near_unknown": None, "certified": False}
    refuse_unlike(usual, promising(usual, {**KEPT, "degraded": nothing}))
    refuse_unlike(usual, promising(usual, PROMISE))


@pytest.mark.parametrize(
    ("promise", "said"),
    [
        (
            {**KEPT, "degraded": {**STRICT, "accept_error": 0.02}},
            "accept_error 0.02 on a degraded device, expected 0.01",
        ),
        ({**KEPT, "degraded": {**STRICT, "near_unknown": 0.2}}, "near_unknown 0.2"),
        ({**KEPT, "degraded": {**STRICT, "accept_error": float("nan")}}, "accept_error nan"),
        ({**KEPT, "certainty": 0.8}, "certainty 0.8"),
        ({**KEPT, "mix": "weight column of skus.csv"}, "mix weight column"),
        ({}, "accept_error None"),
    ],
)
def test_a_looser_promise_is_refused(usual: Bundle, promise: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError) as refused:
        refuse_unlike(usual, promising(usual, promise))
    assert said in str(refused.value)


def test_other_products_or_another_state_of_one_are_refused_by_name(usual: Bundle, tmp_path: Path) -> None:
    more = promising(samples.sample_bundle(tmp_path / "more", count=8), KEPT)
    with pytest.raises(BundleError, match=r"sku-006 is active here and absent in .*, 2 products differ"):
        refuse_unlike(usual, more)
    gone = replace(usual, classes=(*usual.classes[:-1], off_sale(usual.classes[-1])))
    with pytest.raises(BundleError, match="sku-005 is active here and discontinued in"):
        refuse_unlike(gone, promising(usual, KEPT))
    successor = np.full(6, -1, np.int32)
    successor[5] = 0
    cuts = replace(usual.rules.cuts, successor=successor)
    replaced = replace(gone, rules=replace(usual.rules, cuts=cuts))
    with pytest.raises(BundleError, match="sku-005 is discontinued, replaced by sku-000 here and discontinued in"):
        refuse_unlike(gone, promising(replaced, KEPT))


def off_sale(info: Any) -> Any:
    return replace(info, status="discontinued")


def test_both_are_read_and_the_plan_of_the_one_is_not_the_others(tmp_path: Path) -> None:
    usual = samples.write_sample_bundle(tmp_path / "usual")
    rules = samples.rules(6)
    smaller = samples.write_sample_bundle(
        tmp_path / "smaller", changed_rules=replace(rules, quality=QualityLimits(20, 5.0))
    )
    config = DaemonConfig(
        device_id="cart",
        bundle=str(usual),
        cameras=(CameraConfig(id="basket", source="synthetic: 64x48"),),
        publish=PublishConfig(decisions="tcp://127.0.0.1:5556"),
        engine=EngineConfig(plan="/elsewhere.plan", threads=2),
    )
    assert bundles_of(config)[1] is None
    config = structs.replace(config, degrade=DegradeConfig(smaller=str(smaller)))
    found = bundles_of(config)
    assert found[1] is not None
    assert (found[0].path.name, found[1].path.name) == ("usual", "smaller")
    assert engine_config(config, smaller=False) == config.engine
    assert engine_config(config, smaller=True) == EngineConfig(threads=2)
    with pytest.raises(BundleError, match=r"degrade\.smaller is the bundle itself"):
        bundles_of(structs.replace(config, degrade=DegradeConfig(smaller=str(usual))))
    with pytest.raises(BundleError, match="missing"):
        bundles_of(structs.replace(config, degrade=DegradeConfig(smaller=str(tmp_path / "missing"))))
