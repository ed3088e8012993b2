"""edge-build from end to end on small real networks and generated photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper
from small_nets import mobile, plain, vision_transformer, with_outliers
from vit_nets import Form, exported_transformer, readers_of_outliers

from builder.cli import build
from edge.build_folder import read_build
from edge.engines import EngineSpec, open_engine

DEVICE = Path(__file__).resolve().parents[3] / "configs" / "devices" / "x86-dev.yaml"
SIDECAR = "{color: rgb, mean: [127, 127, 127], std: [128, 128, 128], layout: nchw, resize: stretch}\n"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with mobile.onnx, its sidecar, and 30 photos of 3 products."""
    onnx.save(mobile(), tmp_path / "mobile.onnx")
    (tmp_path / "mobile.yaml").write_text(SIDECAR)
    random = np.random.default_rng(0)
    for product in range(3):
        (tmp_path / "photos" / f"p{product}").mkdir(parents=True)
        for number in range(10):
            coarse = random.integers(0, 256, (6, 5, 3), dtype=np.uint8)
            photo = cv2.resize(coarse, (50, 60), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / "photos" / f"p{product}" / f"{number}.jpg"), photo)
    return tmp_path


def _run(place: Path, *more: str, model: str = "mobile.onnx") -> int:
    given = {
        "--model": place / model,
        "--images": place / "photos",
        "--device": DEVICE,
        "--out": place / "build",
    }
    return build([*(str(part) for pair in given.items() for part in pair), *more])


def test_a_build_is_sealed_and_runs_in_the_engine(place: Path, capsys: Capture) -> None:
    assert _run(place) == 0
    found = read_build(place / "build")
    info = found.info
    assert (info.engine, info.backbone, info.images, info.max_batch) == ("onnxruntime", "mobile", 20, 8)
    assert (info.input.height_px, info.input.width_px, info.input.resize) == (32, 32, "stretch")
    assert info.taps == ("b0_add", "b2_add", "b4_add", "b5_project", "head_relu6")
    assert info.feature_dimension == 396
    assert info.report["parity"]["photos"] == 10
    assert info.report["parity"]["cpu"]["cosine_mean"] > 0.95
    assert info.report["parity"]["trt"]["cosine_mean"] > 0.95
    assert info.report["features"][-1]["stop"] == 396
    crops = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    with open_engine(info.engine, found.graph, EngineSpec(max_batch=info.max_batch)) as engine:
        assert engine.embed(crops).shape == (8, 396)
    assert sorted(path.name for path in (place / "build").iterdir()) == [
        "manifest.json",
        "model.cpu.onnx",
        "model.trt.onnx",
    ]
    printed = capsys.readouterr().out
    assert "same nearest neighbour" in printed
    assert "estimate" in printed


def test_a_build_is_for_what_its_device_runs_best(place: Path, capsys: Capture) -> None:
    jetson = str(DEVICE.with_name("orin-nano-4gb.yaml"))
    assert _run(place, "--device", jetson, "--skus", "2000,4000") == 0
    assert read_build(place / "build").info.engine == "tensorrt"
    capsys.readouterr()
    assert _run(place, "--device", jetson, "--skus", "2000,4000", "--budget-mib", "300") == 3
    assert "the largest: CUDA and TensorRT 600 MiB, workspace of a layer 256 MiB, " in capsys.readouterr().err


def test_the_best_ranges_are_those_whose_features_are_nearest_to_float(place: Path, capsys: Capture) -> None:
    assert _run(place, "--ranges", "best") == 0
    found = read_build(place / "build").info.report["ranges"]
    assert found["cosine"].keys() == {"minmax", "percentile", "entropy"}
    assert found["cosine"][found["method"]] == max(found["cosine"].values())
    assert _run(place) == 0
    assert read_build(place / "build").info.report["ranges"] == {"method": "minmax", "cosine": {}}
    capsys.readouterr()


