"""Rows of an engine: what goes in comes out, and nothing without a direction gets one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine_row import join_rows, split_rows


@given(st.integers(0, 10_000), st.integers(1, 64), st.floats(-1.0, 1.0))
def test_what_was_joined_comes_apart(seed: int, dimension: int, usual: float) -> None:
    raw = np.random.default_rng(seed).standard_normal((3, dimension)).astype(np.float32)
    embeddings = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    expected = np.array([usual, 0.5, 0.0], np.float32)
    rows = join_rows(embeddings, expected)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    back, again = split_rows(rows)
    np.testing.assert_allclose(back, embeddings, atol=1e-6)
    np.testing.assert_allclose(again, expected, atol=1e-6)


def test_a_row_of_zeros_stays_zeros() -> None:
    nothing = np.zeros((1, 5), np.float32)
    np.testing.assert_array_equal(join_rows(nothing, np.ones(1, np.float32)), np.zeros((1, 6)))
    embeddings, expected = split_rows(np.zeros((1, 6), np.float32))
    assert not embeddings.any()
    assert expected[0] == 0


def test_a_row_that_is_all_expectation_has_no_direction() -> None:
    row = np.array([[1e-5, 0, 0, 1.0]], np.float32)
    assert not split_rows(row)[0].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so(bad: float) -> None:
    row = np.array([[bad, 0.1, 0.2, 0.9]], np.float32)
    assert not np.isfinite(split_rows(row)[0]).all()
