"""The unit file: systemd's own checks accept it, and its exit codes are those of the product."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.errors import GateError, InputError

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "shelfedge.service"


@pytest.mark.parametrize("check", [["verify", "--man=no"], ["security", "--offline=yes", "--threshold=20"]])
def test_systemd_accepts_the_unit(check: list[str], tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here: the unit was not checked")
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8")))
    done = subprocess.run(["systemd-analyze", *check, str(unit)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert check[0] != "verify" or not done.stderr


def test_what_a_person_must_mend_is_not_started_again() -> None:
    codes = f"RestartPreventExitStatus={InputError.exit_code} {GateError.exit_code}\n"
    assert codes in UNIT.read_text(encoding="utf-8")
