from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantised_nets import LITE, graphs, ranges_of
from small_nets import bottleneck_resnet, mobile, plain_resnet

from builder.budget import Ledger, Line, Load, changes_that_fit, ledger_for, refuse_over
from builder.parity import Agreement, Parity, measure_parity, refuse_below
from builder.quantise import cpu_graph
from edge.device import DeviceConfig, load_device_config
from edge.errors import GateError
from edge.footprint import WORKSPACE_MIB

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "devices"
MIB = 1 << 20


def _parity(cpu: float, trt: float = 0.99) -> Parity:
    forms = {
        name: Agreement(cosine_mean=mean, cosine_p05=0.9, cosine_min=0.9, neighbour_agreement=0.9, size_bytes=1)
        for name, mean in (("cpu", cpu), ("trt", trt))
    }
    return Parity(photos=10, photos_set_ranges=False, float_ms=2.0, cpu_ms=1.0, float_bytes=4, **forms)


def _device(name: str = "orin-nano-4gb") -> DeviceConfig:
    return load_device_config(CONFIGS / f"{name}.yaml")


def _linear(path: Path, weights: np.ndarray) -> Path:
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 2, 2, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", weights.shape[1]])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_parity_compares_row_by_row(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = random.normal(size=(12, 6))
    exact = _linear(tmp_path / "exact.onnx", weights)
    turned = _linear(tmp_path / "turned.onnx", -weights)
    crops = random.integers(0, 256, (20, 2, 2, 3), dtype=np.uint8)
    heard: list[int] = []
    other = _linear(tmp_path / "other.onnx", random.normal(size=(12, 6)))
    found = measure_parity(exact, (exact, turned), crops, False, heard.append)
    assert sum(heard) == found.photos == 20
    assert found.float_bytes == found.cpu.size_bytes == exact.stat().st_size
    assert found.cpu.cosine_min == pytest.approx(1.0, abs=1e-5)
    assert found.cpu.neighbour_agreement == 1.0
    assert found.trt.cosine_mean == pytest.approx(-1.0, abs=1e-5)
    assert found.trt.neighbour_agreement == 1.0  # all rows turned alike: the same neighbours
    strange = measure_parity(exact, (other, exact), crops, True, heard.append).cpu
    assert strange.cosine_min <= strange.cosine_p05 <= strange.cosine_mean < 0.99
    assert strange.neighbour_agreement < 1.0


@pytest.mark.parametrize(("cosine", "refused"), [(0.96, False), (0.95, False), (0.949, True), (float("nan"), True)])
def test_the_parity_gate(cosine: float, refused: bool) -> None:
    given = {"onnxruntime": _parity(cosine, 0.0), "tensorrt": _parity(0.0, cosine)}
    for engine, parity in given.items():  # of the graph that the engine runs, whatever the other one is like
        if not refused:
            refuse_below(parity, engine, 0.95)
            continue
        with pytest.raises(GateError, match=f"mean cosine {cosine:.4f} .* expected at least 0.9500"):
            refuse_below(parity, engine, 0.95)


