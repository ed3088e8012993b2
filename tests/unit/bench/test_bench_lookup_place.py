"""Where to look up: measured on doubles of CUDA and TensorRT, so the times say nothing; the choice and its seal do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import samples
from vendor.fake_cuda import Cuda
from vendor.fake_tensorrt import ORIN, TensorRt, put

from builder import compile as command
from builder.cli import build
from edge.assembly import load
from edge.bench import lookup_place
from edge.bench.cli import main
from edge.bench.lookup_place import Places
from edge.bundle import read_bundle
from edge.config import EngineConfig
from edge.engines.plan import plan_beside, read_plan
from edge.engines.trt import TensorRtEngine
from edge.lookup import Index


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cuda = Cuda()
    put(monkeypatch, TensorRt("10.3", cuda), cuda)
    monkeypatch.setattr(command, "find_gpu", lambda: ORIN)
    path = samples.write_sample_bundle(tmp_path / "bundle", engine="tensorrt")
    assert build(["--compile-only", str(path)]) == 0
    return path


def told(monkeypatch: pytest.MonkeyPatch, **ms: list[float]) -> None:
    """Let queries take so many milliseconds: alone, then beside the engine."""
    left = {place: iter(given) for place, given in ms.items()}

    def times(index: Index, _dimension: int, queries: int) -> np.ndarray:
        place = "gpu" if index.nearest.name == "tensorrt" else "cpu"
        return np.full(queries, next(left[place]))

    monkeypatch.setattr(lookup_place, "times_ms", times)


@pytest.mark.parametrize(
    ("cpu", "gpu", "choice"),
    [
        ([0.3, 0.3], [0.1, 0.2], "engine"),
        ([0.3, 0.3], [0.1, 0.4], "host"),
        ([0.1, 0.3], [0.1, 0.2], "host"),
        ([0.1, 0.1], [0.2, 0.2], "host"),
    ],
    ids=["faster both times", "slower beside the engine", "no faster alone", "slower"],
)
def test_the_gpu_is_chosen_where_it_is_faster_alone_and_beside_the_engine(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cpu: list[float],
    gpu: list[float],
    choice: str,
) -> None:
    told(monkeypatch, cpu=cpu, gpu=gpu)
    out = bundle.with_name("places.json")
    assert main(["lookup", "--bundle", str(bundle), "--queries", "10", "--out", str(out)]) == 0
    assert read_plan(plan_beside(bundle)).info.lookup == json.loads(out.read_text())["lookup"] == choice
    assert f"look up on the {'GPU' if choice == 'engine' else 'CPU'}" in capsys.readouterr().out
    loaded = load(read_bundle(bundle), EngineConfig())
    assert (loaded.pipeline._index.nearest.name == "tensorrt") == (choice == "engine")
    loaded.held.close()


def test_both_places_are_really_asked(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lookup", "--bundle", str(bundle), "--queries", "10"]) == 0
    out = capsys.readouterr().out
    assert all(
        f"query p50, {place}, {how}" in out for place in ("CPU", "GPU") for how in ("alone", "beside the engine")
    )


def test_an_engine_that_fails_meanwhile_chooses_nothing(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told(monkeypatch, cpu=[0.3, 0.3], gpu=[0.1, 0.1])
    whole = TensorRtEngine._embed

    def embed(self: TensorRtEngine, crops: np.ndarray) -> np.ndarray:
        if len(crops) > 1:
            raise RuntimeError("an illegal memory access was encountered")
        return whole(self, crops)

    monkeypatch.setattr(TensorRtEngine, "_embed", embed)
    assert main(["lookup", "--bundle", str(bundle), "--queries", "10"]) == 1
    assert "engine failed: an illegal memory access" in capsys.readouterr().err
    assert read_plan(plan_beside(bundle)).info.lookup == "host"


def test_a_bundle_without_a_gpu_has_no_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = samples.write_sample_bundle(tmp_path / "bundle")
    assert main(["lookup", "--bundle", str(bundle)]) == 2
    assert "made for onnxruntime, which has no GPU to look up on" in capsys.readouterr().err


def test_a_bundle_that_was_not_compiled_says_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = samples.write_sample_bundle(tmp_path / "bundle", engine="tensorrt")
    assert main(["lookup", "--bundle", str(bundle)]) == 1
    assert "bundle.plan: no such plan; run edge-build --compile-only" in capsys.readouterr().err


def test_medians_decide() -> None:
    fast, slow = np.array([1.0, 1.0, 90.0]), np.array([2.0, 2.0, 2.0])
    assert Places(slow, fast, slow, fast).faster == "engine"
