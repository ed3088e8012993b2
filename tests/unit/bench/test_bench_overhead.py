"""The overhead of a device: measured, and written into its file line by line or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import samples
from test_bench_cli import write_config
from vendor import fake_tensorrt
from vendor.fake_tensorrt import ORIN

from edge.bench import overhead
from edge.bench.cli import main
from edge.bench.memory import MemorySample
from edge.bundle import read_bundle
from edge.capture.stills import write_still
from edge.config import EngineConfig
from edge.device import load_device_config
from edge.engines.cuda import Gpu
from edge.errors import EngineError, InputError

DEVICES = Path(__file__).parents[3] / "configs" / "devices"


def gpu(free_mib: int, sm: int = 87) -> Gpu:
    return Gpu(name="Orin", sm=sm, driver="12.6", free_mib=free_mib, total_mib=7168)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what sets the free memory that the driver tells, question by question."""

    def install(*mib: int) -> None:
        told = iter(mib)
        monkeypatch.setattr(overhead, "find_gpu", lambda: gpu(next(told)))

    return install


def test_what_a_camera_adds_is_the_most_that_was_seen() -> None:
    seen = [MemorySample(frame, 3, 0, 0, 0, beside) for frame, beside in enumerate((1024, 65 * 1024, 60 * 1024))]
    assert overhead.camera_mib(seen, cameras=2) == 33


def test_the_runtimes_own_memory_is_what_is_missing_less_what_the_plan_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: Callable[..., None]
) -> None:
    bundle = read_bundle(samples.write_sample_bundle(tmp_path / "bundle", engine="tensorrt"))
    plan = fake_tensorrt.install(monkeypatch, bundle.graph, max_batch=4)
    config = EngineConfig(plan=str(plan))
    free(3000, 2300)
    assert 600 < overhead.runtime_mib(bundle, config) <= 700
    free(3000, 3100)
    with pytest.raises(EngineError, match=r"took -100 MiB of what CUDA calls free.*something else gave memory back"):
        overhead.runtime_mib(bundle, config)


def test_a_file_of_another_device_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu = read_bundle(samples.write_sample_bundle(tmp_path / "t", engine="tensorrt"))
    on_cpu = read_bundle(samples.write_sample_bundle(tmp_path / "c"))
    monkeypatch.setattr(overhead, "find_gpu", lambda: ORIN)
    overhead.refuse_other_device(DEVICES / "orin-nano-4gb.yaml", on_gpu)
    overhead.refuse_other_device(DEVICES / "x86-dev.yaml", on_cpu)
    with pytest.raises(InputError, match="runs tensorrt, this bundle onnxruntime; measure with a bundle"):
        overhead.refuse_other_device(DEVICES / "orin-nano-4gb.yaml", on_cpu)
    with pytest.raises(InputError, match=r"has SM 110, this GPU \(Orin\) SM 87; measure on the device"):
        overhead.refuse_other_device(DEVICES / "thor-t4000.yaml", on_gpu)


def test_the_command_writes_what_it_measured_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples.write_sample_bundle(tmp_path / "bundle")
    (tmp_path / "photos").mkdir()
    for number in range(6):
        write_still(tmp_path / "photos" / f"{number}.png", samples.product(number))
    cart = write_config(tmp_path, tmp_path / "photos")
    device = tmp_path / "mine.yaml"
    before = (DEVICES / "x86-dev.yaml").read_text()
    device.write_text(before)
    assert main(["memory", "--config", str(cart), "--frames", "50", "--write-device", str(device)]) == 0
    assert f"wrote {device}" in capsys.readouterr().out
    read = load_device_config(device)
    assert 5 <= read.memory.camera_mib <= 120
    after = device.read_text().splitlines()
    added = [line for line in after if line not in before.splitlines()]
    note = overhead.measured_note(time.localtime())
    assert added == [f"  camera_mib: {read.memory.camera_mib}  # {note}"]
    assert [line for line in after if line not in added] == before.splitlines()
    assert main(["memory", "--config", str(cart), "--frames", "50", "--write-device", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml: no such file" in capsys.readouterr().err
