"""From a backbone to a bundle for TensorRT without a GPU: what calibrates is the reference of the engine."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from small_nets import mobile
from test_build_trt_graph import compiled, needs_compiler

from builder.cli import build
from calibration.cli import calibrate
from edge.assembly import engine_of
from edge.build_folder import read_build
from edge.bundle import read_bundle
from edge.config import EngineConfig
from edge.errors import EngineError
from edge.pipeline import Pipeline

DEVICE = Path(__file__).parents[3] / "configs" / "devices" / "orin-nano-4gb.yaml"
SIDECAR = "{color: rgb, mean: [127, 127, 127], std: [128, 128, 128], layout: nchw, resize: stretch}\n"
PRODUCTS, PHOTOS = 6, {"reference": 4, "validation": 6}


def photo(product: int, shot: int) -> np.ndarray:
    coarse = np.random.default_rng(product).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    noise = np.random.default_rng([product, shot]).normal(0, 8, (60, 50, 3))
    return np.clip(cv2.resize(coarse, (50, 60), interpolation=cv2.INTER_CUBIC) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trt")
    onnx.save(mobile(), place / "mobile.onnx")
    (place / "mobile.yaml").write_text(SIDECAR)
    shop = place / "shop"
    for role, count in PHOTOS.items():
        for product in range(PRODUCTS):
            (shop / role / f"sku-{product}").mkdir(parents=True)
            for shot in range(count):
                name = shop / role / f"sku-{product}" / f"{shot}.png"
                assert cv2.imwrite(str(name), photo(product, 100 * len(role) + shot))
    rows = [f"sku-{product},Product {product},food,,active" for product in range(PRODUCTS)]
    (shop / "skus.csv").write_text("\n".join(["sku,name,category,barcode,status", *rows]) + "\n")
    given = [
        "--model",
        place / "mobile.onnx",
        "--images",
        shop / "reference",
        "--device",
        DEVICE,
        "--skus",
        "2000,4000",
    ]
    assert build([*map(str, given), "--engine", "tensorrt", "--out", str(place / "build")]) == 0
    found = read_build(place / "build")
    assert (found.info.engine, found.graph.name) == ("tensorrt", "model.trt.onnx")
    lines = {line["name"] for line in found.info.report["memory_estimate"]["lines"]}
    assert {"CUDA and TensorRT", "workspace of a layer"} <= lines
    given = ["--build", place / "build", "--catalogue", shop, "--out", place / "bundle", "--threads", "1"]
    loose = ["--accept-error", "0.3", "--near-unknown", "0.9", "--dimension", "16"]
    assert calibrate([*map(str, given), *loose]) == 0
    return place / "bundle"


def test_a_bundle_for_tensorrt_is_calibrated_on_its_reference(bundle: Path) -> None:
    found = read_bundle(bundle)
    assert found.info.engine == "tensorrt"
    assert len(found.golden.crops) > 0
    with pytest.raises(EngineError, match=r"bundle\.plan: no such plan; run edge-build --compile-only"):
        engine_of(found, EngineConfig()).__enter__()
    with engine_of(found, EngineConfig(fallback="onnxruntime")) as engine:
        assert "no such plan" in engine.degraded
        decisions = Pipeline(found, engine).decide([photo(product, 900) for product in range(PRODUCTS)])
    assert [decision.candidates[0].sku for decision in decisions] == [f"sku-{product}" for product in range(PRODUCTS)]


@needs_compiler
def test_tensorrt_takes_the_engine_of_a_bundle_with_its_head(bundle: Path) -> None:
    found = compiled(bundle / "engine.onnx")
    assert found["error"] == ""
    assert found["engine_bytes"] > 0
    assert found["convolutions"].keys() == {"Int8"}
    assert any("shelfedge_head/" in name for name in found["products"]["Float"])
