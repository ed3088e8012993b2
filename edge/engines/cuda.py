"""Is there a GPU that works? Asked in a child process, so that a broken driver cannot take this one with it.

Nothing of CUDA, TensorRT or pycuda is loaded here before a child has had a context on the GPU and told of it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from edge.errors import EngineError

__all__ = ["Gpu", "find_gpu"]

PATIENCE_S = 60.0  # the first context on a device that has just started takes seconds
CHILD = Path(__file__).with_name("cuda_child.py")
MEND = "check nvidia-smi or tegrastats, and that driver and JetPack belong together"


class Gpu(Struct, frozen=True, kw_only=True):
    """The first GPU. `sm` is its compute capability times ten, `driver` the newest CUDA that its driver knows.

    `free_mib` and `total_mib` are what CUDA sees with one context open; on a Jetson that is the memory of the system.
    """

    name: str
    sm: int
    driver: str
    free_mib: int
    total_mib: int


def find_gpu(library: str = "libcuda.so.1", patience_s: float = PATIENCE_S) -> Gpu:
    """Return the GPU that CUDA would use first; raises EngineError where there is none that works."""
    try:
        # -I -S: no site-packages and nothing from the working directory; the script needs neither.
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(CHILD), library], capture_output=True, timeout=patience_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"no GPU: the CUDA driver did not answer in {patience_s:.0f} s; {MEND}") from None
    except OSError as error:
        raise EngineError(f"no GPU: {sys.executable} cannot be started ({error}); {MEND}") from None
    if done.returncode != 0:
        raise EngineError(f"no GPU: {_end(done.returncode, done.stderr)}; {MEND}")
    try:
        return msgspec.json.decode(done.stdout, type=Gpu)
    except msgspec.MsgspecError:
        raise EngineError(f"no GPU: {_reason(done.stdout)}; {MEND}") from None


def _reason(printed: bytes) -> str:
    try:
        return msgspec.json.decode(printed, type=dict[str, str])["error"]
    except (msgspec.MsgspecError, KeyError):
        return f"the CUDA driver printed {printed[:80]!r}"


def _end(code: int, errors: bytes) -> str:
    if code < 0:
        return f"the CUDA driver crashes ({signal.Signals(-code).name})"
    lines = errors.decode(errors="replace").strip().splitlines()
    return f"the CUDA driver cannot be asked ({lines[-1] if lines else f'exit code {code}'})"
