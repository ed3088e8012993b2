"""Two ways to the same integers: exact against 64-bit arithmetic, equal to each other, and done without when wrong."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import dots, lookup
from edge.dots import LEVELS, Dots, dots_from_table
from edge.dots.numkong import NumkongDots
from edge.dots.plain import PlainDots
from edge.parameters import PrototypeTable

numkong = pytest.mark.skipif(find_spec("numkong") is None, reason="the extra `fast` is not installed")
WAYS = [PlainDots, pytest.param(NumkongDots, marks=numkong)]


def drawn(seed: int, rows: int, dimension: int, largest: int = 127) -> np.ndarray:
    return np.random.default_rng(seed).integers(-largest, largest + 1, (rows, dimension), np.int8)


def asked(seed: int, rows: int, dimension: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-LEVELS, LEVELS + 1, (rows, dimension), np.int16)


def exact(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return queries.astype(np.int64) @ rows.astype(np.int64).T


@pytest.mark.parametrize("way", WAYS)
def test_every_integer_is_exact(way: Callable[[np.ndarray], Dots]) -> None:
    @given(st.integers(0, 10_000), st.integers(1, 70), st.integers(1, 300), st.integers(0, 9))
    @settings(deadline=None)
    def check(seed: int, rows: int, dimension: int, queries: int) -> None:
        table, some = drawn(seed, rows, dimension), asked(seed + 1, queries, dimension)
        np.testing.assert_array_equal(way(table)(some), exact(some, table))

    check()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dimension", [64, 65, 1040, 8192, 65_536])
def test_the_extremes_neither_round_nor_overflow(way: Callable[[np.ndarray], Dots], dimension: int) -> None:
    signs = np.where(np.arange(dimension) % 2, 1, -1)
    table = np.stack([np.full(dimension, -128), np.full(dimension, 127), 127 * signs]).astype(np.int8)
    queries = (LEVELS * np.stack([np.ones(dimension), -np.ones(dimension), signs])).astype(np.int16)
    np.testing.assert_array_equal(way(table)(queries), exact(queries, table))


@pytest.mark.parametrize("way", WAYS)
def test_one_query_and_many_are_the_same(way: Callable[[np.ndarray], Dots]) -> None:
    searched, queries = way(drawn(0, 500, 192)), asked(1, 20, 192)
    together = searched(queries)
    for count in (1, 2, 3, 5):
        np.testing.assert_array_equal(searched(queries[:count]), together[:count])


@numkong
@given(st.integers(0, 10_000), st.lists(st.integers(1, 4), min_size=1, max_size=9), st.integers(1, 200))
@settings(deadline=None)
def test_similarities_are_the_same_to_the_last_bit_with_and_without_numkong(
    seed: int, sizes: list[int], dimension: int
) -> None:
    owners = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    table = PrototypeTable(drawn(seed, len(owners), dimension), 0.0053, owners)
    queries = np.random.default_rng(seed).normal(size=(5, dimension)).astype(np.float32)
    fast = lookup.index_from_table(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "dots_from_table", PlainDots)
        plain = lookup.index_from_table(table)
    assert (fast.nearest.name, plain.nearest.name) == ("numkong", "numpy")
    np.testing.assert_array_equal(lookup.similarities(fast, queries), lookup.similarities(plain, queries))


@numkong
def test_the_packed_table_is_all_that_is_held() -> None:
    table = drawn(0, 4000, 192)
    assert dots_from_table(table).held_bytes < 1.1 * table.nbytes
    assert PlainDots(table).held_bytes == 4 * table.nbytes


def test_without_numkong_numpy_searches(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "numkong", None)
    with caplog.at_level(logging.WARNING):
        assert dots_from_table(drawn(0, 9, 16)).name == "numpy"
    assert not caplog.records  # it is an extra: nothing is wrong


class OffByOne(PlainDots):
    """Wrong by one in the last row, and only there."""

    name = "numkong"

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        found = super().__call__(queries)
        found[:, -1] += 1
        return found


class Broken(PlainDots):
    def __call__(self, queries: np.ndarray) -> np.ndarray:  # noqa: ARG002  # it never answers
        raise RuntimeError("no kernel for this processor")


@pytest.mark.parametrize(("kind", "words"), [(OffByOne, "other dot products"), (Broken, "no kernel for this")])
def test_an_accelerator_that_is_wrong_is_done_without_and_said(
    kind: type[PlainDots], words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dots, "NumkongDots", kind)
    table, queries = drawn(0, 5000, 16), asked(1, 2, 16)
    with caplog.at_level(logging.WARNING):
        chosen = dots_from_table(table)
    assert type(chosen) is PlainDots
    assert words in caplog.text
    np.testing.assert_array_equal(chosen(queries), exact(queries, table))


@pytest.mark.parametrize("sizes", [[3] * 40, [1] * 120, [1, 5, 2] * 15])
def test_blocks_and_the_order_of_prototypes_change_nothing(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    owners = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    table = PrototypeTable(drawn(0, len(owners), 48), 0.005, owners)
    queries = np.random.default_rng(0).normal(size=(23, 48)).astype(np.float32)
    at_once = lookup.similarities(lookup.index_from_table(table), queries)
    monkeypatch.setattr(lookup, "_BLOCK_VALUES", 5 * len(owners))
    search = lookup.index_from_table(table).nearest
    assert isinstance(search, lookup.HostSearch)
    assert search.block == 5
    np.testing.assert_array_equal(lookup.similarities(lookup.index_from_table(table), queries), at_once)
    by_row = np.stack([lookup.similarities(lookup.index_from_table(table), query[None])[0] for query in queries])
    np.testing.assert_array_equal(by_row, at_once)


# the query


def index() -> lookup.Index:
    return lookup.index_from_table(PrototypeTable(drawn(0, 6, 24), 0.004, np.array([0, 0, 1, 2, 2, 2], np.int32)))


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_a_unit_query_costs_a_similarity_less_than_a_thousandth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(50, 192))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scale = float(np.abs(rows).max() / 127)
    table = PrototypeTable(np.round(rows / scale).astype(np.int8), scale, np.arange(50, dtype=np.int32))
    query = rng.normal(size=(1, 192))
    query = (query / np.linalg.norm(query)).astype(np.float32)
    found = lookup.similarities(lookup.index_from_table(table), query)
    np.testing.assert_allclose(found, query @ (table.prototypes.T * np.float32(scale)), atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_a_row_that_is_not_finite_is_like_nothing_and_leaves_the_others_alone(bad: float) -> None:
    queries = np.random.default_rng(0).normal(size=(3, 24)).astype(np.float32)
    alone = lookup.similarities(index(), queries[:1])
    queries[1, 5], queries[2] = bad, 0
    found = lookup.similarities(index(), queries)
    np.testing.assert_array_equal(found[:1], alone)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[2], 0)


@pytest.mark.parametrize("size", [1e-45, 1e-38, 1e-31, 1e-20, 1e20])
def test_rows_of_any_length_stay_in_range(size: float) -> None:
    query = np.full((1, 24), size, np.float32)
    found = lookup.similarities(index(), query)
    assert np.isfinite(found).all()
    assert (np.abs(found) <= 24 * 127 * 0.004 * np.float64(size) * 1.001).all()


@pytest.mark.parametrize("owners", [[0, 0, 1, 2, 2, 2], [0, 0, 1, 1, 2, 2], [0, 1, 2]])
def test_no_rows_no_similarities(owners: list[int]) -> None:
    table = PrototypeTable(drawn(0, len(owners), 24), 0.004, np.array(owners, np.int32))
    assert lookup.similarities(lookup.index_from_table(table), np.zeros((0, 24), np.float32)).shape == (0, 3)
