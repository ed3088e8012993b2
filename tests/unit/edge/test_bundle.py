"""The bundle: written and read in one file, and nothing wrong with it gets past the reader."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import samples

from edge.bundle import SCHEMA, read_bundle
from edge.errors import BundleError
from edge.sealed import MANIFEST, open_sealed, write_sealed


def reseal(path: Path, edit: Callable[[Path, dict[str, object]], None]) -> Path:
    """Write a bundle again with an edit, correctly sealed: only the reader's own checks can refuse it."""
    sealed = open_sealed(path, "bundle", SCHEMA)
    content = json.loads(json.dumps(dict(sealed.content)))
    with write_sealed(path.with_name("edited"), "bundle", SCHEMA, content) as folder:
        for name in sealed.files:
            shutil.copy(path / name, folder / name)
        edit(folder, content)
    return path.with_name("edited")


def change_array(name: str, key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, object], None]:
    def edit(folder: Path, _content: object) -> None:
        with np.load(folder / name) as archive:
            arrays = dict(archive)
        arrays[key] = change(arrays[key])
        np.savez(folder / name, **arrays)

    return edit


def test_round_trip(tmp_path: Path) -> None:
    rules = samples.rules(6)
    some = np.array([0.9, np.inf] * 3, np.float32)
    rules = replace(rules, cuts=replace(rules.cuts, accept_confidence=some, strict_confidence=some))
    bundle = read_bundle(samples.write_sample_bundle(tmp_path / "b", 6, rules))
    assert [info.sku for info in bundle.classes] == [f"sku-{n:03d}" for n in range(6)]
    assert bundle.table.prototypes.shape == (6, samples.DIMENSION)
    np.testing.assert_array_equal(bundle.rules.cuts.accept_confidence, rules.cuts.accept_confidence)
    assert bundle.rules.cuts.source == rules.cuts.source
    assert bundle.rules.confidence.margin_weight == 12.0
    assert bundle.rules.quality == rules.quality
    assert bundle.golden.crops.shape == (2, samples.SIDE_PX, samples.SIDE_PX, 3)


@pytest.mark.parametrize(("key", "change"), [("strict_confidence", -0.1), ("strict_strangeness", 0.2)])
def test_a_degraded_device_that_would_accept_more_is_refused(tmp_path: Path, key: str, change: float) -> None:
    path = samples.write_sample_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match="for a degraded device accept more than the others in 6 classes"):
        read_bundle(reseal(path, change_array("rules.npz", key, lambda a: a + np.float32(change))))


def test_equal_content_has_an_equal_id(tmp_path: Path) -> None:
    assert samples.sample_bundle(tmp_path / "a").id == samples.sample_bundle(tmp_path / "b").id


def test_a_bundle_for_another_engine_is_refused_with_both_names(tmp_path: Path) -> None:
    samples.write_sample_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match="engine onnxruntime, this device runs tensorrt"):
        read_bundle(tmp_path / "b", engine="tensorrt")


@pytest.mark.parametrize(
    ("file", "key", "change"),
    [
        ("table.npz", "owners", lambda a: a[::-1].copy()),
        ("table.npz", "scale", lambda a: a * np.inf),
        ("table.npz", "scale", lambda a: a * 0.0),
        ("table.npz", "owners", lambda a: np.minimum(a, 4).astype(np.int32)),
        ("table.npz", "prototypes", lambda a: a.astype(np.float32)),
        ("table.npz", "prototypes", lambda a: a[:-1]),
        ("rules.npz", "accept_confidence", lambda a: np.where(a > 0, np.nan, a).astype(np.float32)),
        ("rules.npz", "accept_strangeness", lambda a: a[:3]),
        ("rules.npz", "isolated_below", lambda a: a * np.nan),
        ("rules.npz", "twin", lambda a: (a + 99).astype(np.int32)),
        ("rules.npz", "ood", lambda _: np.array([np.nan, 0.05])),
        ("golden.npz", "crops", lambda a: a[:, :16]),
    ],
)
def test_arrays_of_another_shape_type_or_value_are_refused(
    tmp_path: Path, file: str, key: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = samples.write_sample_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=file):
        read_bundle(reseal(path, change_array(file, key, change)))


def test_a_pickled_array_is_never_read(tmp_path: Path) -> None:
    path = samples.write_sample_bundle(tmp_path / "b")
    edit = change_array("rules.npz", "ood_method", lambda _: np.array([{"a": 1}], dtype=object))
    with pytest.raises(BundleError, match=r"rules\.npz"):
        read_bundle(reseal(path, edit))


def test_a_class_list_of_another_length_is_refused(tmp_path: Path) -> None:
    def edit(_folder: Path, content: dict[str, object]) -> None:
        content["classes"] = 7

    path = samples.write_sample_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match="6 classes, expected 7"):
        read_bundle(reseal(path, edit))


@pytest.mark.parametrize("name", ["engine.onnx", "table.npz", "rules.npz", "classes.json", "golden.npz", MANIFEST])
def test_one_changed_byte_in_any_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = samples.write_sample_bundle(tmp_path / "b")
    raw = bytearray((path / name).read_bytes())
    raw[len(raw) // 2] ^= 4
    (path / name).write_bytes(raw)
    with pytest.raises(BundleError, match=name):
        read_bundle(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_batch", 0),
        ("max_batch", -1),
        ("dimension", 0),
        ("input", {"height_px": 32, "width_px": 32, "resize": "x"}),
    ],
)
def test_a_number_that_cannot_be_is_refused(tmp_path: Path, key: str, value: object) -> None:
    def edit(_folder: Path, content: dict[str, object]) -> None:
        content[key] = value

    path = samples.write_sample_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=key):
        read_bundle(reseal(path, edit))


def test_a_product_that_stands_twice_is_refused(tmp_path: Path) -> None:
    def edit(folder: Path, _content: dict[str, object]) -> None:
        text = (folder / "classes.json").read_text()
        (folder / "classes.json").write_text(text.replace("sku-001", "sku-000"))

    path = samples.write_sample_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match="a SKU stands twice"):
        read_bundle(reseal(path, edit))


def test_a_bundle_without_golden_crops_is_refused(tmp_path: Path) -> None:
    def edit(folder: Path, content: object) -> None:
        for key in ("crops", "rows"):
            change_array("golden.npz", key, lambda a: a[:0])(folder, content)

    path = samples.write_sample_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=r"golden\.npz: no crop"):
        read_bundle(reseal(path, edit))


@pytest.mark.parametrize("key", ["verify_set", "quality", "confidence", "class_offset"])
def test_a_limit_without_end_is_refused(tmp_path: Path, key: str) -> None:
    path = samples.write_sample_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=f"{key} holds an infinity"):
        read_bundle(reseal(path, change_array("rules.npz", key, lambda a: a + a.dtype.type(np.inf))))