def test_a_float_build_is_what_others_are_compared_with(place: Path, capsys: Capture) -> None:
    assert _run(place, "--precision", "float32") == 0
    found = read_build(place / "build")
    assert found.info.precision == "float32"
    for graph in ("cpu", "trt"):
        assert found.info.report["parity"][graph]["cosine_min"] > 0.999999
        model = onnx.load(place / "build" / f"model.{graph}.onnx")
        assert not [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    capsys.readouterr()


def test_the_plan_comes_first_and_is_refused_before_a_photo_is_read(place: Path, capsys: Capture) -> None:
    assert _run(place, "--skus", "2000,4000", "--cameras", "2") == 0
    printed = capsys.readouterr().out
    assert printed.index("planned (an estimate)") < printed.index("as built (an estimate)")
    assert "growth to 4,000 SKUs" in printed
    missing = str(place / "no such photos")
    assert _run(place, "--budget-mib", "100", "--images", missing) == 3
    said = capsys.readouterr()
    assert "planned (an estimate)" in said.out
    assert "expected at most 80 MiB; the largest: Python, libraries, session 83 MiB," in said.err.replace("\n", " ")


def test_the_same_arguments_give_the_same_graph_and_the_seed_another(place: Path) -> None:
    graphs = []
    for seed in ("3", "3", "4"):
        assert _run(place, "--seed", seed) == 0
        graphs.append(read_build(place / "build").graph.read_bytes())
    assert graphs[0] == graphs[1] != graphs[2]


def test_options_reach_the_build(place: Path) -> None:
    (place / "other.yaml").write_text(SIDECAR.replace("stretch", "letterbox").replace("rgb", "bgr"))
    more = ["--preprocess", str(place / "other.yaml"), "--taps", "b4_add,b2_add", "--max-batch", "2", "--photos", "9"]
    assert _run(place, *more) == 0
    info = read_build(place / "build").info
    assert (info.taps, info.feature_dimension) == (("b4_add", "b2_add"), 5 * 16 + 2 * 12)
    assert (info.max_batch, info.images, info.input.resize) == (2, 9, "letterbox")


def test_a_transformer_with_imagenet_means_is_built(place: Path) -> None:
    onnx.save(vision_transformer(), place / "vit.onnx")
    (place / "vit.yaml").write_text(
        "{color: rgb, mean: [123.675, 116.28, 103.53], std: [58.4, 57.1, 57.4], layout: nchw, resize: crop}"
    )
    assert _run(place, model="vit.onnx") == 0
    assert read_build(place / "build").info.feature_dimension == 3 * 2 * 24


def test_a_channels_last_model_is_built(place: Path) -> None:
    onnx.save(plain(layout="nhwc"), place / "tf.onnx")
    (place / "tf.yaml").write_text(SIDECAR.replace("nchw", "nhwc"))
    assert _run(place, model="tf.onnx") == 0


def test_weights_in_a_file_beside_the_model_are_found(place: Path) -> None:
    onnx.save(mobile(), place / "big.onnx", save_as_external_data=True, location="big.bin", size_threshold=100)
    (place / "big.yaml").write_text(SIDECAR)
    assert (place / "big.bin").exists()
    assert _run(place, model="big.onnx") == 0


def _two_inputs(place: Path) -> None:
    model = mobile()
    model.graph.input.append(helper.make_tensor_value_info("mask", 1, ["N"]))
    onnx.save(model, place / "mobile.onnx")


def _fixed_batch(place: Path) -> None:
    model = mobile()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, place / "mobile.onnx")


