from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper
from small_nets import mobile, plain, vision_transformer

from builder.features import WINDOW, append_features, mean_square, scale_from_energy, set_scale
from builder.fold import fold
from builder.optimise import optimised
from builder.sidecar import Preprocess
from builder.taps import Tap, find_taps

PATH = Path("m.onnx")
LITE = Preprocess(color="rgb", mean=(127,) * 3, std=(128,) * 3, layout="nchw", resize="stretch")
IMAGES = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def _run(model: onnx.ModelProto, images: NDArray[np.uint8] = IMAGES) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})


def _tensors(model: onnx.ModelProto, taps: tuple[Tap, ...]) -> list[NDArray[np.float32]]:
    """The tapped tensors themselves, as (N, channels, height, width)."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_tensor_value_info(tap.tensor, 1, None) for tap in taps)
    values = _run(copy)
    return [v if tap.is_map else v.transpose(0, 2, 1)[..., None] for tap, v in zip(taps, values, strict=True)]


def _window(tap: Tap) -> NDArray[np.float64]:
    """A Gaussian about the middle of the crop, over pixel centres in half sides."""
    if not tap.is_map:
        return np.ones((tap.height, 1))
    sides = [(np.arange(n) - (n - 1) / 2) / (n / 2) for n in (tap.height, tap.width)]
    return np.outer(*(np.exp(-0.5 * np.square(side / WINDOW)) for side in sides))


def _moments(values: NDArray[np.float64], window: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Mean and standard deviation (N, C) under a window (H, W)."""
    share = window / window.sum()
    mean = (values * share).sum(axis=(2, 3))
    return mean, np.sqrt((np.square(values - mean[..., None, None]) * share).sum(axis=(2, 3)))


def _in_numpy(tensors: list[NDArray[np.float32]], taps: tuple[Tap, ...]) -> NDArray[np.float64]:
    banded = [i for i, tap in enumerate(taps[:-1]) if tap.is_map and tap.height >= 3]
    order = banded + [i for i in range(len(taps)) if i not in banded]
    values = [tensor.astype(np.float64) for tensor in tensors]
    moments = [_moments(values[i], _window(taps[i])) for i in order]
    blocks = [mean for mean, _ in moments] + [deviation for _, deviation in moments]
    for band in range(3):
        for i in banded:
            rows = slice(round(band * taps[i].height / 3), round((band + 1) * taps[i].height / 3))
            blocks.append(_moments(values[i][:, :, rows], _window(taps[i])[rows])[0])
    return np.concatenate(blocks, axis=1)


@pytest.mark.parametrize("net", [plain, mobile, vision_transformer])
def test_the_graph_pools_what_numpy_pools(net: object) -> None:
    folded = fold(optimised(PATH, net()), LITE, (32, 32))  # type: ignore[operator]
    taps = find_taps(PATH, optimised(PATH, net()))  # type: ignore[operator]
    model, parts = append_features(folded.model, taps)
    onnx.checker.check_model(model)
    expected = _in_numpy(_tensors(folded.model, taps), taps)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    (rows,) = _run(model)
    assert rows.shape == (4, parts[-1].stop)
    np.testing.assert_allclose(rows, expected, atol=2e-6)
    assert [output.name for output in model.graph.output] == ["features"]


def test_the_parts_tile_the_row_and_say_what_is_where() -> None:
    folded = fold(optimised(PATH, mobile()), LITE, (32, 32))
    taps = find_taps(PATH, optimised(PATH, mobile()))
    _, parts = append_features(folded.model, taps)
    assert parts[0].start == 0
    assert all(left.stop == right.start for left, right in itertools.pairwise(parts))
    assert parts[-1].stop == 2 * (8 + 12 + 16 + 24 + 48) + 3 * (8 + 12 + 16 + 24)
    assert {part.statistic for part in parts if part.tensor == "head_relu6"} == {"mean", "std"}
    assert [part.statistic for part in parts if part.tensor == "b0_add"] == ["mean", "std", "bands", "bands", "bands"]


def test_what_lies_in_the_corners_counts_little() -> None:
    folded = fold(optimised(PATH, plain()), LITE, (32, 32))
    model, _ = append_features(folded.model, [Tap("conv1_relu", 8, 32, 32, True)])
    corner, middle = IMAGES[:1].copy(), IMAGES[:1].copy()
    corner[:, :8, :8] = 255 - corner[:, :8, :8]
    middle[:, 12:20, 12:20] = 255 - middle[:, 12:20, 12:20]
    clean, moved, changed = _run(model, np.concatenate([IMAGES[:1], corner, middle]))[0]
    assert np.linalg.norm(moved - clean) < 0.5 * np.linalg.norm(changed - clean)


def test_a_single_tap_has_mean_and_deviation() -> None:
    folded = fold(optimised(PATH, plain()), LITE, (32, 32))
    model, parts = append_features(folded.model, [Tap("conv1_relu", 8, 32, 32, True)])
    assert [(part.statistic, part.stop) for part in parts] == [("mean", 8), ("std", 16)]
    assert _run(model)[0].shape == (4, 16)


def test_what_the_features_do_not_need_is_gone() -> None:
    folded = fold(optimised(PATH, plain()), LITE, (32, 32))
    model, _ = append_features(folded.model, [Tap("conv1_relu", 8, 32, 32, True)])
    assert not {"conv2.w", "conv4.b"} & {weight.name for weight in model.graph.initializer}
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 2


def test_the_scale_gives_every_tap_the_same_energy() -> None:
    folded = fold(optimised(PATH, mobile()), LITE, (32, 32))
    taps = find_taps(PATH, optimised(PATH, mobile()))
    model, parts = append_features(folded.model, taps)
    heard: list[int] = []
    energy = mean_square(model, [IMAGES[:3], IMAGES[3:]], heard.append)
    assert heard == [3, 1]
    raw = _in_numpy(_tensors(folded.model, taps), taps)
    np.testing.assert_allclose(energy, np.square(raw).mean(axis=0), rtol=1e-4, atol=1e-9)
    set_scale(model, scale_from_energy(energy, parts))
    scaled = raw * scale_from_energy(energy, parts)
    for tap in taps:
        own = np.concatenate([scaled[:, part.start : part.stop] for part in parts if part.tensor == tap.tensor], axis=1)
        assert np.square(own).sum(axis=1).mean() == pytest.approx(1.0, rel=1e-3)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    np.testing.assert_allclose(_run(model)[0], scaled, atol=2e-6)


def test_a_constant_picture_gives_finite_rows() -> None:
    folded = fold(optimised(PATH, plain()), LITE, (32, 32))
    model, _ = append_features(folded.model, find_taps(PATH, optimised(PATH, plain())))
    for value in (0, 127, 255):
        (rows,) = _run(model, np.full((1, 32, 32, 3), value, np.uint8))
        assert np.isfinite(rows).all()
        assert np.linalg.norm(rows) == pytest.approx(1.0, abs=1e-5)
