"""Cross-fits: every photo is judged, none by a head that it taught, and a graph is run once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_photos import write_products
from quantised_nets import LITE, graphs
from small_nets import mobile

from builder import recognition
from builder.labelled import find_labelled
from builder.recognition import Judge, Shape, best_of
from edge.build_folder import InputSpec

SPEC = InputSpec(height_px=32, width_px=32, resize="stretch")
LONE = Shape(16, 1)


def test_what_can_be_told_apart_is_told_apart() -> None:
    labels = np.repeat(np.arange(6, dtype=np.int32), 5)
    random = np.random.default_rng(0)
    rows = (random.normal(size=(6, 40))[labels] + 0.1 * random.normal(size=(30, 40))).astype(np.float32)
    for best in best_of(rows, labels, (LONE, Shape(3, 2))).values():
        assert (best == labels).all()


def test_noise_is_not_recognised_by_heads_that_did_not_see_it() -> None:
    """A head that had learnt the photos that it judges would know every one: there are more features than photos."""
    labels = np.repeat(np.arange(20, dtype=np.int32), 6)
    rows = np.random.default_rng(0).normal(size=(120, 400)).astype(np.float32)
    assert (best_of(rows, labels, (LONE,))[LONE] == labels).mean() < 0.15  # luck is 0.05


def test_two_photos_of_a_product_are_enough() -> None:
    labels = np.repeat(np.arange(4, dtype=np.int32), 2)
    rows = np.eye(4, dtype=np.float32)[labels]
    assert (best_of(rows, labels, (LONE,))[LONE] == labels).all()


def test_a_graph_is_run_once_and_another_one_again(tmp_path: Path) -> None:
    labelled = find_labelled(write_products(tmp_path / "photos", 4, 6), 100, 0)
    assert labelled is not None
    judge = Judge(labelled, (LONE,))
    _, model = graphs(mobile(), LITE)
    heard: list[int] = []
    first = judge.best(model, SPEC, as_written=False, advance=heard.append)
    assert judge.best(model, SPEC, as_written=False, advance=heard.append) is first
    assert sum(heard) == 24
    assert (first[LONE] == labelled.labels).mean() > 0.8
    _, other = graphs(mobile(seed=1), LITE)
    judge.best(other, SPEC, as_written=False, advance=heard.append)
    assert sum(heard) == 48


def test_features_that_are_no_numbers_are_recognised_as_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = find_labelled(write_products(tmp_path / "photos", 3, 4), 100, 0)
    assert labelled is not None

    class Broken:
        def get_inputs(self) -> list[Broken]:
            return [self]

        name = "images"

        def run(self, _: object, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.full((len(given["images"]), 8), np.nan, np.float32)]

    monkeypatch.setattr(recognition, "session_of", lambda *_, **__: Broken())
    _, model = graphs(mobile(), LITE)
    best = Judge(labelled, (LONE,)).best(model, SPEC, as_written=False, advance=lambda _: None)[LONE]
    assert (best == labelled.labels).mean() <= 0.5
