"""Every file under configs/ is loaded, so that an example can be copied as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge import yaml_file
from edge.config import load_daemon_config
from edge.device import DeviceConfig

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted({*CONFIGS.rglob("*"), *(CONFIGS / "devices").iterdir()})  # rglob does not follow the link
FILES = [path for path in FILES if path.is_file()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_the_file_loads(path: Path) -> None:
    if path.parent.name == "schema":
        assert json.loads(path.read_text())["$schema"].startswith("https://json-schema.org/")
    elif path.parent.name == "devices":
        assert yaml_file.load(path, DeviceConfig)
    else:
        assert load_daemon_config(path).cameras


def test_the_devices_of_the_mission_are_there() -> None:
    names = {path.stem for path in (CONFIGS / "devices").glob("*.yaml")}
    wanted = {"orin-nano-4gb", "orin-nano-8gb", "orin-nx-8gb", "orin-nx-16gb", "x86-dev"}
    assert wanted <= names
    assert any(name.startswith("agx-orin") for name in names)
    assert any(name.startswith("thor") for name in names)
