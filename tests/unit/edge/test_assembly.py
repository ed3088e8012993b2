"""The engine of a bundle: only one that gives the golden embeddings may decide."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import samples

from edge.assembly import engine_of, locator_of
from edge.bundle import Golden
from edge.config import Detector, EngineConfig
from edge.errors import BundleError, EngineError, ModelError
from edge.pipeline import Pipeline


def test_the_engine_that_made_the_bundle_may_decide(tmp_path: Path) -> None:
    bundle = samples.sample_bundle(tmp_path / "b")
    with engine_of(bundle, EngineConfig()) as engine:
        assert Pipeline(bundle, engine).decide([samples.product(3)])[0].sku == "sku-003"


def test_an_engine_that_computes_something_else_may_not(tmp_path: Path) -> None:
    bundle = samples.sample_bundle(tmp_path / "b")
    other = replace(bundle, golden=Golden(bundle.golden.crops, bundle.golden.rows[::-1].copy()))
    with pytest.raises(EngineError, match="a golden crop comes out with cosine"), engine_of(other, EngineConfig()):
        pass


def test_a_bundle_that_was_replaced_since_it_was_verified_is_not_decided_on(tmp_path: Path) -> None:
    """Its table is in memory, its graph is read from the disk: of two bundles that are nearly alike golden crops
    tell nothing.
    """
    bundle = samples.sample_bundle(tmp_path / "b")
    other = samples.sample_bundle(tmp_path / "b", 7)
    with pytest.raises(BundleError, match=f"is {other.id} by now, {bundle.id} was verified"):
        engine_of(bundle, EngineConfig()).__enter__()
    with engine_of(other, EngineConfig()) as engine:
        assert not engine.degraded
    shutil.rmtree(tmp_path / "b")
    with pytest.raises((BundleError, EngineError), match=r"is gone by now|no such file"):
        engine_of(other, EngineConfig()).__enter__()


def test_a_graph_of_another_dimension_is_refused(tmp_path: Path) -> None:
    bundle = samples.sample_bundle(tmp_path / "b")
    other = replace(bundle, golden=Golden(bundle.golden.crops[:0], np.zeros((0, 7), np.float32)))
    info = type(bundle.info)(**{f: getattr(bundle.info, f) for f in bundle.info.__struct_fields__} | {"dimension": 7})
    with (
        pytest.raises(BundleError, match="height, width and values a crop are"),
        engine_of(replace(other, info=info), EngineConfig()),
    ):
        pass


def test_an_engine_that_is_not_in_this_version_is_named_with_the_bundle(tmp_path: Path) -> None:
    bundle = samples.sample_bundle(tmp_path / "b")
    info = type(bundle.info)(**{f: getattr(bundle.info, f) for f in bundle.info.__struct_fields__} | {"engine": "trt"})
    with pytest.raises(BundleError, match="b: made for the engine trt, this version has onnxruntime"):
        engine_of(replace(bundle, info=info), EngineConfig()).__enter__()


def test_an_unknown_detector_of_strangers_is_refused(tmp_path: Path) -> None:
    bundle = samples.sample_bundle(tmp_path / "b")
    other = replace(bundle, rules=replace(bundle.rules, ood=replace(bundle.rules.ood, method="magic")))
    with (
        engine_of(bundle, EngineConfig()) as engine,
        pytest.raises(BundleError, match="'magic', expected one of energy"),
    ):
        Pipeline(other, engine)


@pytest.mark.parametrize("what", ["missing", "text", "an embedding network"])
def test_what_is_no_detector_is_the_persons_mistake(tmp_path: Path, what: str) -> None:
    path = tmp_path / "detector.onnx"
    if what == "text":
        path.write_text("hello")
    elif what != "missing":
        samples.colour_graph(path)
    with pytest.raises(ModelError, match=r"detector\.onnx"), locator_of(Detector(model=str(path)), 1):
        pass
