"""Times: the roofline by hand, and a graph that is run."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from quantised_nets import LITE, graphs
from small_nets import Net, mobile

from builder.plan.latency import measured_ms, roofline_ms
from edge.build_folder import InputSpec
from edge.device import DeviceConfig, load_device_config

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "devices"


def _device(tops: float | None, bandwidth: float | None) -> DeviceConfig:
    device = load_device_config(CONFIGS / "orin-nano-4gb.yaml")
    return structs.replace(device, int8_dense_tops=tops, bandwidth_gb_s=bandwidth)


def _one_layer() -> object:
    net = Net()
    return net.model(net.conv("x", 16, "c"), 32)  # 3 x 3, 3 -> 16 channels on 32 x 32


MULTIPLICATIONS = 32 * 32 * 16 * 3 * 9
WEIGHTS = 16 * 3 * 9 + 16 * 0  # the bias counts nothing
MOVED = 32 * 32 * (3 + 16)


def test_a_layer_takes_its_arithmetic_where_memory_is_fast() -> None:
    found = roofline_ms(_one_layer(), _device(1.0, 1e9), (1, 4), 1)  # type: ignore[arg-type]
    assert found["1"] == pytest.approx(1e3 * 2 * MULTIPLICATIONS / 1e12)
    assert found["4"] == pytest.approx(found["1"])


def test_a_layer_takes_its_bytes_where_arithmetic_is_fast_and_a_batch_shares_the_weights() -> None:
    found = roofline_ms(_one_layer(), _device(1e9, 1.0), (1, 4), 1)  # type: ignore[arg-type]
    assert found["1"] == pytest.approx(1e3 * (MOVED + WEIGHTS) / 1e9)
    assert found["4"] == pytest.approx(1e3 * (MOVED + WEIGHTS / 4) / 1e9)


@pytest.mark.parametrize(("element", "slower"), [(2, 2.0), (4, 4.0)])
def test_wider_values_take_longer_either_way(element: int, slower: float) -> None:
    for device in (_device(1.0, 1e9), _device(1e9, 1.0)):
        narrow, wide = (roofline_ms(_one_layer(), device, (1,), size)["1"] for size in (1, element))  # type: ignore[arg-type]
        assert wide == pytest.approx(slower * narrow)


def test_a_layer_in_float_costs_what_float_costs() -> None:
    _, model = graphs(mobile(), LITE)
    device = _device(10.0, 34.0)
    some, none, everything = (
        roofline_ms(model, device, (1,), element, kept)["1"]
        for element, kept in ((1, {"node_b0_expand"}), (1, ()), (4, ()))
    )
    assert none < some < everything


@pytest.mark.parametrize(("tops", "bandwidth"), [(None, 34.0), (10.0, None)])
def test_a_device_whose_figures_are_not_known_has_no_times(tops: float | None, bandwidth: float | None) -> None:
    assert roofline_ms(_one_layer(), _device(tops, bandwidth), (1,), 1) == {}  # type: ignore[arg-type]


def test_a_graph_is_timed_at_every_batch() -> None:
    _, model = graphs(mobile(), LITE)
    found = measured_ms(model, InputSpec(height_px=32, width_px=32, resize="stretch"), (1, 4))
    assert found.keys() == {"1", "4"}
    assert min(found.values()) > 0
