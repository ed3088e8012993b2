from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.device import DEVICES, device_names, load_device_config, write_measured
from edge.errors import ConfigError

NAMES = [
    "agx-orin-32gb",
    "agx-orin-64gb",
    "orin-nano-4gb",
    "orin-nano-8gb",
    "orin-nx-16gb",
    "orin-nx-8gb",
    "thor-t4000",
    "thor-t5000",
    "x86-dev",
]


def test_every_device_has_a_file_and_no_file_is_forgotten_here() -> None:
    assert list(device_names()) == NAMES


def test_a_device_is_found_by_its_name_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_device_config(Path("orin-nano-4gb")) == load_device_config(DEVICES / "orin-nano-4gb.yaml")
    shutil.copy(DEVICES / "x86-dev.yaml", tmp_path / "orin-nano-4gb")
    assert load_device_config(Path("orin-nano-4gb")).sm is None, "a file of that name comes first"


@pytest.mark.parametrize("name", ["orin-nano", "x86-dev.yaml", "there/x86-dev"])
def test_a_device_that_is_not_there_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=name):
        load_device_config(Path(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_device_file_is_valid_and_sane(name: str) -> None:
    device = load_device_config(DEVICES / f"{name}.yaml")
    memory = device.memory
    assert memory.headroom == pytest.approx(0.2)
    assert memory.system_mib < memory.total_mib
    assert (device.sm is None) == (device.engine == "onnxruntime") == (memory.runtime_overhead_mib == 0)
    if device.int8_dense_tops and device.int8_sparse_tops:
        assert device.int8_sparse_tops == pytest.approx(2 * device.int8_dense_tops)


def test_more_memory_promised_than_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    text = (DEVICES / "orin-nano-4gb.yaml").read_text()
    path.write_text(text.replace("application_budget_mib: 1800", "application_budget_mib: 3000"))
    with pytest.raises(ConfigError, match="expected at most the total of 3400 MiB"):
        load_device_config(path)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("sm: 87", "sm: 8.7", r"d\.yaml:6: sm"),
        ("total_mib: 3400", "total_gb: 4", r"d\.yaml:8: memory\.total_gb: unknown key"),
        ("engine: tensorrt", "engine: cuda", r"d\.yaml:\d+: engine"),
        ("headroom: 0.2", "headroom: 1.0", r"memory\.headroom"),
        ("application_budget_mib: 1800", "application_budget_mib: 0", "expected what one process may take"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = (DEVICES / "orin-nano-4gb.yaml").read_text()
    assert old in text
    (tmp_path / "d.yaml").write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=expected):
        load_device_config(tmp_path / "d.yaml")


def test_a_measured_value_takes_the_place_of_its_line_and_of_what_was_said_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    text = (DEVICES / "orin-nano-4gb.yaml").read_text()
    path.write_text(text)
    path.chmod(0o640)
    write_measured(path, {"runtime_overhead_mib": 712, "camera_mib": 41}, "measured today")
    memory = load_device_config(path).memory
    assert (memory.runtime_overhead_mib, memory.camera_mib) == (712, 41)
    old, new = text.splitlines(), path.read_text().splitlines()
    assert [line for line in old if line not in new] == [line for line in old if "runtime_overhead_mib" in line]
    assert [line for line in new if line not in old] == [
        "  runtime_overhead_mib: 712  # measured today",
        "  camera_mib: 41  # measured today",
    ]
    write_measured(path, {"camera_mib": 42}, "measured later")
    assert path.read_text().count("camera_mib") == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_file_can_be_written_to(name: str, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_bytes((DEVICES / f"{name}.yaml").read_bytes().replace(b"\n", b"\r\n"))
    write_measured(path, {"runtime_overhead_mib": 1, "camera_mib": 2}, "n")
    assert load_device_config(path).memory.camera_mib == 2
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n")


@pytest.mark.parametrize(
    ("old", "new", "value", "said"),
    [
        ("memory:", "memory: # of it", 5, ""),
        ("memory:\n  total_mib: 3400", "memory:\n  ? total_mib\n  : 3400", 5, ""),
        ("", "", -3, "nothing was written, measured were runtime_overhead_mib: -3"),
        ("", "", 1 << 21, "nothing was written"),
        ("", "", 2700, "nothing was written"),
    ],
    ids=["comment", "long keys", "negative", "more than any", "more than this one has"],
)
def test_a_file_is_changed_rightly_or_not_at_all(tmp_path: Path, old: str, new: str, value: int, said: str) -> None:
    path = tmp_path / "d.yaml"
    text = (
        (DEVICES / "orin-nano-4gb.yaml").read_text().replace(old, new)
        if old
        else (DEVICES / "orin-nano-4gb.yaml").read_text()
    )
    path.write_text(text)
    if not said:
        write_measured(path, {"runtime_overhead_mib": value}, "n")
        assert load_device_config(path).memory.runtime_overhead_mib == value
        return
    with pytest.raises(ConfigError, match=said):
        write_measured(path, {"runtime_overhead_mib": value}, "n")
    assert path.read_text() == text


def test_a_file_in_one_line_is_left_to_a_person(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    text = (DEVICES / "x86-dev.yaml").read_text()
    head, rest = text.split("memory:\n")
    block = [line.split("#")[0].strip() for line in rest.splitlines() if line.startswith("  ")]
    tail = [line for line in rest.splitlines() if not line.startswith("  ")]
    path.write_text(head + "memory: {" + ", ".join(block) + "}\n" + "\n".join(tail) + "\n")
    before = path.read_text()
    with pytest.raises(
        ConfigError, match="not laid out one key a line; write by hand what was measured: camera_mib: 9"
    ):
        write_measured(path, {"camera_mib": 9}, "n")
    assert path.read_text() == before
