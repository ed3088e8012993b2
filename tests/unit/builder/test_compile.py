"""`edge-build --compile-only`: on bindings of seven versions by name, and where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import samples
from vendor.fake_cuda import Cuda
from vendor.fake_tensorrt import ORIN, VERSIONS, TensorRt, put

import edge.engines.trt as adapter
from builder import compile as command
from builder import trt_lookup
from builder.cli import build
from edge.assembly import engine_of
from edge.bundle import Golden, read_bundle, write_bundle, write_parameters
from edge.config import EngineConfig
from edge.engines.plan import KIND, PLAN, graph_sha256, read_plan
from edge.sealed import MANIFEST

DEVICES = Path(__file__).parents[3] / "configs" / "devices"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return samples.write_sample_bundle(tmp_path / "bundle", engine="tensorrt")


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], TensorRt]:
    """Return what puts one version of TensorRT and a GPU in place."""

    def install(version: str, faults: frozenset[str] = frozenset()) -> TensorRt:
        cuda = Cuda()
        trt = TensorRt(version, cuda, faults)
        put(monkeypatch, trt, cuda)
        monkeypatch.setattr(command, "find_gpu", lambda: ORIN)
        return trt

    return install


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bundle_is_compiled_and_then_runs(
    version: str, bundle: Path, on_device: Callable[[str], TensorRt], capsys: pytest.CaptureFixture[str]
) -> None:
    trt = on_device(version)
    assert build(["--compile-only", str(bundle), "--device", str(DEVICES / "orin-nano-8gb.yaml")]) == 0
    assert f"for Orin, SM 87, TensorRT {trt.__version__}" in capsys.readouterr().out
    plan = read_plan(bundle.with_name("bundle.plan"))
    assert (plan.info.tensorrt, plan.info.sm, plan.info.max_batch) == (trt.__version__, 87, 4)
    assert plan.lookup is not None
    assert plan.info.lookup == "host"  # until `edge-bench lookup` was asked
    assert plan.info.graph_sha256 == graph_sha256(bundle / "engine.onnx")
    with engine_of(read_bundle(bundle), EngineConfig()) as engine:
        assert engine.degraded == ""
    assert not [path.name for path in bundle.parent.iterdir() if path.name.startswith(".")]


def test_the_timing_cache_is_kept_and_read_again(bundle: Path, on_device: Callable[[str], TensorRt]) -> None:
    on_device("10.3")
    for times in (2, 4):  # the engine's and the lookup's, each time
        assert build([f"--compile-only={bundle}"]) == 0
        assert bundle.with_name("bundle.plan.timing.cache").read_bytes() == str(times).encode()


def test_a_bundle_whose_lookup_cannot_be_compiled_is_looked_up_on_the_host(
    bundle: Path,
    on_device: Callable[[str], TensorRt],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on_device("10.3")
    monkeypatch.setattr(trt_lookup, "MAX_DIMENSION", 8)
    assert build([f"--compile-only={bundle}"]) == 0
    assert "no lookup on the GPU: embeddings of 48 values, expected 8 at most" in capsys.readouterr().err
    assert read_plan(bundle.with_name("bundle.plan")).lookup is None


def test_a_plan_that_gives_other_rows_is_never_put_in_place(
    tmp_path: Path, on_device: Callable[[str], TensorRt], capsys: pytest.CaptureFixture[str]
) -> None:
    on_device("10.3")
    good = read_bundle(samples.write_sample_bundle(tmp_path / "good", engine="tensorrt"))
    with write_bundle(tmp_path / "bundle", good.info) as folder:
        (folder / "engine.onnx").write_bytes(good.graph.read_bytes())
        swapped = Golden(good.golden.crops, good.golden.rows[::-1].copy())
        write_parameters(folder, good.classes, good.table, good.rules, swapped)
    assert build(["--compile-only", str(tmp_path / "bundle")]) == 1
    assert "a golden crop comes out with cosine" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "good"]


def test_an_older_plan_stays_when_the_new_one_fails(
    bundle: Path, on_device: Callable[..., TensorRt], capsys: pytest.CaptureFixture[str]
) -> None:
    on_device("10.3")
    assert build(["--compile-only", str(bundle)]) == 0
    before = (bundle.with_name("bundle.plan") / PLAN).read_bytes()
    on_device("10.3", frozenset({"context"}))
    assert build(["--compile-only", str(bundle)]) == 1
    assert "no execution context" in capsys.readouterr().err
    assert (bundle.with_name("bundle.plan") / PLAN).read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--workspace-mib", "1"), 3, "TensorRT finds no engine within 1 MiB of workspace (no tactics"),
        (("--device", str(DEVICES / "x86-dev.yaml")), 2, "SM None, this GPU (Orin) SM 87; compile there"),
        (("--workspace-mib", "0"), 2, "expected a whole number from 1"),
    ],
)
def test_what_cannot_be_compiled_is_one_line(
    bundle: Path,
    on_device: Callable[[str], TensorRt],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    on_device("10.3")
    try:
        assert build(["--compile-only", str(bundle), *arguments]) == code
    except SystemExit as stop:
        assert stop.code == code
    errors = capsys.readouterr().err
    assert said in errors
    assert len(errors.splitlines()) == 1
    assert not bundle.with_name("bundle.plan").exists()


def test_a_bundle_for_another_engine_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = samples.write_sample_bundle(tmp_path / "bundle")
    assert build(["--compile-only", str(bundle)]) == 2
    assert "made for the engine onnxruntime, expected tensorrt; build with --engine tensorrt" in capsys.readouterr().err


def test_a_folder_that_is_no_plan_is_not_replaced(
    bundle: Path, on_device: Callable[[str], TensorRt], capsys: pytest.CaptureFixture[str]
) -> None:
    on_device("10.3")
    (bundle.parent / "mine").mkdir()
    (bundle.parent / "mine" / "notes.txt").write_text("mine")
    assert build(["--compile-only", str(bundle), "--out", str(bundle.parent / "mine")]) == 2
    assert f"exists and is not a {KIND}" in capsys.readouterr().err
    assert not (bundle.parent / "mine" / MANIFEST).exists()


def test_without_a_gpu_nothing_is_compiled(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real path of a machine without a driver; where there is one, its absence is what is faked."""
    monkeypatch.setattr(command, "find_gpu", lambda: adapter.find_gpu("libabsent.so"))
    assert build(["--compile-only", str(bundle)]) == 1
    assert "no GPU: no CUDA driver" in capsys.readouterr().err


def test_a_bundle_whose_engine_the_gpu_refuses_runs_on_its_reference_and_says_why(
    bundle: Path, on_device: Callable[..., TensorRt]
) -> None:
    on_device("10.3")
    assert build(["--compile-only", str(bundle)]) == 0
    on_device("11.4")
    found = read_bundle(bundle)
    with engine_of(found, EngineConfig(fallback="onnxruntime")) as engine:
        assert "made for TensorRT 10.3.0, here it is 11.4.0" in engine.degraded
        assert float(engine.embed(found.golden.crops[:1])[0] @ found.golden.rows[0]) > 0.999
    other = replace(found, golden=Golden(found.golden.crops, found.golden.rows[::-1].copy()))
    with pytest.raises(adapter.EngineError, match="a golden crop"):
        engine_of(other, EngineConfig(fallback="onnxruntime")).__enter__()