def _graph(channels: int = 64) -> onnx.ModelProto:
    """images -> Cast -> Transpose -> Conv -> Relu -> GlobalAveragePool -> Flatten, 64 x 64 pixels."""
    weight = np.zeros((channels, 3, 1, 1), np.float32)
    nodes = [
        helper.make_node("Transpose", ["images"], ["bytes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["bytes"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["floats", "w"], ["map"]),
        helper.make_node("Relu", ["map"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 64, 64, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", channels])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _line(ledger: Ledger, start: str) -> Line:
    return next(line for line in ledger.lines if line.name.startswith(start))


def test_activations_are_the_most_that_live_at_once() -> None:
    ledger = ledger_for(_graph(), _device(), Load("onnxruntime", max_batch=4, skus=1000))
    two_maps = 2 * 4 * 64 * 64 * 64 * 4  # before and after Relu, batch 4, 64 channels of 64 x 64 floats
    images = 4 * 64 * 64 * 3
    assert _line(ledger, "activations, batch 4").mib == pytest.approx(2 * (two_maps + images) / MIB)
    assert _line(ledger, "weights").mib == pytest.approx(2 * 64 * 3 * 4 / MIB)
    assert _line(ledger, "product table").mib == pytest.approx(1000 * (2 * 8 * 192 + 360) / MIB)
    assert _line(ledger, "search, batch 4").mib == pytest.approx(4 * 4 * 4 * 8000 / MIB)


def test_the_batch_scales_the_activations() -> None:
    small, large = (
        _line(ledger_for(_graph(), _device(), Load("onnxruntime", batch, 1)), "activations").mib for batch in (1, 8)
    )
    assert large == pytest.approx(8 * small)


def test_cuda_counts_only_where_the_engine_is_tensorrt() -> None:
    graph, device = _graph(), _device()
    cpu = ledger_for(graph, device, Load("onnxruntime", 1, 1))
    gpu = ledger_for(graph, device, Load("tensorrt", 1, 1))
    assert gpu.total_mib - cpu.total_mib == pytest.approx(device.memory.runtime_overhead_mib + WORKSPACE_MIB)


def test_the_limit_is_the_budget_less_its_headroom() -> None:
    device = _device()
    ledger = ledger_for(_graph(), device, Load("onnxruntime", 1, 1))
    assert ledger.limit_mib == pytest.approx(device.memory.application_budget_mib * 0.8)
    refuse_over(ledger)


def test_over_the_limit_names_the_three_largest_lines() -> None:
    lines = tuple(Line(name, mib, "counted") for name, mib in (("a", 10), ("b", 400), ("c", 30), ("d", 200)))
    refuse_over(Ledger((), lines, 640.0, "box"))
    with pytest.raises(
        GateError, match=r"about 640 MiB on box, .* 639 MiB; the largest: b 400 MiB, d 200 MiB, c 30 MiB"
    ):
        refuse_over(Ledger((), lines, 639.0, "box"))


def test_growth_and_cameras_have_lines_of_their_own() -> None:
    load = Load("onnxruntime", 1, skus=2000, growth=4000, cameras=2, prototypes=4)
    ledger = ledger_for(_graph(), _device(), load)
    assert _line(ledger, "product table, 2,000 SKUs").mib == pytest.approx(2000 * (2 * 4 * 192 + 360) / MIB)
    assert _line(ledger, "product table, growth to 4,000 SKUs").mib == pytest.approx(2000 * (2 * 4 * 192 + 360) / MIB)
    assert _line(ledger, "camera processes, 2").mib == pytest.approx(64)
    assert _line(ledger, "frame rings").mib == pytest.approx(2 * 4 * 1920 * 1080 * 3 / MIB)


def test_a_budget_of_ones_own_takes_the_place_of_the_devices() -> None:
    ledger = ledger_for(_graph(), _device(), Load("onnxruntime", 1, 1, budget_mib=300))
    assert ledger.limit_mib == pytest.approx(240)


def test_every_change_that_is_named_fits_and_the_cheapest_comes_first() -> None:
    """Batch 8 of these maps is 33 MiB, and 40,000 SKUs with 8 prototypes 131 MiB, their search 39 MiB."""
    graph, device = _graph(), _device()
    load = Load("onnxruntime", 8, skus=40_000, cameras=2, budget_mib=438)
    ledger = ledger_for(graph, device, load)
    assert ledger.total_mib > ledger.limit_mib
    changes = changes_that_fit(graph, device, load)
    assert [change.split(" (")[0] for change in changes] == ["--max-batch 2", "--max-batch 1", "--prototypes 4"]
    for change in changes:
        words = change.split(" (")[0].split()
        values = {
            name.removeprefix("--").replace("-", "_"): int(n) for name, n in zip(words[::2], words[1::2], strict=True)
        }
        changed = ledger_for(graph, device, replace(load, **values))
        assert changed.total_mib <= changed.limit_mib
    with pytest.raises(GateError, match=r"the largest: .*; what would fit: --max-batch 2 \(\d+ MiB\)"):
        refuse_over(ledger, changes)
    assert changes_that_fit(graph, device, replace(load, budget_mib=100)) == ()


@pytest.mark.parametrize(("net", "side"), [(mobile, 32), (plain_resnet, 32), (bottleneck_resnet, 64)])
def test_the_plan_is_near_what_is_built(net: Any, side: int) -> None:
    folded, model = graphs(net(), LITE)
    built = cpu_graph(Path("m.onnx"), folded, model, ranges_of(model, side))
    load = Load("onnxruntime", 8, 1000)
    plan, fact = (
        ledger_for(graph, _device(), load, planned=is_plan) for graph, is_plan in ((model, True), (built, False))
    )
    assert [line.name for line in plan.lines] == [line.name for line in fact.lines]
    assert plan.total_mib == pytest.approx(fact.total_mib, rel=0.02)
    assert _line(plan, "weights").mib == pytest.approx(_line(fact, "weights").mib, rel=0.1, abs=0.1)
