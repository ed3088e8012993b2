"""edge-build --plan from end to end: what it looks at, what it takes, and what it says where nothing can be taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
from labelled_photos import write_products
from small_nets import hostile, mobile, vision_transformer

from builder.cli import build
from edge.build_folder import read_build

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "devices"
SIDECAR = "{color: rgb, mean: [127, 127, 127], std: [128, 128, 128], layout: nchw, resize: stretch}\n"
Capture = pytest.CaptureFixture[str]
JETSON, X86 = "orin-nano-4gb", "x86-dev"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks and photos of 12 products."""
    folder = tmp_path_factory.mktemp("plan")
    for name, net in (("mobile", mobile(64)), ("hostile", hostile()), ("vit", vision_transformer())):
        onnx.save(net, folder / f"{name}.onnx")
        (folder / f"{name}.yaml").write_text(SIDECAR)
    write_products(folder / "photos", products=12, photos=6)
    return folder


def _run(place: Path, out: Path, device: str, models: tuple[str, ...], *more: str) -> int:
    given = {
        "--images": place / "photos",
        "--device": CONFIGS / f"{device}.yaml",
        "--plan": out / "plan",
        "--out": out / "build",
    }
    named = [part for model in models for part in ("--model", str(place / f"{model}.onnx"))]
    return build([*named, *(str(part) for pair in given.items() for part in pair), "--photos", "24", *more])


def _plan(out: Path) -> Any:
    return msgspec.json.decode((out / "plan" / "plan.json").read_bytes())


def _best_by_hand(plan: Any) -> Any:
    """The rule of `builder.plan.points`, spelt out."""
    usable = [p for p in plan["points"] if p["state"] in {"fits", "chosen"}]
    best = max(p["top1"] for p in usable)
    near = [p for p in usable if p["top1"] >= best - 0.005]
    fastest = min(p["latency_ms"] for p in near)
    quick = [p for p in near if p["latency_ms"] <= 1.05 * fastest]
    return min(quick, key=lambda p: (p["memory_mib"], -p["top1"], p["latency_ms"], p["form"]))


def _choice(plan: Any) -> Any:
    return next(p for p in plan["points"] if p["state"] == "chosen")


def test_the_best_that_fits_is_built_and_a_tighter_budget_changes_it(
    place: Path, tmp_path: Path, capsys: Capture
) -> None:
    more = ("--plan-sizes", "32,64", "--skus", "2000,4000")
    assert _run(place, tmp_path, JETSON, ("mobile",), *more) == 0
    wide = _plan(tmp_path)
    first = _choice(wide)
    assert first == _best_by_hand(wide)
    info = read_build(tmp_path / "build").info
    form = wide["forms"][first["form"]]
    assert (info.input.height_px, info.precision) == (form["size_px"], form["precision"])
    assert info.max_batch == first["batch"]
    assert info.report["plan"]["point"] == first
    assert info.report["plan"]["why"].startswith("within 0.5 points of the most accurate that fits")
    assert sum(info.report["plan"]["points"].values()) == len(wide["points"])
    assert info.report["memory_estimate"]["total_mib"] == pytest.approx(first["memory_mib"], rel=0.02)
    assert form["latency"].startswith("predicted")
    assert {f["accuracy"] for f in wide["forms"]} == {"measured", "float's"}
    assert capsys.readouterr().err.count("recognise") == 0

    budget = int((min(p["memory_mib"] for p in wide["points"]) + first["memory_mib"]) / 2 / 0.8)
    assert _run(place, tmp_path, JETSON, ("mobile",), *more, "--budget-mib", str(budget)) == 0
    tight = _plan(tmp_path)
    second = _choice(tight)
    assert second == _best_by_hand(tight)
    assert second["memory_mib"] <= 0.8 * budget < first["memory_mib"]
    assert len(tight["points"]) == len(wide["points"])  # shown, not dropped
    assert sum(p["state"] == "over budget" for p in tight["points"]) > 0
    assert read_build(tmp_path / "build").info.max_batch == second["batch"]
    capsys.readouterr()


def test_where_no_point_fits_nothing_is_measured_and_the_largest_lines_are_named(
    place: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert _run(place, tmp_path, JETSON, ("mobile",), "--budget-mib", "300") == 3
    said = capsys.readouterr().err
    assert "points fits: the nearest (mobile " in said
    assert "the largest: CUDA and TensorRT 600 MiB, workspace of a layer 256 MiB, Python" in said
    assert not (tmp_path / "build").exists()
    plan = _plan(tmp_path)
    assert {p["state"] for p in plan["points"]} == {"over budget"}
    assert {f["accuracy"] for f in plan["forms"]} == {"not measured"}
    assert "No point can be taken." in (tmp_path / "plan" / "plan.html").read_text()


def test_forms_that_a_gate_refuses_and_sizes_that_a_network_refuses_are_shown(
    place: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Measured on this CPU: int8 of the hostile network fails, also with half of its layers in float."""
    assert _run(place, tmp_path, X86, ("hostile", "vit"), "--plan-sizes", "32,40") == 0
    plan = _plan(tmp_path)
    refused = {(f["model"], f["size_px"], f["precision"], f["in_float"]) for f in plan["forms"] if f["refused"]}
    assert {("hostile", 32, "int8", 0), ("hostile", 32, "int8", 3)} <= refused
    assert [(one["model"], one["size_px"]) for one in plan["unusable"]] == [("vit", 40)]
    assert "not convolutional" in plan["unusable"][0]["why"]
    assert all(p["state"] == "refused" for p in plan["points"] if plan["forms"][p["form"]]["refused"])
    assert read_build(tmp_path / "build").info.report["plan"]["unusable"] == plan["unusable"]
    assert "mean cosine" in (tmp_path / "plan" / "plan.html").read_text()
    capsys.readouterr()
    assert _run(place, tmp_path, X86, ("vit",), "--plan-max-ms", "0.001") == 3
    assert "none of 128 points can be taken (128 too slow)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--size", "32"], "leave out --size"),
        (["--precision", "float32"], "leave out --size, --precision"),
        (["--labelled-photos", "0"], "on labelled photos"),
        (["--plan-sizes", "40"], "does not take 40 x 40 pixels"),
    ],
)
def test_what_a_plan_cannot_work_with_is_one_line(
    place: Path, tmp_path: Path, capsys: Capture, more: list[str], expected: str
) -> None:
    assert _run(place, tmp_path, X86, ("vit",), *more) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1


def test_what_belongs_to_a_plan_needs_one(place: Path, tmp_path: Path, capsys: Capture) -> None:
    given = ["--images", str(place / "photos"), "--device", str(CONFIGS / "x86-dev.yaml"), "--out", str(tmp_path / "b")]
    for more, expected in (
        (["--model", str(place / "vit.onnx")], "--model was given 2 times, expected once"),
        (["--plan-sizes", "32"], "give --plan DIR"),
        (["--plan-max-ms", "5"], "give --plan DIR"),
    ):
        assert build(["--model", str(place / "vit.onnx"), *given, *more]) == 2
        assert expected in capsys.readouterr().err


def test_a_plan_without_labels_is_refused(place: Path, tmp_path: Path, capsys: Capture) -> None:
    flat = write_products(tmp_path / "flat", products=1, photos=9)
    assert _run(place, tmp_path, X86, ("vit",), "--images", str(flat)) == 2
    assert "a plan needs labelled photos" in capsys.readouterr().err
