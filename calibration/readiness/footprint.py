"""What a process that decides with a bundle takes of memory, measured in a process of its own.

    python -m calibration.readiness.footprint BUNDLE

imports what the daemon imports, reads the bundle, opens its engine, decides on full batches, and prints one JSON line
with the resident set in MiB after each step. Its peak is the kernel's own (VmHWM), so what an engine takes for a moment
while it loads counts too.

Limits: measured on this machine, not on the device: allocators and libraries differ. Camera processes and their rings
are not in it. A TensorRT engine takes its weights from the GPU's side: the caller adds what the device file says.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from edge.errors import EngineError

__all__ = ["Footprint", "measure"]

ROUNDS = 5
PATIENCE_S = 300


@dataclass(frozen=True, slots=True)
class Footprint:
    """Resident MiB: each step's own share, in order, and the peak of the whole process."""

    libraries_mib: float
    bundle_mib: float
    engine_mib: float
    deciding_mib: float
    peak_mib: float


def measure(bundle: Path) -> Footprint:
    """Run a fresh process on a bundle; raises EngineError when it fails."""
    command = (sys.executable, "-m", "calibration.readiness.footprint", str(bundle))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{bundle}: the process that measures memory failed ({error}); try again") from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(f"{bundle}: the process that measures memory failed ({said[:200]})")
    return Footprint(**json.loads(done.stdout.splitlines()[-1]))


def _main(argv: Sequence[str]) -> int:
    import psutil  # noqa: PLC0415  # what is imported here is what is measured

    import edge.daemon  # noqa: F401, PLC0415
    from edge.bundle import read_bundle  # noqa: PLC0415
    from edge.engines import EngineSpec, open_reference  # noqa: PLC0415
    from edge.pipeline import Pipeline  # noqa: PLC0415

    process = psutil.Process()
    steps = [process.memory_info().rss]
    bundle = read_bundle(Path(argv[0]))
    crops = bundle.golden.crops
    images = [crops[i % len(crops)] for i in range(bundle.info.max_batch)] if len(crops) else []
    steps.append(process.memory_info().rss)
    with open_reference(bundle.info.engine, bundle.graph, EngineSpec(max_batch=bundle.info.max_batch)) as engine:
        steps.append(process.memory_info().rss)
        pipeline = Pipeline(bundle, engine)
        for _ in range(ROUNDS):
            pipeline.decide(images)
        steps.append(process.memory_info().rss)
    shares = [steps[0], *(max(after - before, 0) for before, after in pairwise(steps))]
    names = ("libraries_mib", "bundle_mib", "engine_mib", "deciding_mib", "peak_mib")
    values = (*shares, max(_peak_bytes(), *steps))
    print(json.dumps({name: value / 2**20 for name, value in zip(names, values, strict=True)}))
    return 0


def _peak_bytes() -> int:
    """Return VmHWM of this process, 0 where the kernel does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