def _truncated(place: Path) -> None:
    data = (place / "mobile.onnx").read_bytes()
    (place / "mobile.onnx").write_bytes(data[: len(data) // 2])


def _no_sidecar(place: Path) -> None:
    (place / "mobile.yaml").unlink()


def _no_photos(place: Path) -> None:
    (place / "photos").rename(place / "away")
    (place / "photos").mkdir()


def _damaged_photos(place: Path) -> None:
    for path in sorted((place / "photos").rglob("*.jpg"))[5:]:
        path.write_bytes(b"no picture")


def _foreign_out(place: Path) -> None:
    (place / "build").mkdir()
    (place / "build" / "thesis.txt").write_text("years of work")


def _nothing(place: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "more", "expected"),
    [
        (_two_inputs, [], "2 inputs (x, mask), expected one"),
        (_fixed_batch, [], "fixed batch of 1"),
        (_truncated, [], "not an ONNX model, or cut short"),
        (_no_sidecar, [], "color: rgb, mean: [127, 127, 127]"),
        (_no_photos, [], "no photos"),
        (_damaged_photos, [], "5 readable photos of 30, expected at least 8"),
        (_foreign_out, [], "exists and is not a build"),
        (_nothing, ["--taps", "b4_add,nowhere"], "no tensor is called 'nowhere'"),
        (_nothing, ["--device", "absent.yaml"], "no such file"),
        (_nothing, ["--images", "absent"], "not a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    place: Path, capsys: Capture, change: Callable[[Path], None], more: list[str], expected: str
) -> None:
    change(place)
    before = sorted(path.name for path in place.iterdir())
    assert _run(place, *more) == 2
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith("edge-build: error: ")
    assert expected in lines[0]
    assert "wrote" not in said.out
    assert sorted(path.name for path in place.iterdir()) == before


@pytest.mark.parametrize(
    "more",
    [["--photos", "7"], ["--photos", "many"], ["--max-batch", "0"], ["--seed", "-1"], ["--min-cosine", "2"],
     ["--taps", "a,,b"], ["--taps", "a,a"], ["--engine", "none"], ["--skus", "0"], ["--skus", "2000,1000"],
     ["--skus", "1,2,3"], ["--skus", "1,"]],
)  # fmt: skip
def test_an_argument_out_of_range_is_refused_before_anything_is_read(
    place: Path, capsys: Capture, more: list[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        _run(place, *more)
    assert left.value.code == 2
    assert more[0] in capsys.readouterr().err


def test_a_layer_that_int8_breaks_stays_in_float_and_is_named(place: Path, capsys: Capture) -> None:
    onnx.save(with_outliers(), place / "outliers.onnx")
    (place / "outliers.yaml").write_text(SIDECAR)
    assert _run(place, "--min-cosine", "0.999", "--engine", "tensorrt", model="outliers.onnx") == 0
    said = capsys.readouterr()
    assert "1 of 4 layers stay in float (node_small)" in said.err.replace("\n", " ")
    assert "in float: 1 of 4 layers" in said.out
    report = read_build(place / "build").info.report
    assert report["kept_in_float"]["nodes"] == ["node_small", "node_small_relu"]
    assert report["parity"]["trt"]["cosine_mean"] >= 0.999


def test_what_int8_breaks_of_an_exported_transformer_stays_in_float16(place: Path, capsys: Capture) -> None:
    onnx.save(exported_transformer(form=Form("operator", 20, gives_tokens=True), outlier=200.0), place / "vit.onnx")
    (place / "vit.yaml").write_text(SIDECAR)
    more = ["--engine", "tensorrt", "--min-cosine", "0.9995", "--rest", "float16"]
    assert _run(place, *more, "--budget-mib", "4000", model="vit.onnx") == 0
    said = capsys.readouterr().err.replace("\n", " ")
    assert "3 of 13 layers stay in float (" in said
    found = read_build(place / "build")
    assert set(found.info.report["kept_in_float"]["nodes"]) == readers_of_outliers()
    graph = onnx.load(found.graph)
    assert [(one.domain, one.version) for one in graph.opset_import] == [("", 17)]
    assert graph.ir_version <= 8
    halves = {one.name for one in graph.graph.initializer if one.data_type == onnx.TensorProto.FLOAT16}
    assert halves == {f"half/b1_{part}.w" for part in "qkv"}
    assert _run(place, "--rest", "float16") == 2
    assert "--rest float16 is for INT8 on tensorrt, this build is int8 for onnxruntime" in capsys.readouterr().err


def test_a_refused_parity_leaves_the_previous_build(place: Path, capsys: Capture) -> None:
    assert _run(place) == 0
    before = read_build(place / "build").id
    capsys.readouterr()
    assert _run(place, "--min-cosine", "1.0") == 3
    error = capsys.readouterr().err
    assert "mean cosine 0.9" in error
    assert "with 10 of 20 layers in float (the most sensitive: " in error
    assert read_build(place / "build").id == before
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


def test_a_device_that_is_too_small_is_refused(place: Path, capsys: Capture) -> None:
    text = DEVICE.read_text().replace("application_budget_mib: 4096", "application_budget_mib: 64")
    (place / "tiny.yaml").write_text(text)
    assert _run(place, "--device", str(place / "tiny.yaml")) == 3
    error = capsys.readouterr().err
    assert "expected at most 51 MiB" in error
    assert "the largest: Python, libraries, session" in error
    assert not (place / "build").exists()


def test_what_was_left_out_is_said(place: Path, capsys: Capture) -> None:
    for path in sorted((place / "photos").rglob("*.jpg"))[12:]:
        path.write_bytes(b"no picture")
    jetson = DEVICE.with_name("orin-nano-4gb.yaml")
    assert _run(place, "--device", str(jetson), "--engine", "onnxruntime") == 0
    error = capsys.readouterr().err
    assert "18 photos cannot be read and were left out" in error
    assert "and 13 more" in error
    assert "12 photos are too few to hold some out" in error
    assert "runs tensorrt best; this build is for onnxruntime" in error
