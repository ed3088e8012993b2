"""20,000 products from features to decisions on pictures, and what the reports look at pairwise."""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from calibration_worlds import SPEC, ArrayRows, product, save, write_tiny_build

from calibration.assemble import bundle_in_memory, write
from calibration.fit import Settings, fit
from calibration.growth.compressed import Space
from calibration.growth.plan import plan_for
from calibration.photos.material import Material, tier_of
from calibration.photos.photoset import Photoset
from calibration.readiness.distances import Seen, check_distances
from calibration.readiness.labels import check_labels
from calibration.report.values import find, report_values
from calibration.rules.groups import Targets
from calibration.space.crowding import centres_of
from calibration.space.head import embed
from edge.build_folder import read_build
from edge.bundle import read_bundle
from edge.engines import EngineSpec, open_engine
from edge.pipeline import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

PRODUCTS, NEW = 20_000, 200
PHOTOS = {"reference": 2, "fit": 2, "certify": 2, "test": 1}
SETTINGS = Settings(Targets(0.01, 0.1, 0.9), 0.05, prototypes=2, dimension=256, weighted=False, seed=0, copies=0)
MOST_MIB = 4096


class Patterns:
    """Photos as 4 x 4 x 3 patterns, four products a family: a picture of one is exact, its 48 features are known."""

    def __init__(self, products: int) -> None:
        self.rng = np.random.default_rng(0)
        family = self.rng.integers(40, 216, (products // 4 + 1, 4, 4, 3))
        self.means = family[np.arange(products) // 4] + self.rng.integers(-40, 41, (products, 4, 4, 3))
        self.drawn: list[np.ndarray] = []
        self.count = 0

    def photos(self, each: int, folder: Path) -> Photoset:
        labels = np.repeat(np.arange(len(self.means), dtype=np.int32), each)
        noise = 20 * self.rng.standard_normal((len(labels), 4, 4, 3))
        self.drawn.append(np.clip(self.means[labels] + noise, 0, 255).astype(np.uint8))
        rows = np.arange(self.count, self.count + len(labels))
        self.count += len(labels)
        return Photoset(
            rows=rows,
            labels=labels,
            digests=tuple(hashlib.sha256(str(row).encode()).digest() for row in rows),
            sides_px=np.full(len(rows), 32),
            sharpness=np.full(len(rows), 100.0),
            kinds=tuple(name_of(c) for c in labels.tolist()),
            paths=tuple(folder / f"{row}.png" for row in rows),
        )

    def rows(self) -> ArrayRows:
        """Return what the network of `write_tiny_build` gives for every photo."""
        flat = np.concatenate(self.drawn).transpose(0, 3, 1, 2).reshape(-1, 48).astype(np.float32)
        return ArrayRows(flat / np.linalg.norm(flat, axis=1, keepdims=True))

    def picture(self, row: int) -> np.ndarray:
        return np.concatenate(self.drawn)[row].repeat(8, axis=0).repeat(8, axis=1)


def name_of(number: int) -> str:
    return f"sku-{number:05d}"


@contextmanager
def told(name: str) -> Iterator[None]:
    """Print how long the block took, and the most memory that the process has had so far."""
    started_s = time.process_time()
    yield
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{name}: {time.process_time() - started_s:.0f} s of CPU time, peak {peak_mib} MiB")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Patterns, Material]:
    folder = tmp_path_factory.mktemp("photos")
    world = Patterns(PRODUCTS)
    sets = {name: world.photos(each, folder) for name, each in PHOTOS.items()}
    certify = sets["certify"]
    for index in sorted(range(len(certify)), key=certify.digests.__getitem__)[:8]:  # the golden crops
        save(certify.paths[index], world.picture(int(certify.rows[index])))
    tiers = (tier_of(PHOTOS["reference"]),) * PRODUCTS
    names = tuple(product(c, sku=name_of(c), extra={"family": f"f{c // 4}"}) for c in range(PRODUCTS))
    return world, Material(names, tiers, **sets, unknown=Photoset.none(), left_out=())


def test_calibrates_reports_and_decides(shop: tuple[Patterns, Material], tmp_path: Path) -> None:
    world, material = shop
    rows, build = world.rows(), read_build(write_tiny_build(tmp_path / "build"))
    with told("fit"):
        fitted = fit(material, rows, SPEC, SETTINGS, print)
    assert any(cut.certified for cut in fitted.groups)
    bundle = bundle_in_memory(build, fitted, material, SETTINGS)
    with open_engine("onnxruntime", build.graph, EngineSpec()) as engine, told("forecast"):
        findings = find(Pipeline(bundle, engine), fitted, material, rows)
    assert findings.outcome.top1 > 0.8
    with told("report and bundle"):
        write(
            tmp_path / "bundle", bundle, fitted, material, rows, report_values(findings, fitted, material, SETTINGS, {})
        )
    assert (tmp_path / "bundle" / "report.html").stat().st_size < 1 << 20
    found = read_bundle(tmp_path / "bundle", "onnxruntime")
    chosen = np.arange(0, PRODUCTS, PRODUCTS // 50)
    with open_engine("onnxruntime", found.graph, EngineSpec()) as engine, told("decide"):
        decisions = Pipeline(found, engine).decide([world.picture(int(material.test.rows[c])) for c in chosen])
    assert np.mean([d.sku == name_of(int(c)) for d, c in zip(decisions, chosen, strict=True)]) > 0.7
    embeddings = embed(fitted.head, rows, np.arange(world.count))
    with told("labels"):
        assert check_labels(material, embeddings, tmp_path).verdict == "pass"
    with told("distances"):
        seen = Seen(material.certify.labels, material.certify.labels)
        skus = [one.sku for one in material.products]
        assert check_distances(centres_of(fitted.table), seen, [""] * PRODUCTS, skus).verdict == "pass"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10 < MOST_MIB


def test_plans_new_products(shop: tuple[Patterns, Material]) -> None:
    world, material = shop
    new = np.arange(PRODUCTS) >= PRODUCTS - NEW
    with told("plan"):
        plan = plan_for(material, new, Space(world.rows(), None), SPEC, SETTINGS)
    assert (len(plan.endangered), len(plan.newcomers)) == (PRODUCTS - NEW, NEW)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10 < MOST_MIB
