"""What a daemon will take, and that it is refused before it is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import samples
from vendor import fake_tensorrt

from edge import footprint
from edge.assembly import runtime_mib
from edge.bundle import read_bundle
from edge.config import CameraConfig, DaemonConfig, EngineConfig, PublishConfig
from edge.errors import GateError
from edge.footprint import (
    available_mib,
    beside_mib,
    needed_mib,
    refuse_no_room_beside,
    refuse_no_room_for,
    refuse_too_large,
    spare_mib,
)


def config(cameras: int) -> DaemonConfig:
    some = tuple(CameraConfig(id=f"c{number}", source="synthetic: 64x64", ring_slots=2) for number in range(cameras))
    return DaemonConfig(device_id="d", bundle="b", cameras=some, publish=PublishConfig(decisions="ipc:///tmp/x"))


def test_it_counts_network_tables_search_and_cameras(tmp_path: Path) -> None:
    bundle = read_bundle(samples.write_sample_bundle(tmp_path / "b", 6, network_mib=100.0))
    rows, dimension = bundle.table.prototypes.shape
    tables = 2 * rows * dimension + 360 * 6 + 4 * 4 * 4 * rows
    rings = 2 * 2 * 1920 * 1080 * 3
    assert needed_mib(bundle, config(2)) == pytest.approx(100 + 64 + (tables + rings) / footprint.MIB)


def test_a_bundle_that_does_not_say_is_never_refused(tmp_path: Path) -> None:
    bundle = read_bundle(samples.write_sample_bundle(tmp_path / "b"))
    assert needed_mib(bundle, config(16)) == 0.0
    refuse_too_large(bundle, config(16), 0.0, 0.0)


def test_what_this_process_holds_already_is_free_for_it(tmp_path: Path) -> None:
    bundle = read_bundle(samples.write_sample_bundle(tmp_path / "b", network_mib=100.0))
    needed = needed_mib(bundle, config(1))
    refuse_too_large(bundle, config(1), needed - 40.0, 40.0)
    said = r"needs about 1\d\d MiB, its cameras \(1\) included, 1\d\d MiB are free here; stop other"
    with pytest.raises(GateError, match=said):
        refuse_too_large(bundle, config(1), needed - 41.0, 40.0)


def test_where_a_plan_will_run_the_runtime_of_the_gpu_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = read_bundle(samples.write_sample_bundle(tmp_path / "b", network_mib=100.0, engine="tensorrt"))
    assert runtime_mib(bundle, EngineConfig()) == 0.0  # no plan, nothing runs on a GPU
    plan = fake_tensorrt.install(monkeypatch, bundle.graph, max_batch=4)
    assert runtime_mib(bundle, EngineConfig(plan=str(plan))) == 600 + 64
    plain = read_bundle(samples.write_sample_bundle(tmp_path / "c", network_mib=100.0))
    assert runtime_mib(plain, EngineConfig(plan=str(plan))) == 0.0
    needed = needed_mib(bundle, config(1), 664.0)
    assert needed == pytest.approx(needed_mib(bundle, config(1)) + 664.0)
    refuse_too_large(bundle, config(1), needed, 0.0, 664.0)
    with pytest.raises(GateError, match=r"cameras \(1\) and 664 MiB for CUDA and TensorRT included"):
        refuse_too_large(bundle, config(1), needed - 1.0, 0.0, 664.0)
    (plan / "engine.plan").write_bytes(b"damaged")
    assert runtime_mib(bundle, EngineConfig(plan=str(plan))) == 0.0  # the engine refuses it, and says why


def test_the_system_tells_what_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 < available_mib() < 1 << 24
    monkeypatch.setattr(footprint, "Path", lambda _: Path("/nowhere/meminfo"))
    assert available_mib() == float("inf")


def test_what_is_spare_is_what_the_control_group_has_left(tmp_path: Path) -> None:
    assert spare_mib(tmp_path) == pytest.approx(available_mib(), rel=0.1), "no group, no limit"
    for name, text in {
        "proc/self/cgroup": "0::/cart",
        "sys/fs/cgroup/cart/memory.max": str(100 << 20),
        "sys/fs/cgroup/cart/memory.current": str(80 << 20),
        "sys/fs/cgroup/cart/memory.stat": f"inactive_file {30 << 20}\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert spare_mib(tmp_path) == pytest.approx(47), "97 % of 100, less 50 that nobody can take back"
    (tmp_path / "sys/fs/cgroup/cart/memory.current").write_text(str(140 << 20))
    assert spare_mib(tmp_path) == 0.0


def test_beside_a_running_one_libraries_and_its_cameras_are_there_already(tmp_path: Path) -> None:
    bundle = read_bundle(samples.write_sample_bundle(tmp_path / "b", network_mib=100.0))
    added = config(1).cameras
    whole = needed_mib(bundle, config(1))
    assert beside_mib(bundle, added) == pytest.approx(whole - footprint.LIBRARIES_MIB)
    assert beside_mib(bundle, ()) == pytest.approx(needed_mib(bundle, config(0)) - footprint.LIBRARIES_MIB)
    refuse_no_room_beside(bundle, (), 18.0)
    said = r"needs about 17 MiB beside the bundle in use, 16 MiB are free here; stop other processes, or start"
    with pytest.raises(GateError, match=said):
        refuse_no_room_beside(bundle, (), 16.0)
    with pytest.raises(GateError, match=r"and 1 more cameras beside"):
        refuse_no_room_beside(bundle, added, 16.0)


def test_more_cameras_by_themselves_need_room_too() -> None:
    refuse_no_room_for((), 0.0)
    added = config(2).cameras
    rings = 2 * 2 * 1920 * 1080 * 3 / footprint.MIB
    refuse_no_room_for(added, 64 + rings)
    with pytest.raises(GateError, match=r"2 more cameras need about 88 MiB, 80 MiB are free here; stop other"):
        refuse_no_room_for(added, 80.0)
