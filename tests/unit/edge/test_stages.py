"""Lookup, strangeness, confidence and preprocessing against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import confidence, lookup, preprocess
from edge.build_folder import InputSpec
from edge.parameters import ConfidenceModel, PrototypeTable
from edge.types import Region


def table(seed: int, owners: list[int], dimension: int = 24) -> PrototypeTable:
    rng = np.random.default_rng(seed)
    prototypes = rng.integers(-127, 128, (len(owners), dimension), dtype=np.int8)
    return PrototypeTable(prototypes, 0.004, np.array(owners, np.int32))


@given(st.integers(0, 10_000), st.lists(st.integers(1, 4), min_size=1, max_size=9))
@settings(deadline=None)
def test_a_class_is_as_near_as_its_nearest_prototype(seed: int, sizes: list[int]) -> None:
    owners = [c for c, size in enumerate(sizes) for _ in range(size)]
    made = table(seed, owners)
    queries = np.random.default_rng(seed + 1).normal(size=(3, 24)).astype(np.float32)
    found = lookup.similarities(lookup.index_from_table(made), queries)
    for n in range(3):
        for c in range(len(sizes)):
            rows = [made.prototypes[k].astype(np.float64) * made.scale for k in range(len(owners)) if owners[k] == c]
            assert found[n, c] == pytest.approx(max(float(queries[n] @ row) for row in rows), abs=2e-3)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.9]), min_size=1, max_size=30), st.integers(1, 8))
def test_top_is_the_stable_sort(values: list[float], count: int) -> None:
    scores = np.array([values], np.float32)
    expected = sorted(range(len(values)), key=lambda c: (-scores[0, c], c))[:count]
    assert lookup.top(scores, count)[0].tolist() == expected
    assert lookup.top(np.repeat(scores, 3, axis=0), count)[1].tolist() == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_confidence_rises_with_similarity_and_margin(
    similarity: float, margin: float, nearer: float, ahead: float
) -> None:
    model = ConfidenceModel(5.0, 20.0, -4.0, np.zeros(1, np.float32))
    best = np.zeros(1, np.intp)

    def p(s: float, m: float) -> float:
        return float(confidence.p_correct(model, best, np.array([s], np.float32), np.array([m], np.float32))[0])

    assert 0 <= p(similarity, margin) <= p(similarity + nearer, margin + ahead) <= 1


@pytest.mark.parametrize("resize", preprocess.RESIZES)
@pytest.mark.parametrize("size", [(1, 1), (10, 200), (224, 224), (500, 30), (640, 480)])
def test_every_crop_fits(resize: str, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    fitted = preprocess.fit(image, InputSpec(height_px=64, width_px=48, resize=resize))
    assert fitted.shape == (64, 48, 3)
    assert fitted.dtype == np.uint8


def test_letterbox_keeps_the_aspect_and_crop_cuts_the_middle() -> None:
    image = np.zeros((100, 50, 3), np.uint8)
    image[:, 20:30] = 255
    letter = preprocess.fit(image, InputSpec(height_px=60, width_px=60, resize="letterbox"))
    assert (letter[:, :14] == preprocess.PAD_GREY).all()
    assert (letter[:, -14:] == preprocess.PAD_GREY).all()
    middle = preprocess.fit(image, InputSpec(height_px=60, width_px=60, resize="crop"))
    assert middle[:, 30].min() == 255


def test_a_view_of_a_frame_is_fitted_without_touching_the_frame() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    before = frame.copy()
    part = preprocess.cut(frame, Region(10, 20, 50, 40, "slot"))
    assert np.shares_memory(part, frame)
    preprocess.fit(part, InputSpec(height_px=32, width_px=32, resize="stretch"))
    np.testing.assert_array_equal(frame, before)


def test_blur_lowers_sharpness() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, (1, 64, 64, 3), np.uint8)
    flat = np.full((1, 64, 64, 3), 90, np.uint8)
    assert preprocess.sharpness(noisy)[0] > 100
    assert preprocess.sharpness(flat)[0] == 0
