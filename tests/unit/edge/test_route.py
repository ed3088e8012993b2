"""The rule that charges a shopper, under every combination that hypothesis finds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.route import Evidence, Limits, route
from edge.types import Reason, Route

SURE = Evidence(finite=True, confidence=0.99, ood_score=0.05, set_size=1, side_px=200, sharpness=500.0)
LIMITS = Limits(
    accept_confidence=0.9,
    accept_strangeness=0.2,
    verify_confidence=0.3,
    ood_threshold=0.5,
    max_set=5,
    min_side_px=32,
    min_sharpness=20.0,
    has_twin=False,
    discontinued=False,
)

numbers = st.floats(allow_nan=True, allow_infinity=True)
evidences = st.builds(
    Evidence,
    finite=st.booleans(),
    confidence=numbers,
    ood_score=numbers,
    set_size=st.integers(0, 10),
    side_px=st.integers(0, 500),
    sharpness=numbers,
)
limits = st.builds(
    Limits,
    accept_confidence=numbers,
    accept_strangeness=numbers,
    verify_confidence=numbers,
    ood_threshold=numbers,
    max_set=st.integers(0, 5),
    min_side_px=st.integers(0, 100),
    min_sharpness=numbers,
    has_twin=st.booleans(),
    discontinued=st.booleans(),
)


def test_a_sure_crop_is_accepted() -> None:
    assert route(SURE, LIMITS) == (Route.ACCEPT, (Reason.CERTIFIED,))


@pytest.mark.parametrize(
    ("evidence", "limit", "expected", "reason"),
    [
        ({"finite": False}, {}, Route.REVIEW, Reason.NOT_FINITE),
        ({"ood_score": 0.6}, {}, Route.UNKNOWN, Reason.OOD),
        ({"ood_score": math.nan}, {}, Route.UNKNOWN, Reason.OOD),
        ({}, {"discontinued": True}, Route.REVIEW, Reason.TOMBSTONE),
        ({"side_px": 31}, {}, Route.REVIEW, Reason.TOO_SMALL),
        ({"sharpness": 10.0}, {}, Route.REVIEW, Reason.BLURRED),
        ({"sharpness": math.nan}, {}, Route.REVIEW, Reason.BLURRED),
        ({"confidence": 0.89}, {}, Route.VERIFY, Reason.BELOW_ACCEPT),
        ({"confidence": 0.29}, {}, Route.REVIEW, Reason.BELOW_VERIFY),
        ({"ood_score": 0.21}, {}, Route.VERIFY, Reason.TOO_FAR),
        ({}, {"has_twin": True}, Route.VERIFY, Reason.TWIN_PAIR),
        ({}, {"accept_confidence": math.inf}, Route.VERIFY, Reason.NOT_CERTIFIED),
        ({"confidence": 0.5, "set_size": 6}, {}, Route.REVIEW, Reason.BELOW_VERIFY),
    ],
)
def test_each_rule_fires_by_name(
    evidence: dict[str, float], limit: dict[str, float], expected: Route, reason: Reason
) -> None:
    chosen, reasons = route(replace(SURE, **evidence), replace(LIMITS, **limit))
    assert chosen is expected
    assert reason in reasons


@given(evidences, limits)
def test_accept_needs_everything(evidence: Evidence, limit: Limits) -> None:
    chosen, reasons = route(evidence, limit)
    assert reasons
    if chosen is Route.ACCEPT:
        assert evidence.finite
        assert evidence.ood_score <= limit.ood_threshold
        assert evidence.confidence >= limit.accept_confidence
        assert evidence.ood_score <= limit.accept_strangeness
        assert limit.accept_confidence <= 1
        assert evidence.side_px >= limit.min_side_px
        assert evidence.sharpness >= limit.min_sharpness
        assert not limit.has_twin
        assert not limit.discontinued


@given(evidences, limits, st.floats(0, 1), st.floats(0, 1))
def test_stricter_limits_never_accept_more(evidence: Evidence, limit: Limits, more: float, further: float) -> None:
    stricter = replace(
        limit,
        accept_confidence=limit.accept_confidence + more,
        accept_strangeness=limit.accept_strangeness - further,
        ood_threshold=limit.ood_threshold - more,
    )
    if route(evidence, limit)[0] is not Route.ACCEPT:
        assert route(evidence, stricter)[0] is not Route.ACCEPT
