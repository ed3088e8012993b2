"""Small seeded worlds for the tests: features without pictures, and pictures for a network of 48 values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.photos.catalogue import Product
from calibration.photos.material import Material, tier_of
from calibration.photos.photoset import Photoset
from calibration.space.head import Discriminant, Head
from edge.build_folder import GRAPH, InputSpec, write_build

SPEC = InputSpec(height_px=32, width_px=32, resize="stretch")


class ArrayRows:
    """Features in memory, where production has them on disk."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.dimension = int(array.shape[1])

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.array[rows]


def fit_head(
    rows: ArrayRows, photos: np.ndarray, labels: np.ndarray, dimension: int, shrinkage: float | None = None
) -> Head:
    return Discriminant.of(rows, photos, labels, shrinkage).head(rows, dimension)


class World:
    """Products in families: a class mean is a family mean plus a little; a photo is a class mean plus noise."""

    def __init__(self, classes: int, seed: int = 0, family: int = 3, spread: float = 0.55, noise: float = 1.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.classes, self.noise = classes, noise
        families = self.rng.standard_normal((classes // family + 1, 40))
        self.means = families[np.arange(classes) // family] + spread * self.rng.standard_normal((classes, 40))
        self.features: list[np.ndarray] = []
        self.drawn = 0

    def photos(self, per_class: Sequence[int], means: np.ndarray | None = None, kind: str = "") -> Photoset:
        """Draw photos; `means` other than the enrolled ones are labelled -1 and called `kind`."""
        enrolled = means is None
        means = self.means if means is None else means
        labels = np.repeat(np.arange(len(per_class)), per_class)
        raw = means[labels] + self.noise * self.rng.standard_normal((len(labels), 40))
        self.features.append((raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32))
        rows = np.arange(self.drawn, self.drawn + len(labels))
        self.drawn += len(labels)
        return Photoset(
            rows=rows,
            labels=labels.astype(np.int32) if enrolled else np.full(len(labels), -1, np.int32),
            digests=tuple(hashlib.sha256(str(row).encode()).digest() for row in rows),
            sides_px=np.full(len(rows), 200),
            sharpness=np.full(len(rows), 100.0) + rows % 7,
            kinds=tuple(sku(c) if enrolled else kind for c in labels),
            paths=tuple(Path(f"photo-{row}.jpg") for row in rows),
        )

    def rows(self) -> ArrayRows:
        """Return all features drawn so far."""
        return ArrayRows(np.concatenate(self.features))


def sku(number: int) -> str:
    return f"sku-{number:04d}"


def product(number: int, **changes: object) -> Product:
    plain: dict[str, object] = {
        "sku": sku(number),
        "name": f"Product {number}",
        "category": "food",
        "barcode": "",
        "status": "active",
        "weight": 1.0,
        "successor": "",
        "extra": {},
    }
    return Product(**{**plain, **changes})  # type: ignore[arg-type]


def material(
    world: World,
    reference: int = 4,
    fit: int = 4,
    certify: int = 6,
    changes: Mapping[int, Mapping[str, object]] | None = None,
) -> Material:
    """Return material with the same number of photos for every class, and test photos."""
    classes = world.classes
    everyone = [reference] * classes
    return Material(
        products=tuple(product(c, **(changes or {}).get(c, {})) for c in range(classes)),
        tiers=(tier_of(reference),) * classes,
        reference=world.photos(everyone),
        fit=world.photos([fit] * classes),
        certify=world.photos([certify] * classes),
        test=world.photos([4] * classes),
        unknown=world.photos([40], means=np.random.default_rng(9).standard_normal((1, 40)), kind="far"),
        left_out=(),
    )


def write_tiny_build(folder: Path) -> Path:
    """Write a build whose network is the block means of the crop: 48 features."""
    inside = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["blocks"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["blocks", "shape"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["features"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        inside,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 32, 32, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 48])],
        [numpy_helper.from_array(np.array([-1, 48], np.int64), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = {
        "engine": "onnxruntime",
        "backbone": "tiny",
        "backbone_sha256": "0" * 64,
        "input": {"height_px": 32, "width_px": 32, "resize": "stretch"},
        "feature_dimension": 48,
        "max_batch": 8,
        "taps": [],
        "device": "x86-dev",
        "images": 0,
        "report": {},
    }
    with write_build(folder, content) as staging:
        onnx.save(model, staging / GRAPH)
    return folder


def picture(number: int, shot: int) -> np.ndarray:
    """Return a photo of product `number`: a coarse pattern of its own, with noise and a change of light."""
    rng = np.random.default_rng([number, shot])
    pattern = np.random.default_rng(number).integers(0, 256, (4, 4, 3)).astype(np.float32)
    image = cv2.resize(pattern, (48, 48), interpolation=cv2.INTER_NEAREST) * rng.uniform(0.8, 1.1)
    return np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def write_catalogue(folder: Path, products: int = 8, photos: tuple[int, int, int] = (3, 6, 2), extra: str = "") -> Path:
    """Write a catalogue of pictures with two kinds of unknown things."""
    column, _, content = extra.partition("=")
    rows = [f"sku,name,category,barcode,status{',' + column if extra else ''}"]
    shot = 0
    for number in range(products):
        value = f",{content}" if extra else ""
        rows.append(f'{sku(number)},"Product, {number}",food,{2000000000000 + number},active{value}')
        for role, count in zip(("reference", "validation", "test"), photos, strict=True):
            for index in range(count):
                save(folder / role / sku(number) / f"{index:02d}.png", picture(number, shot))
                shot += 1
    for kind in ("far", "siblings"):
        for index in range(5):
            save(folder / "unknown" / kind / f"{index}.png", picture(900 + index, shot))
            shot += 1
    (folder / "skus.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
