"""The last step of `make demo`: run the daemon on the clip, watch it live, then hold its decisions against the truth.

Everything happens through the product's own commands, as a person would type them; this file only starts them side by
side and measures the memory of the daemon and its camera processes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import psutil

COMMANDS = Path(sys.executable).parent
SAMPLE_S = 0.2


def main() -> int:
    """Run the demo; return the exit code of the first command that failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder that make demo filled")
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    recording = arguments.work / "run"
    shutil.rmtree(recording, ignore_errors=True)
    code, peak_mib = _run_daemon(arguments.config, recording, arguments.work / "daemon.log")
    if code != 0:
        print(f"demo: edge-daemon ended with {code}; see {arguments.work / 'daemon.log'}", file=sys.stderr)
        return code
    score = _command(
        "edge-score",
        *("--recording", recording),
        *("--truth", arguments.work / "clip" / "truth.json"),
        *("--catalogue", arguments.work / "catalogue"),
        *("--out", arguments.work / "decisions.html"),
    )
    code = subprocess.run(score, check=False).returncode
    print(f"peak memory: {peak_mib:.0f} MiB (proportional set size of the daemon and its camera process)")
    print(f"calibration: {arguments.work / 'bundle' / 'report.html'}")
    return code


def _run_daemon(config: Path, recording: Path, log: Path) -> tuple[int, float]:
    """Run the daemon with a live view; return its exit code and its peak memory in MiB."""
    daemon_command = _command("edge-daemon", "--config", config, "--record", recording, "--await-subscribers", "1")
    with log.open("wb") as output:
        daemon = subprocess.Popen(daemon_command, stderr=output, stdout=output)
        watch = subprocess.Popen(_command("edge-watch"))
        ended = threading.Event()
        peak: list[float] = [0.0]
        sampler = threading.Thread(target=_sample, args=(daemon.pid, ended, peak), daemon=True)
        sampler.start()
        try:
            code = daemon.wait()
        finally:
            ended.set()
            sampler.join()
            for process in (daemon, watch):
                process.terminate()
            watch.wait()
    return code, peak[0]


def _sample(pid: int, ended: threading.Event, peak: list[float]) -> None:
    """Keep the highest sum of proportional set sizes of a process and its children in `peak[0]`, in MiB."""
    while not ended.wait(SAMPLE_S):
        try:
            parent = psutil.Process(pid)
            family = [parent, *parent.children(recursive=True)]
            total = sum(process.memory_full_info().pss for process in family)
        except psutil.Error:
            continue
        peak[0] = max(peak[0], total / (1 << 20))


def _command(name: str, *arguments: object) -> list[str]:
    return [str(COMMANDS / name), *(str(argument) for argument in arguments)]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the commands said so themselves
        sys.exit(130)
