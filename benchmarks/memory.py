"""Memory as the builder predicts it against what the daemon takes: peak proportional set size of all its processes,
were nothing else on the machine to map the same files (`edge.bench.memory`).

    memory.py --builds lite0 lite1 lite2 --batches 1 4 8 --skus 1000 10000 --out memory.json

Bundles are made of a build with a head and a table of random numbers: memory does not depend on what they say. One
camera of 1080p shows as many regions a frame as the batch holds crops, so that the largest batch is run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

from builder.budget import DIMENSION, Load, ledger_for
from calibration.space.expected import Expectation
from calibration.space.head import Head
from calibration.space.head_graph import append_head
from edge.bench.child import observe
from edge.bench.decide import usual_products, usual_rules
from edge.bench.search import random_table
from edge.build_folder import BuildFolder, read_build
from edge.bundle import ENGINE_GRAPH, BundleInfo, Golden, write_bundle, write_parameters
from edge.config import CameraConfig, DaemonConfig, PublishConfig, Slot, Slots
from edge.device import load_device_config
from edge.engines import EngineSpec, open_engine

PROTOTYPES = 8
FRAMES = 60
WIDTH, HEIGHT = 1920, 1080
DEVICE = Path(__file__).parents[1] / "configs" / "devices" / "x86-dev.yaml"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--builds", type=Path, nargs="+", required=True)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--skus", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = []
    for path in arguments.builds:
        build = read_build(path)
        for skus in arguments.skus:
            for batch in arguments.batches:
                rows.append(measured(build, batch, skus))
                print(json.dumps(rows[-1]), flush=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")
    Console().print(table(rows))


def measured(build: BuildFolder, batch: int, skus: int) -> dict[str, object]:
    """Return prediction and measurement of one daemon, in MiB."""
    load = Load("onnxruntime", batch, skus, prototypes=PROTOTYPES)
    ledger = ledger_for(onnx.load(build.graph), load_device_config(DEVICE), load)
    with tempfile.TemporaryDirectory(prefix="edge-memory-") as folder:
        bundle = write(Path(folder) / "bundle", build, batch, skus)
        seen = observe(config(bundle, batch), FRAMES, with_memory=True)
    peak = max(sample.alone_kib for sample in seen.memory) / 1024
    return {
        "backbone": build.info.backbone,
        "batch": batch,
        "skus": skus,
        "predicted": round(ledger.total_mib, 1),
        "measured": round(peak, 1),
        "lines": {line.name: round(line.mib, 1) for line in ledger.lines},
    }


def config(bundle: Path, batch: int) -> DaemonConfig:
    """Return one camera with `batch` slots."""
    side = WIDTH // batch
    corners = [((x, 0), (x + side, 0), (x + side, HEIGHT), (x, HEIGHT)) for x in range(0, side * batch, side)]
    slots = tuple(Slot(id=f"s{number}", polygon=corner) for number, corner in enumerate(corners))
    camera = CameraConfig(id="c", source=f"synthetic: {WIDTH}x{HEIGHT} {4 * FRAMES}", locate=Slots(slots=slots))
    publish = PublishConfig(decisions="ipc:///tmp/unused")
    return DaemonConfig(device_id="bench", bundle=str(bundle), cameras=(camera,), publish=publish)


def write(path: Path, build: BuildFolder, batch: int, skus: int) -> Path:
    """Write a bundle of random numbers around the build's network."""
    rng = np.random.default_rng(0)
    features = build.info.feature_dimension
    head = Head(
        np.zeros(features, np.float32),
        rng.standard_normal((features, DIMENSION)).astype(np.float32) / features**0.5,
        "random",
        0.0,
        0,
    )
    expectation = Expectation(np.zeros(features, np.float32), 0.8, 0.0, 0.0)
    prototypes = random_table(skus, PROTOTYPES, DIMENSION)
    info = BundleInfo(
        engine="onnxruntime",
        backbone=build.info.backbone,
        build_id=build.id,
        input=build.info.input,
        dimension=DIMENSION,
        max_batch=batch,
        classes=skus,
        promise={},
    )
    shape = (8, build.info.input.height_px, build.info.input.width_px, 3)
    crops = rng.integers(0, 256, shape).astype(np.uint8)
    with write_bundle(path, info) as folder:
        append_head(build.graph, head, expectation, folder / ENGINE_GRAPH)
        with open_engine("onnxruntime", folder / ENGINE_GRAPH, EngineSpec(max_batch=8)) as engine:
            golden = Golden(crops, engine.embed(crops))
        write_parameters(folder, usual_products(skus), prototypes, usual_rules(skus), golden)
    return path


def table(rows: list[dict[str, object]]) -> Table:
    """Return the rows for a terminal."""
    shown = Table("backbone", "batch", "SKUs", "predicted MiB", "measured MiB", "off")
    for row in rows:
        predicted, peak = float(str(row["predicted"])), float(str(row["measured"]))
        shown.add_row(
            *(str(row[name]) for name in ("backbone", "batch", "skus", "predicted", "measured")),
            f"{predicted / peak - 1:+.1%}",
        )
    return shown


if __name__ == "__main__":
    main()
