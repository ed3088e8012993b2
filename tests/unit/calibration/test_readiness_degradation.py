"""Parts of a catalogue: families stay together, shares are reached, everything is seeded."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from calibration.readiness.degradation import DRAWS, SHARES, parts_of_families


@given(st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=40), st.integers(0, 1000))
def test_families_come_and_go_together(families: list[str], seed: int) -> None:
    parts = parts_of_families(families, seed)
    assert len(parts) == len(SHARES) * DRAWS
    names = np.array(families)
    for number, members in enumerate(parts):
        for name in set(families):
            assert len(set(members[names == name].tolist())) == 1
        assert members.sum() >= SHARES[number // DRAWS] * len(families) - 1e-6
    assert all(members.all() for members in parts[-DRAWS:])


@given(st.integers(4, 60), st.integers(0, 1000))
def test_larger_parts_hold_the_smaller_ones(products: int, seed: int) -> None:
    parts = parts_of_families([str(number) for number in range(products)], seed)
    for draw in range(DRAWS):
        steps = [parts[step * DRAWS + draw] for step in range(len(SHARES))]
        for smaller, larger in pairwise(steps):
            assert (larger | ~smaller).all()
    again = parts_of_families([str(number) for number in range(products)], seed)
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))
