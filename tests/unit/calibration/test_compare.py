"""Two builds on one catalogue: what one loses, in which tier, and of which products."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from calibration_worlds import ArrayRows, World, material, write_catalogue, write_tiny_build
from onnx import TensorProto, helper, numpy_helper

from calibration.compare.cli import main
from calibration.compare.measure import ALL, BOTTOM, Recognised, compared, recognised
from edge.build_folder import GRAPH, read_build, write_build

Capture = pytest.CaptureFixture[str]


def seen(true: np.ndarray, wrong: dict[int, int], seed: int = 0) -> Recognised:
    """Photos of which the first `wrong[c]` of each product are taken for another one."""
    best = true.copy()
    for product, count in wrong.items():
        best[np.flatnonzero(true == product)[:count]] = (product + 1) % (true.max() + 1)
    order = np.random.default_rng(seed).permutation(len(true))
    digests = tuple(int(i).to_bytes(32, "big") for i in order)
    return Recognised(digests, true[order].astype(np.int32), best[order].astype(np.int32))


def test_losses_are_counted_product_by_product_and_tier_by_tier() -> None:
    shop = material(World(20), reference=3)
    shop = replace(shop, tiers=("0 tail",) * 5 + ("2 head",) * 15)
    true = np.repeat(np.arange(20), 8)
    found = compared(shop, seen(true, {7: 2}, seed=1), seen(true, {0: 4, 7: 2, 9: 1}, seed=2), 0)
    lines = {line.name: line for line in found.lines}
    assert (lines[ALL].products, lines[ALL].photos) == (20, 160)
    assert lines[ALL].baseline == pytest.approx(1 - 2 / 160)
    assert lines[ALL].loss == pytest.approx(5 / 160)
    assert lines["tail"].loss == pytest.approx(4 / 40)
    assert lines["head"].loss == pytest.approx(1 / 120)
    assert lines["tail"].low <= lines["tail"].loss <= lines["tail"].high
    assert lines[BOTTOM].baseline == pytest.approx((6 / 8 + 1) / 2)
    assert lines[BOTTOM].build == pytest.approx((4 / 8 + 6 / 8) / 2)
    assert found.same == pytest.approx(1 - 5 / 160)
    assert [(loss.sku, loss.baseline, loss.build) for loss in found.lost_most] == [
        (shop.products[0].sku, 8, 4),
        (shop.products[9].sku, 8, 7),
    ]


def test_products_count_alike_whatever_their_photos() -> None:
    shop = material(World(2))
    true = np.array([0] * 2 + [1] * 30)
    found = compared(shop, seen(true, {}), seen(true, {0: 1}), 0)
    assert found.lines[0].loss == pytest.approx(0.25)


def test_a_photo_that_one_build_could_not_read_is_left_out() -> None:
    shop = material(World(3))
    true = np.repeat(np.arange(3), 4)
    whole = seen(true, {})
    part = Recognised(whole.digests[:-3], whole.true[:-3], whole.best[:-3])
    assert compared(shop, whole, part, 0).lines[0].photos == 9


def test_a_build_that_sees_less_recognises_less() -> None:
    world = World(12)
    shop = material(world)
    rows = world.rows()
    noise = np.random.default_rng(3).standard_normal(rows.array.shape).astype(np.float32)
    good, bad = recognised(shop, rows, 0), recognised(shop, ArrayRows(rows.array + noise), 0)
    found = compared(shop, good, bad, 0)
    assert found.lines[0].loss > 0.1
    assert found.lost_most


def write_blind_build(folder: Path, source: Path) -> Path:
    """A build like `source` whose features are those of its blue channel alone, nearly."""
    content = {**json.loads((source / "manifest.json").read_text())["content"], "backbone": "blind"}
    model = onnx.load(source / GRAPH)
    weights = np.tile(np.array([1.0, 0.0, 0.0], np.float32).reshape(3, 1, 1), (1, 4, 4)).reshape(1, 48)
    model.graph.initializer.append(numpy_helper.from_array(weights + 1e-4, "blind"))
    model.graph.node[-1].output[0] = "whole"
    model.graph.node.append(helper.make_node("Mul", ["whole", "blind"], ["features"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 48]))
    with write_build(folder, content) as staging:
        onnx.save(model, staging / GRAPH)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    write_tiny_build(folder / "whole")
    write_blind_build(folder / "blind", folder / "whole")
    write_catalogue(folder / "shop", products=10, photos=(3, 40, 30))
    return folder


def arguments(place: Path, baseline: str, build: str, *more: str) -> list[str]:
    given = {"--baseline": place / baseline, "--build": place / build, "--catalogue": place / "shop"}
    return [*(str(part) for pair in given.items() for part in pair), "--threads", "1", *more]


def test_the_command_shows_tiers_and_writes_figures(place: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(arguments(place, "blind", "whole", "--out", str(tmp_path / "c.json"))) == 0
    shown = capsys.readouterr().out
    assert "recognised photos; the same best candidate for" in shown
    assert "too few photos to judge" not in shown.split("tail")[0]
    figures = json.loads((tmp_path / "c.json").read_text())
    assert figures["lines"][0]["name"] == ALL
    assert figures["lines"][0]["photos"] >= 500


def test_a_loss_over_the_limit_is_exit_code_3_with_the_products(place: Path, capsys: Capture) -> None:
    code = main(arguments(place, "whole", "blind", "--max-loss", "-101"))
    error = capsys.readouterr().err
    assert code == 3
    assert "the build recognises fewer photos: all " in error
    assert "expected at most -101" in error


def test_a_build_is_not_compared_with_itself(place: Path, capsys: Capture) -> None:
    assert main(arguments(place, "whole", "whole")) == 2
    assert "is the baseline itself" in capsys.readouterr().err
    assert read_build(place / "whole").info.precision == "int8"
