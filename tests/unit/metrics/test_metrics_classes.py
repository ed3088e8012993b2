"""The page of products: non-zero only, in the order of the bundle, cut where it says so."""

from __future__ import annotations

import urllib.request

import numpy as np
from full_health import SECOND_NS, full_health, served
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edge.class_counts import OUTCOMES, ROUTES, ClassCounts
from edge.metrics.classes import PIECE, pieces
from edge.types import Route


def samples(text: str, family: str) -> list[tuple[dict[str, str], float]]:
    found = {one.name: one for one in text_string_to_metric_families(text)}
    return [(sample.labels, sample.value) for sample in found[family].samples]


def filled(classes: int) -> ClassCounts:
    counts = ClassCounts([f"sku-{number:05d}" for number in range(classes)])
    counts.decisions[:] = np.arange(classes * len(ROUTES)).reshape(classes, -1)
    return counts


def test_a_page_over_http_is_what_was_counted() -> None:
    with served(full_health(), [], 100 * SECOND_NS) as base, urllib.request.urlopen(f"{base}/metrics/classes") as got:
        text = got.read().decode()
    decisions = {(labels["sku"], labels["route"]): value for labels, value in samples(text, "edge_class_decisions")}
    assert decisions == {("sku-1", route.value): 3 for route in Route}
    verdicts = {tuple(labels.values()): value for labels, value in samples(text, "edge_class_verdicts")}
    assert verdicts == {("sku-1", *outcome): 1 for outcome in OUTCOMES}
    assert samples(text, "edge_class_series_truncated") == [({}, 0)]
    accuracy = {(labels["tier"], labels["question"]): value for labels, value in samples(text, "edge_accuracy")}
    assert accuracy["head", "charged"] == 0.9
    assert len(samples(text, "edge_accuracy_estimated")) == 4


def test_the_first_products_of_the_bundle_are_shown_and_the_rest_is_counted() -> None:
    counts = filled(10)
    counts.decisions[:3] = 0
    text = "".join(pieces(counts, (), max_classes=5))
    shown = [labels["sku"] for labels, _ in samples(text, "edge_class_decisions")]
    assert list(dict.fromkeys(shown)) == [f"sku-{number:05d}" for number in range(3, 8)]
    assert samples(text, "edge_class_series_truncated") == [({}, 2 * len(ROUTES))]
    assert text == "".join(pieces(counts, (), max_classes=5))
    assert samples("".join(pieces(counts, (), max_classes=0)), "edge_class_series_truncated")[0][1] == 7 * len(ROUTES)


def test_no_piece_is_longer_than_the_loop_may_wait_for() -> None:
    assert max(piece.count("\n") for piece in pieces(filled(2_000), (), 20_000)) <= PIECE


@given(st.text(min_size=1))
def test_any_sku_comes_back_as_it_was(sku: str) -> None:
    counts = ClassCounts([sku])
    counts.decided(sku, Route.ACCEPT)
    text = "".join(pieces(counts, (), 1))
    if not any(character in sku for character in "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):  # the parser splits there
        assert samples(text, "edge_class_decisions") == [({"sku": sku, "route": "accept"}, 1)]


def test_counts_go_over_to_another_bundle_by_sku() -> None:
    counts = filled(3)
    counts.checked("sku-00002", "charged", right=False)
    other = counts.carried_to(["new", "sku-00002", "sku-00000"])
    assert other.decisions.tolist() == [[0, 0, 0, 0], [8, 9, 10, 11], [0, 1, 2, 3]]
    assert other.verdicts.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert counts.carried_to([]).decisions.shape == (0, len(ROUTES))


def test_what_is_of_no_class_is_passed_over() -> None:
    counts = ClassCounts(["a"])
    counts.decided(None, Route.UNKNOWN)
    counts.decided("gone", Route.ACCEPT)
    counts.checked(None, "asked", right=True)
    assert not counts.decisions.any()
    assert not counts.verdicts.any()
