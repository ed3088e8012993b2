"""Which point is taken, which are shown, and what becomes of the rest: on values alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from builder.budget import Line
from builder.plan.page import plan_page
from builder.plan.points import Form, Limits, Plan, Point, Unusable, chosen, front, judged

LIMITS = Limits(memory_mib=200.0, latency_ms=None, tolerance=0.5)


def _point(top1: float, memory: float, time: float, **more: Any) -> Point:
    given: dict[str, Any] = {"form": 0, "batch": 1, "dimension": 64, "prototypes": 1}
    return Point(**{**given, **more}, top1=top1, memory_mib=memory, latency_ms=time)


def _taken(*points: Point) -> int:
    return next(i for i, point in enumerate(chosen(points, LIMITS)) if point.state == "chosen")


def test_the_most_accurate_is_taken_where_others_fall_short() -> None:
    assert _taken(_point(0.80, 100, 1.0), _point(0.85, 190, 9.0), _point(0.84, 100, 1.0)) == 1


def test_among_equally_accurate_ones_the_fastest() -> None:
    assert _taken(_point(0.850, 190, 9.0), _point(0.847, 180, 3.0), _point(0.846, 100, 4.0)) == 1


def test_among_equally_fast_ones_the_smallest() -> None:
    assert _taken(_point(0.850, 190, 3.0), _point(0.847, 150, 3.1), _point(0.846, 100, 4.0)) == 1


def test_only_what_can_be_taken_is() -> None:
    points = (_point(0.9, 210, 1, state="over budget"), _point(0.9, 10, 1, state="refused"), _point(0.5, 100, 1))
    assert _taken(*points) == 2
    assert chosen(points[:2], LIMITS) == points[:2]


@pytest.mark.parametrize(
    ("form", "memory", "limits", "state"),
    [
        ({}, 201.0, {}, "over budget"),
        ({"refused": "all: 9 points"}, 100.0, {}, "refused"),
        ({"precision": "float16"}, 100.0, {}, "for comparison"),
        ({}, 100.0, {"latency_ms": 1.9}, "too slow"),
        ({"latency_ms": {}}, 100.0, {"latency_ms": 1.9}, "too slow"),  # not known is not fast enough
        ({}, 100.0, {"latency_ms": 2.0}, "fits"),
        ({}, 200.0, {}, "fits"),
    ],
)
def test_what_becomes_of_a_point(form: dict[str, Any], memory: float, limits: dict[str, Any], state: str) -> None:
    base: dict[str, Any] = {"precision": "int8", "top1": {"64x1": 0.8}, "latency_ms": {"1": 2.0}}
    found = judged(
        Form(model="m", size_px=64, **{**base, **form}),
        Point(form=0, batch=1, dimension=64, prototypes=1, memory_mib=memory),
        structs.replace(LIMITS, **limits),
    )
    assert (found.state, found.top1) == (state, 0.8)


_POINTS = st.lists(
    st.builds(
        _point,
        st.integers(50, 60).map(lambda n: n / 100),
        st.integers(1, 20).map(lambda n: 10.0 * n),
        st.integers(1, 8).map(float),
        state=st.sampled_from(["fits", "fits", "over budget", "refused"]),
    ),
    min_size=1,
    max_size=30,
)


@given(_POINTS)
def test_the_taken_one_and_the_front_hold_for_any_points(points: list[Point]) -> None:
    found = chosen(points, LIMITS)
    usable = [point for point in found if point.state in {"fits", "chosen"}]
    shown = front(found)
    assert bool(usable) == any(point.state == "chosen" for point in found)
    for point in usable:  # something on the front is as good in everything
        assert any(
            one.memory_mib <= point.memory_mib and one.top1 >= point.top1 and one.latency_ms <= point.latency_ms
            for one in shown
            if one.state in {"fits", "chosen"}
        )
    if usable:
        taken = next(point for point in shown if point.state == "chosen")
        assert taken.top1 >= max(point.top1 for point in usable) - 0.005
        assert not any(
            point.top1 >= taken.top1 and point.memory_mib < taken.memory_mib and point.latency_ms <= taken.latency_ms
            for point in usable
        )


def _plan(*points: Point, name: str = "m", **more: Any) -> Plan:
    given: dict[str, Any] = {
        "device": "a cart",
        "engine": "onnxruntime",
        "limits": LIMITS,
        "photos": 100,
        "products": 10,
        "forms": (Form(model=name, size_px=64, precision="int8", top1={"64x1": 0.8}, latency_ms={"1": 2.0}),),
        "points": points,
        "unusable": (),
        "largest": (Line("Python", 83.0, "measured"),),
    }
    return Plan(**{**given, **more})


def test_the_page_needs_nothing_else_and_escapes_names() -> None:
    points = chosen([_point(0.8, 100, 2.0), _point(0.7, 300, 2.0, state="over budget", why="100 MiB over")], LIMITS)
    page = plan_page(_plan(*points, name="<b>net", unusable=(Unusable("<i>vit", 48, "is <u>not convolutional"),)))
    assert "<b>net" not in page
    assert "&lt;b&gt;net 64 px int8" in page
    assert "is &lt;u&gt;not convolutional" in page
    assert not re.search(r"(src|href)=|url\(|<script", page)
    assert page.count('<circle class="chosen"') == 2  # against memory, against time
    assert page.count('<circle class="over"') == 2
    assert page.count('<line class="limit"') == 1


def test_a_page_without_a_choice_says_what_is_largest() -> None:
    point = Point(form=0, batch=1, dimension=64, prototypes=1, memory_mib=300.0, state="over budget")
    page = plan_page(_plan(point, photos=0, forms=(Form(model="m", size_px=64, precision="int8"),)))
    assert "No point can be taken." in page
    assert "Python 83 MiB" in page
    assert "Nothing was measured" in page
