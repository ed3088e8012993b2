"""The unit file: systemd's own checks accept it, its exit codes are those of the product, its allocator is the C
library's.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
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


ALLOCATES = """
import ctypes, threading
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
held = [threading.Thread(target=lambda: [libc.free(libc.malloc(600)) for _ in range(7)]) for _ in range(8)]
[thread.start() for thread in held]
[thread.join() for thread in held]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fdopen.restype = ctypes.c_void_p
libc.fflush.argtypes = [ctypes.c_void_p]
out = libc.fdopen(1, b"w")
libc.malloc_info(0, out)
libc.fflush(out)
"""


def tunables() -> str:
    (found,) = re.findall(r"^Environment=GLIBC_TUNABLES=(\S+)$", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return str(found)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_all_threads_share_one_heap_as_the_unit_says() -> None:
    def heaps(setting: str) -> int:
        run, environment = [sys.executable, "-c", ALLOCATES], {**os.environ, "GLIBC_TUNABLES": setting}
        found = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
        return found.stdout.count("<heap nr=")

    assert heaps("") > 1
    assert heaps(tunables()) == 1


def test_the_c_library_knows_what_the_unit_sets() -> None:
    loader = next(iter(sorted(Path("/").glob("lib*/ld-linux-*.so.*"))), None)
    if loader is None:
        pytest.skip("no loader of glibc here")
    done = subprocess.run([str(loader), "--list-tunables"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("a glibc before 2.33 does not list its tunables")
    for name in (setting.partition("=")[0] for setting in tunables().split(":")):
        assert f"{name}:" in done.stdout, "an unknown name would be passed over without a word"
