"""The TensorRT path on a real GPU: `pytest -m gpu tests/gpu`. Never run so far: no machine of ours has one.

Skipped, and said so, where TensorRT, pycuda or a GPU is missing. Figures are printed (`-s`) for benchmarks/README.md.
"""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import samples

from builder.cli import build
from builder.trt_engine import Order
from builder.trt_lookup import compile_lookup
from edge import lookup
from edge.assembly import engine_of, refuse_other_similarities
from edge.bench.search import random_table, times_ms
from edge.bundle import Bundle, read_bundle
from edge.config import EngineConfig
from edge.engines import EngineSpec, open_reference
from edge.engines.cuda import find_gpu
from edge.engines.plan import plan_beside, read_plan
from edge.engines.trt import import_tensorrt
from edge.engines.trt_lookup import TensorRtLookup
from edge.errors import EngineError

DAEMON = (sys.executable, "-c", "import sys; from edge.cli.daemon import main; sys.exit(main())")

pytestmark = pytest.mark.gpu


def missing() -> str:
    lacking = [name for name in ("tensorrt", "pycuda") if importlib.util.find_spec(name) is None]
    if lacking:
        return f"{' and '.join(lacking)} cannot be imported"
    try:
        find_gpu()
    except EngineError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    reason = missing()
    if reason:
        pytest.skip(f"not run on a GPU: {reason}")
    path = samples.write_sample_bundle(tmp_path_factory.mktemp("gpu") / "bundle", engine="tensorrt")
    assert build(["--compile-only", str(path)]) == 0
    return read_bundle(path)


def crops(bundle: Bundle, count: int) -> np.ndarray:
    size = (bundle.info.input.height_px, bundle.info.input.width_px)
    return np.stack([samples.product(number, *size) for number in range(count)])


def test_rows_are_those_of_the_reference(bundle: Bundle) -> None:
    given = crops(bundle, bundle.info.max_batch)
    with open_reference("tensorrt", bundle.graph, EngineSpec(max_batch=len(given))) as reference:
        expected = reference.embed(given)
    with engine_of(bundle, EngineConfig()) as engine:
        assert engine.degraded == ""
        for count in range(1, len(given) + 1):
            cosine = np.einsum("nd,nd->n", engine.embed(given[:count]), expected[:count])
            assert cosine.min() >= 0.99


def test_every_size_of_batch_is_launched_as_a_graph(bundle: Bundle) -> None:
    given = crops(bundle, bundle.info.max_batch)
    with engine_of(bundle, EngineConfig()) as engine:
        for count in range(1, len(given) + 1):
            first = engine.embed(given[:count])
            assert count in engine._held._graphs, "no capture here; the log says why"  # type: ignore[attr-defined]
            np.testing.assert_array_equal(engine.embed(given[:count]), first)


def test_the_lookup_gives_the_bits_of_the_cpu(bundle: Bundle) -> None:
    rows = np.random.default_rng(0).normal(size=(300, bundle.info.dimension)).astype(np.float32)
    rows[1], rows[2, 0] = 0, np.nan
    exact = lookup.similarities(lookup.index_from_table(bundle.table), rows)
    with TensorRtLookup(read_plan(plan_beside(bundle.path)), bundle.table) as found:
        refuse_other_similarities(bundle, found)
        index = lookup.index_from_table(bundle.table, found)
        np.testing.assert_array_equal(lookup.similarities(index, rows), exact)


def test_a_large_table_is_looked_up_exactly(tmp_path: Path, bundle: Bundle) -> None:
    """2,000 products with 4 prototypes of 192 dimensions: the int8 units are asked for real."""
    table = random_table(2000, 4, 192)
    made = compile_lookup(import_tensorrt(), table, Order(max_batch=4, typical_batch=1, workspace_mib=256))
    (tmp_path / "lookup.plan").write_bytes(made.plan)
    plan = replace(read_plan(plan_beside(bundle.path)), lookup=tmp_path / "lookup.plan")
    rows = np.random.default_rng(0).normal(size=(64, 192)).astype(np.float32)
    with TensorRtLookup(plan, table) as found:
        assert lookup.agrees(table, found, rows)
        for place, index in (
            ("CPU", lookup.index_from_table(table)),
            ("GPU", lookup.index_from_table(table, found)),
        ):
            print(f"lookup of 2,000 products, {place}: p50 {np.median(times_ms(index, 192, 500)):.3f} ms")


def test_latency_and_memory(bundle: Bundle) -> None:
    before = find_gpu().free_mib
    given = crops(bundle, bundle.info.max_batch)
    with engine_of(bundle, EngineConfig()) as engine:
        for count in (1, len(given)):
            times = []
            for _ in range(200):
                started_ns = time.perf_counter_ns()
                engine.embed(given[:count])
                times.append((time.perf_counter_ns() - started_ns) / 1e6)
            print(f"batch {count}: p50 {np.median(times):.3f} ms, p99 {np.quantile(times, 0.99):.3f} ms")
        during = find_gpu().free_mib
        print(f"GPU memory: {before - during} MiB, of it buffers and context {engine.device_memory_bytes >> 20} MiB")  # type: ignore[attr-defined]
    assert abs(find_gpu().free_mib - before) <= 64  # given back, but for what other programs do


def test_a_daemon_that_is_killed_leaves_the_gpu_usable(bundle: Bundle, tmp_path: Path) -> None:
    config = tmp_path / "cart.yaml"
    config.write_text(
        f"device_id: cart\nbundle: {bundle.path}\ncameras: [{{id: c, source: 'synthetic: 64x64'}}]\n"
        f"publish: {{decisions: 'ipc://{tmp_path}/decisions'}}\n"
    )
    for number in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen([*DAEMON, "--config", str(config)], stderr=subprocess.PIPE, text=True) as daemon:
            assert daemon.stderr is not None
            assert any("running: device cart" in line for line in daemon.stderr)
            daemon.send_signal(number)
            assert daemon.wait(timeout=30) == (-number if number == signal.SIGKILL else 0)
    with engine_of(bundle, EngineConfig()) as engine:
        assert engine.embed(crops(bundle, 1)).any()
